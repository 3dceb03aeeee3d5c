//! Compares `terminator/reference.md` with what the program generates; `UPDATE=1` writes it.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::fs;
use std::path::Path;

use mqtt_tls_config::{ClientAuth, ClientAuthMode, Config, Host, HostTls, Pem};
use mqtt_tls_terminator::load;
use mqtt_tls_terminator::settings::Settings;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, IsCa,
    KeyIdMethod, KeyPair, KeyUsagePurpose, SerialNumber, date_time_ymd,
};

/// A configuration with everything that has a metric: a leaf that is a CA, which is served with a warning, client
/// authentication of both kinds, and a revocation list.
fn example(folder: &Path) -> Settings {
    let key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(["localhost".to_owned()]).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
    ];
    let key_pem = key.serialize_pem();
    let ca = CertifiedIssuer::self_signed(ca, key).unwrap();
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 1, 1),
        next_update: date_time_ymd(2026, 2, 1),
        crl_number: SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let list = list.signed_by(&ca).unwrap();
    let mut config = Config::new(8883, Pem::new(ca.pem() + &key_pem));
    let trust = |mode| ClientAuth {
        mode,
        ca: Some(Pem::new(ca.pem())),
        ..ClientAuth::default()
    };
    config.client_auth = trust(ClientAuthMode::Require);
    config.hosts.push(Host {
        names: vec!["new.example".to_owned()],
        pem: None,
        candidate: None,
        certificates: Vec::new(),
        client_auth: Some(trust(ClientAuthMode::DryRun)),
        identity: None,
        backend: None,
        tls: HostTls::default(),
    });
    let (file, crls) = (folder.join("config.yaml"), folder.join("crls"));
    fs::write(&file, config.to_yaml().expose()).unwrap();
    fs::write(&crls, list.pem().unwrap()).unwrap();
    load::check(&file, Some(&crls)).unwrap()
}

#[test]
fn the_reference_is_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let example = example(folder.path());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference.md");
    let wanted = mqtt_tls_terminator::reference::text(&example);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &wanted).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "terminator/reference.md is not up to date: run this test with UPDATE=1"
    );
}
