//! Several certificates on one port, selected by the requested name and by the client's signature schemes; each
//! kind of key in each of its encodings.

use mqtt_tls_config::{Certificate, Pem};
use tests::clients::go::GoClient;
use tests::clients::openssl::SClient;
use tests::pki::{Ca, KeyKind, Leaf};

use crate::fixture::Fixture;

fn certificate(leaf: &Leaf) -> Certificate {
    Certificate::new(Pem::new(leaf.bundle()))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_key_serves_in_each_encoding() {
    let ca = Ca::new("root");
    for kind in KeyKind::ALL {
        let leaf = ca.leaf().dns("localhost").key(kind).issue();
        for &encoding in kind.encodings() {
            let fixture = Fixture::start_for_handshakes(|config| {
                // The key may also come first.
                let pem = format!("{}{}", leaf.key_as(encoding), leaf.chain_pem);
                config.pem = Pem::new(pem);
            });
            let seen = GoClient::handshake(fixture.addr(), &ca).run();
            assert_eq!(
                (seen.error.as_str(), seen.fingerprint),
                ("", leaf.fingerprint())
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_selects_the_certificate() {
    let ca = Ca::new("root");
    let default = ca.leaf().dns("localhost").issue();
    let exact = ca.leaf().dns("a.example").issue();
    let wild = ca.leaf().dns("*.example").issue();
    let fixture = Fixture::start_for_handshakes(|config| {
        config.pem = Pem::new(default.bundle());
        config.certificates = vec![certificate(&wild), certificate(&exact)];
    });
    for (name, expected) in [
        ("a.example", &exact),
        ("A.EXAMPLE", &exact),
        ("b.example", &wild),
        ("localhost", &default),
    ] {
        let seen = GoClient::handshake(fixture.addr(), &ca)
            .server_name(name)
            .run();
        assert_eq!(
            (seen.error, seen.fingerprint),
            (String::new(), expected.fingerprint()),
            "{name}"
        );
    }
    // Other names get the default, and the client rejects it.
    let seen = GoClient::handshake(fixture.addr(), &ca)
        .server_name("elsewhere.test")
        .run();
    assert!(
        seen.error.contains("certificate is valid for localhost"),
        "{seen:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_cannot_verify_ecdsa_gets_rsa() {
    let fixture_ca = Ca::new("root");
    let rsa = fixture_ca
        .leaf()
        .dns("localhost")
        .key(KeyKind::Rsa2048)
        .issue();
    let ecdsa = fixture_ca
        .leaf()
        .dns("localhost")
        .key(KeyKind::P256)
        .issue();
    let fixture = Fixture::start_for_handshakes(|config| {
        config.pem = Pem::new(ecdsa.bundle());
        config.certificates = vec![certificate(&rsa)];
    });
    let seen = GoClient::handshake(fixture.addr(), &fixture_ca).run();
    assert_eq!(seen.fingerprint, ecdsa.fingerprint());
    let old = SClient::new(fixture.addr(), &fixture_ca)
        .arg("-sigalgs")
        .arg("RSA-PSS+SHA256:RSA+SHA256")
        .run(b"");
    assert!(
        old.stdout.contains("Peer signature type: RSA-PSS"),
        "{}{}",
        old.stdout,
        old.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_chain_is_sent() {
    let root = Ca::new("root");
    let leaf = root
        .intermediate("a")
        .intermediate("b")
        .leaf()
        .dns("localhost")
        .issue();
    let fixture = Fixture::start_for_handshakes(|config| {
        config.pem = Pem::new(leaf.bundle());
    });
    let seen = GoClient::handshake(fixture.addr(), &root).run();
    assert_eq!((seen.error.as_str(), seen.chain_length), ("", 3));
}
