//! `/handshakes`: the last failed handshakes, with the device and the reason.

use std::io::Write as _;
use std::net::TcpStream;

use mqtt_tls_config::ClientAuthMode::Require;
use serde_json::{Value, json};
use tests::clients::openssl::SClient;
use tests::clients::tls::Connector;
use tests::pki::Ca;
use tests::wait::eventually;

use crate::fixture::{Fixture, SOON, trust};

/// Waits for this many entries, and returns the newest.
fn newest(fixture: &Fixture, count: usize) -> Value {
    eventually(
        SOON,
        &format!("{count} handshakes are in the journal"),
        || {
            let (code, body) = fixture.get("/handshakes");
            assert_eq!(code, 200, "{body}");
            let entries: Vec<Value> = serde_json::from_str(&body).unwrap();
            (entries.len() == count).then(|| entries[0].clone())
        },
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_with_nothing_in_common_has_an_entry_with_its_offer() {
    let fixture = Fixture::start_for_handshakes(|_| {});
    let old = SClient::new(fixture.addr(), &fixture.ca)
        .arg("-tls1_2")
        .arg("-cipher")
        .arg("AES128-SHA256")
        .run(b"");
    // The same alert as other servers: handshake_failure (RFC 8446, section 6.2).
    assert!(old.stderr.contains("alert number 40"), "{}", old.stderr);
    let entry = newest(&fixture, 1);
    assert_eq!(entry["reason"], "incompatible", "{entry}");
    assert_eq!(entry["serverName"], "localhost");
    assert_eq!(entry["alert"], json!({"sent": "HandshakeFailure"}));
    assert_eq!(entry["versions"], json!(["TLS 1.2"]));
    assert!(
        entry["suites"]
            .as_array()
            .unwrap()
            .contains(&json!("TLS_RSA_WITH_AES_128_CBC_SHA256")),
        "{entry}"
    );
    assert!(
        entry["message"]
            .as_str()
            .unwrap()
            .starts_with("no cipher suite in common"),
        "{entry}"
    );
    assert!(
        entry["address"].as_str().unwrap().starts_with("127.0.0.1:"),
        "{entry}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_that_can_verify_nothing_gets_handshake_failure_and_not_access_denied() {
    let fixture = Fixture::start_for_handshakes(|_| {});
    for (arguments, words) in [
        (
            ["-tls1_3", "-sigalgs", "RSA+SHA256:rsa_pss_rsae_sha256"],
            "no signature scheme in common",
        ),
        (
            ["-tls1_3", "-groups", "X448"],
            "no key exchange group in common",
        ),
        (
            ["-tls1_2", "-sigalgs", "RSA+SHA256"],
            "no cipher suite in common",
        ),
    ]
    .into_iter()
    .zip(1..)
    .map(|((arguments, words), count)| ((arguments, count), words))
    {
        let (arguments, count) = arguments;
        let client = SClient::new(fixture.addr(), &fixture.ca);
        let seen = arguments
            .iter()
            .fold(client, |client, argument| client.arg(argument))
            .run(b"");
        assert!(
            seen.stderr.contains("alert number 40"),
            "{arguments:?}: {}",
            seen.stderr
        );
        let entry = newest(&fixture, count);
        assert_eq!(entry["reason"], "incompatible", "{arguments:?}: {entry}");
        let message = entry["message"].as_str().unwrap();
        assert!(message.starts_with(words), "{arguments:?}: {entry}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_with_an_invalid_name_has_an_entry_with_the_name_escaped() {
    let fixture = Fixture::start_for_handshakes(|_| {});
    for (name, shown) in [
        ("mqtt.example.com:8883", "mqtt.example.com:8883"),
        ("[2001:db8::1]", "[2001:db8::1]"),
        ("a\nb", "a\\nb"),
    ]
    .into_iter()
    .zip(1..)
    .map(|((name, shown), count)| (name, (shown, count)))
    {
        let (shown, count) = shown;
        let client = SClient::new(fixture.addr(), &fixture.ca)
            .arg("-servername")
            .arg(name);
        let seen = client.run(b"");
        assert!(
            seen.stderr.contains("alert number 47"),
            "{name}: {}",
            seen.stderr
        );
        let entry = newest(&fixture, count);
        assert_eq!(
            (&entry["reason"], &entry["serverName"]),
            (&json!("bad_sni"), &json!(shown))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_client_certificate_has_an_entry_with_its_subject() {
    let devices = Ca::new("devices");
    let fixture = Fixture::start_for_handshakes(|config| {
        config.client_auth = trust(Require, &devices);
    });
    let stranger = Ca::new("strangers")
        .leaf()
        .common_name("device\n7")
        .client_auth()
        .issue();
    let connector = Connector::with_identity(&fixture.ca, &stranger);
    if let Ok(mut client) = connector.connect(fixture.addr()).await {
        client.read_to_end().await;
    }
    let entry = newest(&fixture, 1);
    assert_eq!(entry["reason"], "client_certificate_refused");
    assert_eq!(entry["alert"], json!({"sent": "UnknownCA"}));
    assert!(
        entry["certificate"]
            .as_str()
            .unwrap()
            .contains("device\\n7"),
        "{entry}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_that_rejects_the_certificate_has_an_entry_with_its_alert() {
    let fixture = Fixture::start_for_handshakes(|_| {});
    let other = Ca::new("another");
    let seen = SClient::new(fixture.addr(), &other).run(b"");
    assert!(!seen.status.success(), "{}", seen.stdout);
    let entry = newest(&fixture, 1);
    assert_eq!(entry["reason"], "client_alert");
    assert_eq!(entry["alert"], json!({"received": "UnknownCA"}));
    // tokio-rustls disconnects without an alert, as small stacks and modems do.
    let left = Connector::new(&other).connect(fixture.addr()).await;
    assert!(left.is_err());
    assert_eq!(newest(&fixture, 2)["reason"], "left_after_certificate");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_checks_have_no_entry_and_the_journal_can_be_disabled() {
    let fixture = Fixture::start_for_handshakes(|_| {});
    drop(TcpStream::connect(fixture.addr()).unwrap());
    let mut garbage = TcpStream::connect(fixture.addr()).unwrap();
    garbage.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(newest(&fixture, 1)["reason"], "http");
    let mut config = fixture.config.clone();
    config.admin.journal = false;
    fixture.rewrite(&config);
    fixture.wait_for_generation(2);
    let mut garbage = TcpStream::connect(fixture.addr()).unwrap();
    garbage.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    fixture.wait_for_metric(
        "mqtt_tls_handshakes_total{outcome=\"http\",version=\"none\",kind=\"none\"}",
        2.0,
    );
    assert_eq!(fixture.get("/handshakes"), (200, "[]".to_owned()));
}
