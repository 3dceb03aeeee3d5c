//! DER in PEM blocks: a certificate beside a valid key, a key beside a valid certificate, a certificate in a chain, an
//! authority; and a client's certificate, with the names that it gives. libFuzzer changes the DER itself, because base64 would hide its structure. Judging must not panic.

#![no_main]

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use mqtt_tls_judge::identity::template::{NAME_MAX, Template};
use mqtt_tls_judge::identity::{Field, Identity};
use mqtt_tls_judge::pem::Part;
use mqtt_tls_judge::revocation::crl::Issuer;
use mqtt_tls_judge::{authorities, certificate};
use rcgen::{CertificateParams, KeyPair};

#[path = "../judged.rs"]
mod judged;

/// A certificate, and its key.
static RIGHT: LazyLock<[String; 2]> = LazyLock::new(|| {
    let key = KeyPair::generate().expect("there is randomness");
    let params = CertificateParams::new(vec!["mqtt.example.com".to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("a key that signs");
    [certificate.pem(), key.serialize_pem()]
});

fuzz_target!(|der: &[u8]| {
    names(der);
    let [right, right_key] = &*RIGHT;
    let block = |label: &str| block(label, der);
    let own = block("CERTIFICATE");
    judged::authorities(authorities::judge(Part::file(&own)));
    let (trusted, key) = (block("TRUSTED CERTIFICATE"), block("PRIVATE KEY"));
    for text in [
        own.clone() + right_key,
        // In a chain, before and behind the leaf.
        [&**right, &own, right_key].concat(),
        [&*own, right, right_key].concat(),
        trusted + right_key,
        right.clone() + &key,
        right.clone() + &block("EC PRIVATE KEY"),
        right.clone() + &block("RSA PRIVATE KEY"),
        own + &key,
    ] {
        judged::certificate(certificate::judge(&[Part::file(&text)]));
    }
});

/// A name that a certificate gives is bounded, has no control characters, and no value that is not the certificate's only one.
fn names(der: &[u8]) {
    let _ = Issuer::of(der);
    let Ok(identity) = Identity::of(der) else {
        return;
    };
    for field in Field::ALL {
        let template = Template::parse(&format!("d-{{{field}}}")).expect("it is valid");
        if let Ok(name) = template.name(&identity) {
            assert!(name.len() > 2 && name.len() <= NAME_MAX);
            assert!(!name.chars().any(char::is_control));
            assert_eq!(identity.usable(field).collect::<Vec<_>>(), [&name[2..]]);
        }
    }
}

fn block(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}
