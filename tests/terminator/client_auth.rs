//! Mutual TLS: which clients are accepted, and with which alert the others are rejected.

use mqtt_tls_config::ClientAuthMode::{Optional, Require};
use mqtt_tls_config::Tickets;
use tests::clients::go::GoClient;
use tests::clients::tls::{Connector, End};
use tests::pki::Ca;

use crate::fixture::{Fixture, Scripted, trust};

/// Returns `None` if a client's connection is relayed, else how it ended.
async fn refusal(connector: &Connector, fixture: &Fixture, backend: &Scripted) -> Option<End> {
    let mut client = match connector.open(fixture.addr()).await {
        Ok(client) => client,
        Err(error) => return Some(End::from(error)),
    };
    // In TLS 1.3 a client learns of its refusal when it reads.
    client.send(b"?").await.ok();
    tokio::select! {
        mut peer = backend.accept() => {
            assert_eq!(peer.read_exact(1).await, b"?");
            None
        }
        (_, end) = client.read_to_end() => Some(end),
    }
}

fn alert(name: &str) -> End {
    End::Alert(name.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn require_accepts_only_clients_that_chain_to_the_ca() {
    let devices = Ca::new("devices");
    let backend = Scripted::start().await;
    let fixture = Fixture::start_with(backend.addr(), |config| {
        config.client_auth = trust(Require, &devices);
    });
    let with = |leaf| Connector::with_identity(&fixture.ca, &leaf);
    let good = devices.leaf().common_name("device 1").client_auth().issue();
    assert_eq!(refusal(&with(good), &fixture, &backend).await, None);
    let through = devices.intermediate("line 2").leaf().client_auth().issue();
    assert_eq!(refusal(&with(through), &fixture, &backend).await, None);

    let stranger = Ca::new("strangers").leaf().client_auth().issue();
    assert_eq!(
        refusal(&with(stranger), &fixture, &backend).await,
        Some(alert("UnknownCA"))
    );
    let expired = devices.leaf().client_auth().expired().issue();
    assert_eq!(
        refusal(&with(expired), &fixture, &backend).await,
        Some(alert("CertificateExpired"))
    );
    assert_eq!(
        refusal(&fixture.client(), &fixture, &backend).await,
        Some(alert("CertificateRequired"))
    );
    for outcome in ["client_certificate_missing", "client_certificate_refused"] {
        let count = if outcome.ends_with("missing") {
            1.0
        } else {
            2.0
        };
        let line = format!(
            "mqtt_tls_handshakes_total{{outcome=\"{outcome}\",version=\"1.3\",kind=\"none\"}}"
        );
        fixture.wait_for_metric(&line, count);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn optional_accepts_no_certificate_and_rejects_a_bad_one() {
    let devices = Ca::new("devices");
    let backend = Scripted::start().await;
    let fixture = Fixture::start_with(backend.addr(), |config| {
        config.client_auth = trust(Optional, &devices);
    });
    assert_eq!(refusal(&fixture.client(), &fixture, &backend).await, None);
    let with = |leaf| Connector::with_identity(&fixture.ca, &leaf);
    let good = devices.leaf().client_auth().issue();
    assert_eq!(refusal(&with(good), &fixture, &backend).await, None);
    let stranger = Ca::new("strangers").leaf().client_auth().issue();
    assert_eq!(
        refusal(&with(stranger), &fixture, &backend).await,
        Some(alert("UnknownCA"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn go_client_is_rejected_in_tls_1_2_too() {
    let devices = Ca::new("devices");
    let fixture = Fixture::start_for_handshakes(|config| {
        config.client_auth = trust(Require, &devices);
    });
    let seen = GoClient::handshake(fixture.addr(), &fixture.ca)
        .versions("1.2", "1.2")
        .run();
    assert!(!seen.error.is_empty(), "{seen:?}");
    let device = devices.leaf().client_auth().issue();
    let seen = GoClient::handshake(fixture.addr(), &fixture.ca)
        .versions("1.2", "1.2")
        .identity(&device)
        .run();
    assert_eq!(seen.error, "");
}

/// A ticket stands for the verification when it was issued. A ticket of a client without a certificate must not be
/// accepted by a listener that requires one.
#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_does_not_survive_a_change_of_client_auth() {
    let devices = Ca::new("devices");
    let backend = Scripted::start().await;
    let fixture = Fixture::start_with(backend.addr(), |config| config.tls.tickets = Tickets::All);
    let anonymous = fixture.client();
    // Resumption works before the change; otherwise the test would prove nothing.
    assert!(is_resumed(&anonymous, &fixture, &backend).await);
    for (generation, mode) in [(2, Optional), (3, Require)] {
        let mut config = fixture.config.clone();
        config.client_auth = trust(mode, &devices);
        fixture.rewrite(&config);
        fixture.wait_for_generation(generation);
        if mode == Require {
            let end = refusal(&anonymous, &fixture, &backend).await;
            assert_eq!(end, Some(alert("CertificateRequired")));
        } else {
            assert!(!is_resumed(&anonymous, &fixture, &backend).await);
        }
    }
}

/// A ticket must not let in a device whose certificate has expired or whose CA was removed (RFC 8446, section
/// 4.6.1): each resumption issues a new ticket, so this would go on for ever.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_with_client_certificates_are_not_resumed() {
    let devices = Ca::new("devices");
    let backend = Scripted::start().await;
    let fixture = Fixture::start_with(backend.addr(), |config| {
        config.client_auth = trust(Require, &devices);
        config.tls.tickets = Tickets::All;
    });
    let device = devices.leaf().client_auth().issue();
    for versions in [&[&rustls::version::TLS13], &[&rustls::version::TLS12]] {
        let connector = Connector::build(&fixture.ca, Some(&device), versions);
        assert!(!is_resumed(&connector, &fixture, &backend).await);
    }
}

/// Reports whether the second of two connections resumes the session of the first.
async fn is_resumed(connector: &Connector, fixture: &Fixture, backend: &Scripted) -> bool {
    let mut client = connector.open(fixture.addr()).await.unwrap();
    let mut peer = backend.accept().await;
    // Reading also processes the ticket.
    peer.send(b"!").await;
    client.read_exact(1).await.unwrap();
    let again = connector.open(fixture.addr()).await.unwrap();
    drop(backend.accept().await);
    again.session().handshake_kind() == Some(rustls::HandshakeKind::Resumed)
}

/// The names of many authorities do not fit into a CertificateRequest.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_bundle_of_authorities_works() {
    let devices = Ca::new("devices");
    let mut bundle = devices.cert_pem();
    for index in 0..700 {
        bundle.push_str(&Ca::new(&format!("{index:0100}")).cert_pem());
    }
    let backend = Scripted::start().await;
    let fixture = Fixture::start_with(backend.addr(), |config| {
        config.client_auth.mode = Require;
        config.client_auth.ca = Some(mqtt_tls_config::Pem::new(bundle));
    });
    let device = devices.leaf().client_auth().issue();
    let connector = Connector::with_identity(&fixture.ca, &device);
    assert_eq!(refusal(&connector, &fixture, &backend).await, None);
}
