//! The operator's probes: they get the certificate and nothing else, and no metric or journal takes them for clients.
//! And what `/status` says of the broker, which the operator asks for.

use mqtt_tls_config::ClientAuthMode::{DryRun, Require};
use mqtt_tls_config::PROBE_PROTOCOL;
use serde_json::{Value, json};
use tests::clients::tls::{Connector, End};
use tests::pki::Ca;
use tests::ports;

use crate::fixture::{CONNACK, Fixture, Scripted, trust};

fn prober(fixture: &Fixture) -> Connector {
    fixture
        .client()
        .configure(|config| config.alpn_protocols = vec![b"mqtt".to_vec(), PROBE_PROTOCOL.to_vec()])
}

/// What the metrics about clients' certificates begin with.
const CERTIFICATES: &str = "mqtt_tls_client_certificates_";

/// Waits until a probe is counted, and checks that no other metric counts it.
fn is_counted_as_a_probe(fixture: &Fixture) {
    fixture.wait_for_metric("mqtt_tls_connections_ended_total{end=\"probed\"}", 1.0);
    let text = fixture.get("/metrics").1;
    let handshakes = text.lines().filter(|line| {
        line.starts_with("mqtt_tls_handshakes_total") || line.starts_with(CERTIFICATES)
    });
    for line in handshakes {
        assert!(line.ends_with(" 0"), "{line}");
    }
    assert!(fixture.metric("mqtt_tls_connections_accepted_total") < 1.5);
    assert_eq!(fixture.get("/handshakes").1, "[]");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_gets_the_certificate_and_no_broker() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    let mut probe = prober(&fixture).connect(fixture.addr()).await.unwrap();
    assert_eq!(probe.server_cert(), fixture.leaf.cert_der);
    assert_eq!(probe.read_to_end().await, (Vec::new(), End::CloseNotify));
    is_counted_as_a_probe(&fixture);
    // The mark is not a way past the first packet: the broker sees none of it.
    let _client = fixture.client().open(fixture.addr()).await.unwrap();
    let _its_own = backend.accept().await;
    fixture.wait_for_metric("mqtt_tls_connections_ended_total{end=\"probed\"}", 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_without_a_client_certificate_is_no_failed_handshake() {
    for mode in [Require, DryRun] {
        let fixture = Fixture::start_for_handshakes(|config| {
            config.client_auth = trust(mode, &Ca::new("devices"));
        });
        // In TLS 1.3 the server's certificate and signature come before the client's certificate.
        if let Ok(mut probe) = prober(&fixture).connect(fixture.addr()).await {
            assert_eq!(probe.server_cert(), fixture.leaf.cert_der);
            let _ = probe.read_to_end().await;
        }
        assert!(fixture.get("/metrics").1.contains(CERTIFICATES));
        is_counted_as_a_probe(&fixture);
    }
}

fn backend_of(fixture: &Fixture) -> Value {
    let status: Value = serde_json::from_str(&fixture.get("/status").1).unwrap();
    status["backend"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn status_tries_a_broker_that_no_client_has_used() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    let address = backend.addr().to_string();
    let reached =
        json!({"address": address, "reachable": true, "unreachableFor": null, "error": null});
    assert_eq!(backend_of(&fixture), reached);
}

#[tokio::test(flavor = "multi_thread")]
async fn status_says_why_the_broker_is_unreachable() {
    let unused = ports::free_addr();
    let fixture = Fixture::start(unused);
    let said = backend_of(&fixture);
    assert_eq!(
        (&said["reachable"], &said["unreachableFor"]),
        (&json!(false), &json!(0))
    );
    let error = said["error"].as_str().unwrap();
    assert!(
        error.contains(&unused.to_string()) && error.contains("refused"),
        "{error}"
    );
    // Another broker has nothing to do with the outage.
    let backend = Scripted::start().await;
    let mut config = fixture.config.clone();
    config.backend.port = backend.addr().port();
    fixture.rewrite(&config);
    fixture.wait_for_generation(2);
    assert_eq!(backend_of(&fixture)["reachable"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn status_says_that_the_broker_answers_no_client() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    let ended = "mqtt_tls_connections_ended_total{end=\"backend_mute\"}";
    for rejected in 1..=10 {
        let mut client = fixture.client().open(fixture.addr()).await.unwrap();
        backend.accept().await.fin().await;
        client.read_to_end().await;
        client.close_notify().await.unwrap();
        fixture.wait_for_metric(ended, f64::from(rejected));
        // A few that are rejected without an answer prove nothing.
        assert_eq!(backend_of(&fixture)["reachable"], rejected < 10);
    }
    let error = backend_of(&fixture)["error"].clone();
    let error = error.as_str().unwrap();
    assert!(error.contains("did not answer the CONNECT"), "{error}");
    let mut client = fixture.client().open(fixture.addr()).await.unwrap();
    let mut peer = backend.accept().await;
    peer.send(CONNACK).await;
    client.read_exact(CONNACK.len()).await.unwrap();
    assert_eq!(backend_of(&fixture)["reachable"], true);
}
