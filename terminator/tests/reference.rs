//! Compares `terminator/reference.md` with what the program generates; `UPDATE=1` writes it.

use std::fs;
use std::path::Path;

use mqtt_tls_config::{Config, Pem};
use mqtt_tls_terminator::settings::{Judgement, Settings};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

#[test]
fn the_reference_is_up_to_date() {
    // A leaf that is a CA is served with a warning.
    let key = KeyPair::generate().unwrap();
    let mut leaf = CertificateParams::new(["localhost".to_owned()]).unwrap();
    leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let leaf = leaf.self_signed(&key).unwrap();
    let pem = Pem::new(leaf.pem() + &key.serialize_pem());
    let example = Settings::prepare(&Config::new(8883, pem), Judgement::Strict).unwrap();

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
