//! Listeners in front of something other than MQTT: no first packet is read, and bytes pass as they come.

use mqtt_tls_config::ClientAuthMode::Require;
use mqtt_tls_config::{Identity, Mismatch, Naming, NamingAction, Protocol};
use mqtt_tls_terminator::Terminator;
use tests::assets;
use tests::broker::Mosquitto;
use tests::clients::tls::End;
use tests::mqtt;
use tests::pki::Ca;
use tests::process::{Process, run};
use tests::workdir;

use crate::fixture::{Fixture, SOON, Scripted, config, trust, write};

fn ended(end: &str) -> String {
    format!("mqtt_tls_connections_ended_total{{end=\"{end}\"}}")
}

#[tokio::test(flavor = "multi_thread")]
async fn any_bytes_pass_in_both_directions() {
    for protocol in [Protocol::Websocket, Protocol::Tcp] {
        let backend = Scripted::start().await;
        let fixture = Fixture::start_with(backend.addr(), |config| config.protocol = protocol);
        let mut client = fixture.client().connect(fixture.addr()).await.unwrap();
        // The backend may speak first.
        let mut peer = backend.accept_any().await;
        peer.send(b"220 ready\r\n").await;
        assert_eq!(client.read_exact(11).await.unwrap(), b"220 ready\r\n");
        fixture.wait_for_metric("mqtt_tls_connections_open", 1.0);
        let request = b"GET /mqtt HTTP/1.1\r\nUpgrade: websocket\r\n\r\n";
        client.send(request).await.unwrap();
        assert_eq!(peer.read_exact(request.len()).await, request);
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").await;
        peer.fin().await;
        let (answer, end) = client.read_to_end().await;
        assert!(answer.starts_with(b"HTTP/1.1 101 "));
        assert_eq!(end, End::CloseNotify);
        drop((client, peer));
        // It is no fault of a broker: its answer is not examined.
        fixture.wait_for_metric(&ended("backend_closed"), 1.0);
        let (_, status) = fixture.get("/status");
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        let expected = if protocol == Protocol::Tcp {
            "tcp"
        } else {
            "websocket"
        };
        assert_eq!(status["protocol"], expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_closes_without_a_word_counts_as_closed() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start_with(backend.addr(), |config| config.protocol = Protocol::Tcp);
    for _ in 0..12 {
        let mut client = fixture.client().connect(fixture.addr()).await.unwrap();
        drop(backend.accept_any().await);
        assert_eq!(client.read_to_end().await, (Vec::new(), End::CloseNotify));
    }
    fixture.wait_for_metric(&ended("backend_closed"), 12.0);
    let status = fixture.terminator.status();
    assert_eq!(status.backend.reachable, Some(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn mqtt_refuses_what_is_no_connect() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    for sent in [
        &b"GET /mqtt HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"[..],
        &mqtt::PINGREQ,
        b"\x11\x0e\0\x04MQTT\x04\x02\0\x3c\0\x02ab",
    ] {
        let mut client = fixture.client().connect(fixture.addr()).await.unwrap();
        client.send(sent).await.unwrap();
        assert_eq!(client.read_to_end().await, (Vec::new(), End::CloseNotify));
    }
    fixture.wait_for_metric(&ended("not_mqtt"), 3.0);
}

/// MQTT.js over WebSocket, with a WebSocket server that is not ours in front of a broker.
#[test]
fn mqtt_over_websocket_passes() {
    let node = |arguments: &[&str]| {
        let mut command = assets::installed("node");
        let script = include_str!("protocol/websocket.js");
        command
            .args(["-e", script])
            .args(arguments)
            .current_dir(assets::mqtt_js_device().parent().unwrap());
        command
    };
    let broker = Mosquitto::shared().port().to_string();
    let front = Process::spawn("ws", node(&["broker", &broker]));
    let line = front.wait_for_line("port ", SOON);
    let port: u16 = line.rsplit(' ').next().unwrap().parse().unwrap();
    let fixture = Fixture::start_with(([127, 0, 0, 1], port).into(), |config| {
        config.protocol = Protocol::Websocket;
    });
    let ca = workdir::scratch("ca").join("ca.crt");
    std::fs::write(&ca, fixture.ca.cert_pem()).unwrap();
    let port = fixture.config.port.to_string();
    let client = node(&["client", &port, ca.to_str().unwrap()]);
    let finished = run(client, b"", SOON);
    assert_eq!(finished.stdout.trim(), "received 21", "{finished:?}");
    front.stop();
}

/// There is no CONNECT to write names into.
#[test]
fn names_from_certificates_need_mqtt() {
    let ca = Ca::new("devices");
    let leaf = ca.leaf().dns("localhost").issue();
    for protocol in [Protocol::Websocket, Protocol::Tcp] {
        let mut config = config(&leaf, ([127, 0, 0, 1], 1883).into());
        config.protocol = protocol;
        config.client_auth = trust(Require, &ca);
        config.identity = Some(Identity {
            client_id: Some(Naming {
                template: "{cn}".to_owned(),
                action: NamingAction::Set,
                mismatch: Mismatch::Refuse,
            }),
            ..Identity::default()
        });
        let started = Terminator::start(write(&config).as_path().into(), None);
        let refused = started.map(drop).unwrap_err().chain();
        assert!(refused.contains("`identity` needs a CONNECT"), "{refused}");
    }
}
