//! The admin port: its content, and that it shows no key material.

use serde_json::Value;
use tests::mqtt;

use crate::fixture::{CONNACK, Fixture, Scripted};

#[tokio::test(flavor = "multi_thread")]
async fn status_shows_the_active_configuration() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start_with(backend.addr(), |config| {
        config.version = Some("edge 7".to_owned());
    });
    let _client = fixture.client().open(fixture.addr()).await.unwrap();
    let _peer = backend.accept().await;
    let (code, body) = fixture.get("/status");
    let status: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(code, 200);
    assert_eq!(status["listen"], fixture.addr().to_string());
    let reached = serde_json::json!({
        "address": backend.addr().to_string(), "reachable": true, "unreachableFor": null, "error": null,
    });
    assert_eq!(status["backend"], reached);
    assert_eq!(status["clientAuth"], "None");
    assert_eq!(status["configuration"]["version"], "edge 7");
    assert_eq!(status["configuration"]["generation"], 1);
    assert_eq!(status["configuration"]["lastError"], Value::Null);
    assert_eq!(
        status["certificates"][0]["fingerprint"],
        fixture.leaf.fingerprint()
    );
    assert_eq!(
        status["certificates"][0]["dnsNames"],
        serde_json::json!(["localhost"])
    );
    assert_eq!(status["connections"]["open"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_answer_and_unknown_paths_do_not() {
    let fixture = Fixture::start(Scripted::start().await.addr());
    assert_eq!(fixture.get("/livez"), (200, "ok\n".to_owned()));
    assert_eq!(fixture.get("/readyz"), (200, "ok\n".to_owned()));
    assert_eq!(fixture.get("/").0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_connections_bytes_and_dates() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    let mut client = fixture.client().open(fixture.addr()).await.unwrap();
    let mut peer = backend.accept().await;
    client.send(&[1; 1000]).await.unwrap();
    peer.read_exact(1000).await;
    // Each byte is that of a CONNACK.
    peer.send(&[CONNACK[0]; 500]).await;
    client.read_exact(500).await.unwrap();
    assert!((fixture.metric("mqtt_tls_connections_open") - 1.0).abs() < 0.5);
    client.close_notify().await.unwrap();
    drop(peer);
    fixture.wait_for_metric("mqtt_tls_connections_open", 0.0);
    let first_packet = u32::try_from(mqtt::first_packet().len()).map_or(0.0, f64::from);
    for (line, expected) in [
        ("mqtt_tls_connections_accepted_total", 1.0),
        (
            "mqtt_tls_connections_ended_total{end=\"client_closed\"}",
            1.0,
        ),
        (
            "mqtt_tls_handshakes_total{outcome=\"ok\",version=\"1.3\",kind=\"full\"}",
            1.0,
        ),
        ("mqtt_tls_handshake_duration_seconds_count", 1.0),
        ("mqtt_tls_dial_duration_seconds_count", 1.0),
        (
            "mqtt_tls_relayed_bytes_total{direction=\"to_backend\"}",
            first_packet + 1000.0,
        ),
        (
            "mqtt_tls_relayed_bytes_total{direction=\"to_client\"}",
            500.0,
        ),
    ] {
        assert!(
            (fixture.metric(line) - expected).abs() < 0.5,
            "{line}: {}",
            fixture.get("/metrics").1
        );
    }
    let (_, text) = fixture.get("/metrics");
    let served = format!("fingerprint=\"{}\"", fixture.leaf.fingerprint());
    assert!(
        text.contains(&served) && text.ends_with("# EOF\n"),
        "{text}"
    );
    assert!(text.contains("mqtt_tls_build_info{version=\""), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_shows_key_material() {
    let fixture = Fixture::start(Scripted::start().await.addr());
    let base64: String = fixture
        .leaf
        .key_pem
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    for path in ["/status", "/metrics", "/readyz", "/livez"] {
        let (_, body) = fixture.get(path);
        for line in fixture
            .leaf
            .key_pem
            .lines()
            .filter(|line| !line.starts_with("-----"))
        {
            assert!(!body.contains(line), "{path} shows the key");
        }
        assert!(!body.contains(&base64[..24]), "{path} shows the key");
    }
}

/// An alert on this metric must not fire after each start.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_configuration_counts_as_the_newest() {
    let fixture = Fixture::start(Scripted::start().await.addr());
    fixture.wait_for_metric("mqtt_tls_reload_succeeded", 1.0);
}
