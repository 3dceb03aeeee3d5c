//! Negotiation with third-party TLS stacks: Go's and OpenSSL's.

use mqtt_tls_config::Tickets;
use rustls::HandshakeKind;
use tests::broker::Mosquitto;
use tests::clients::go::GoClient;
use tests::clients::openssl::SClient;
use tests::clients::tls::Connector;
use tests::peers::Nginx;

use crate::fixture::Fixture;

fn fixture() -> Fixture {
    Fixture::start_for_handshakes(|_| {})
}

#[tokio::test(flavor = "multi_thread")]
async fn go_client_gets_tls_1_3_with_the_hybrid_group() {
    let fixture = fixture();
    let seen = GoClient::handshake(fixture.addr(), &fixture.ca).run();
    assert_eq!(seen.error, "");
    assert_eq!(
        (seen.version.as_str(), seen.curve.as_str()),
        ("TLS 1.3", "X25519MLKEM768")
    );
    assert_eq!(seen.fingerprint, fixture.leaf.fingerprint());
}

#[tokio::test(flavor = "multi_thread")]
async fn go_client_gets_tls_1_2_and_nothing_below() {
    let fixture = fixture();
    let seen = GoClient::handshake(fixture.addr(), &fixture.ca)
        .versions("1.2", "1.2")
        .run();
    assert_eq!(
        (seen.error.as_str(), seen.version.as_str()),
        ("", "TLS 1.2")
    );
    let seen = GoClient::handshake(fixture.addr(), &fixture.ca)
        .versions("1.0", "1.1")
        .run();
    assert!(seen.error.contains("remote error"), "{seen:?}");
    fixture.wait_for_metric(
        "mqtt_tls_handshakes_total{outcome=\"incompatible\",version=\"none\",kind=\"none\"}",
        1.0,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn go_client_resumes_in_both_versions_where_both_get_tickets() {
    let fixture = Fixture::start_for_handshakes(|config| config.tls.tickets = Tickets::All);
    for version in ["1.2", "1.3"] {
        let client = GoClient::handshake(fixture.addr(), &fixture.ca).versions(version, version);
        let seen = client.twice().run();
        assert_eq!((seen.error.as_str(), seen.resumed), ("", true), "{version}");
        let line = format!(
            "mqtt_tls_handshakes_total{{outcome=\"ok\",version=\"{version}\",kind=\"resumed\"}}"
        );
        fixture.wait_for_metric(&line, 1.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_verifies_the_chain_and_gets_no_static_rsa() {
    let fixture = fixture();
    let seen = SClient::new(fixture.addr(), &fixture.ca).run(b"");
    assert!(
        seen.stdout.contains("Verify return code: 0"),
        "{}{}",
        seen.stdout,
        seen.stderr
    );
    let weak = SClient::new(fixture.addr(), &fixture.ca)
        .arg("-tls1_2")
        .arg("-cipher")
        .arg("kRSA")
        .run(b"");
    assert!(!weak.status.success(), "{}", weak.stdout);
}

/// As BoringSSL does: SHA-384 is expensive for a server without hardware support, and so is AES for a client.
#[tokio::test(flavor = "multi_thread")]
async fn openssl_gets_aes_128_unless_it_puts_chacha20_first() {
    let fixture = fixture();
    for (option, offered, served) in [
        (
            "-ciphersuites",
            "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256",
            "TLS_AES_128_GCM_SHA256",
        ),
        (
            "-ciphersuites",
            "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256",
            "TLS_CHACHA20_POLY1305_SHA256",
        ),
        (
            "-cipher",
            "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256",
            "ECDHE-ECDSA-AES128-GCM-SHA256",
        ),
        (
            "-cipher",
            "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256",
            "ECDHE-ECDSA-CHACHA20-POLY1305",
        ),
        (
            "-cipher",
            "ECDHE-ECDSA-AES256-GCM-SHA384",
            "ECDHE-ECDSA-AES256-GCM-SHA384",
        ),
    ] {
        let client = SClient::new(fixture.addr(), &fixture.ca);
        let version = if option == "-cipher" {
            "-tls1_2"
        } else {
            "-tls1_3"
        };
        let seen = client.arg(version).arg(option).arg(offered).run(b"");
        let line = format!("Cipher is {served}\n");
        assert!(seen.stdout.contains(&line), "{offered}: {}", seen.stdout);
    }
}

/// Its ticket is for the first suite of that server, and it offers the group that was used there. After a
/// HelloRetryRequest it may withdraw a session of another hash, and rustls rejects such clients.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_with_a_ticket_of_nginx_is_served() {
    let fixture = fixture();
    let nginx = Nginx::start(&fixture.leaf, Mosquitto::shared().addr());
    let device = Connector::new(&fixture.ca);
    let client = device.connect_mqtt(nginx.addr(), "a").await.unwrap();
    drop(client);
    let client = device.connect(fixture.addr()).await.unwrap();
    let kind = client.session().handshake_kind();
    assert_eq!(kind, Some(HandshakeKind::FullWithHelloRetryRequest));
}
