//! Compares the findings with the verdicts of clients: OpenSSL and rustls verify the chain as a device would.

use std::sync::Arc;

use mqtt_tls_judge::certificate::Certificate;
use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use std::process::Command;
use std::time::Duration;
use tests::process::run;

use crate::chains::cross_signed;
use crate::material::{Issuer, Material, below, folder, leaf, root};

fn rustls_accepts(root: &str, material: &Material) -> bool {
    let der = |pem: &String| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(der(&root.to_owned())).unwrap();
    let provider = Arc::new(default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
    let chain: Vec<CertificateDer<'static>> = material.chain.iter().map(der).collect();
    let name = ServerName::try_from("localhost").unwrap();
    let taken = verifier.build().unwrap().verify_server_cert(
        &chain[0],
        &chain[1..],
        &name,
        &[],
        UnixTime::now(),
    );
    taken.is_ok()
}

fn openssl_accepts(root: &str, material: &Material) -> bool {
    let folder = folder();
    std::fs::write(folder.join("root"), root).unwrap();
    std::fs::write(folder.join("leaf"), &material.chain[0]).unwrap();
    std::fs::write(folder.join("chain"), material.chain.concat()).unwrap();
    let mut command = Command::new("openssl");
    let args = "verify -purpose sslserver -CAfile root -untrusted chain leaf";
    command.args(args.split(' ')).current_dir(folder);
    run(command, b"", Duration::from_secs(20)).status.success()
}

fn takes(root: &str, material: &Material) -> [bool; 2] {
    [
        openssl_accepts(root, material),
        rustls_accepts(root, material),
    ]
}

fn new_is_refused(material: &Material) -> bool {
    material.judged().and_then(Certificate::strictly).is_err()
}

#[test]
fn good_chains_verify_and_refused_ones_do_not() {
    let top = root("root");
    let through = |change: fn(&mut rcgen::CertificateParams)| {
        let middle = below(&top, "middle", change);
        leaf(&middle, &[&middle.pem()], |_| {})
    };
    let renewed = |top: &Issuer| {
        let (old, new) = (below(top, "middle", |_| {}), below(top, "middle", |_| {}));
        leaf(&old, &[&new.pem()], |_| {})
    };
    // Whether OpenSSL and rustls accept it, and whether it is refused if new.
    for (what, material, [openssl, rustls], refused) in [
        ("fine", through(|_| {}), [true, true], false),
        (
            "not a CA",
            through(|params| params.is_ca = IsCa::ExplicitNoCa),
            [false, false],
            true,
        ),
        ("another key", renewed(&top), [false, false], true),
        (
            "may not sign",
            through(|params| params.key_usages = vec![KeyUsagePurpose::CrlSign]),
            [false, true],
            false,
        ),
        (
            "for clients only",
            leaf(&top, &[], |params| {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            }),
            [false, false],
            false,
        ),
        (
            "a CA as a leaf",
            leaf(&top, &[], |params| {
                params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            }),
            [true, false],
            false,
        ),
        (
            "with its root",
            leaf(&top, &[&top.pem()], |_| {}),
            [true, true],
            false,
        ),
    ] {
        assert_eq!(takes(&top.pem(), &material), [openssl, rustls], "{what}");
        assert_eq!(new_is_refused(&material), refused, "{what}");
    }
}

/// OpenSSL takes the first issuer that matches, and does not try the other.
#[test]
fn each_root_of_a_cross_signed_chain_verifies_it() {
    let (old, new, material) = cross_signed();
    let taken = [old, new].map(|top| takes(&top.pem(), &material));
    assert!(taken.iter().all(|[_, rustls]| *rustls), "{taken:?}");
    assert!(taken.iter().any(|[openssl, _]| *openssl), "{taken:?}");
    assert!(!new_is_refused(&material));
}
