//! Clients that send no CONNECT after the handshake are closed in time, and never reach the backend.

use std::time::Duration;

use tests::clients::tls::{End, TlsClient};
use tests::mqtt::{self, Version};

use crate::fixture::{Fixture, Scripted};

fn ended(end: &str) -> String {
    format!("mqtt_tls_connections_ended_total{{end=\"{end}\"}}")
}

fn fixture(backend: &Scripted) -> Fixture {
    Fixture::start_with(backend.addr(), |config| {
        config.timeouts.first_packet = Duration::from_millis(200);
    })
}

/// Checks that the next client is the first one to reach the backend.
async fn the_backend_has_seen_no_client(fixture: &Fixture, backend: &Scripted) {
    let connect = mqtt::connect(Version::V311, "honest");
    let mut client = fixture.client().connect(fixture.addr()).await.unwrap();
    client.send(&connect).await.unwrap();
    let mut peer = backend.accept_any().await;
    assert_eq!(peer.read_exact(connect.len()).await, connect);
    peer.send(&[mqtt::CONNACK, 2, 0, 0]).await;
    assert!(client.read_packet().await.unwrap().accepts());
}

async fn is_closed(mut client: TlsClient) {
    assert_eq!(client.read_to_end().await, (Vec::new(), End::CloseNotify));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_nothing_is_closed() {
    let backend = Scripted::start().await;
    let fixture = fixture(&backend);
    for _ in 0..3 {
        is_closed(fixture.client().connect(fixture.addr()).await.unwrap()).await;
    }
    fixture.wait_for_metric(&ended("first_packet_timeout"), 3.0);
    the_backend_has_seen_no_client(&fixture, &backend).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stops_within_the_connect_is_closed() {
    let backend = Scripted::start().await;
    let fixture = fixture(&backend);
    let connect = mqtt::connect(Version::V5, "stalled");
    for size in [1, 2, connect.len() - 1] {
        let mut client = fixture.client().connect(fixture.addr()).await.unwrap();
        client.send(&connect[..size]).await.unwrap();
        is_closed(client).await;
    }
    fixture.wait_for_metric(&ended("first_packet_timeout"), 3.0);
    the_backend_has_seen_no_client(&fixture, &backend).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connect_may_arrive_byte_by_byte() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    let connect = mqtt::connect(Version::V31, "slow");
    let mut client = fixture.client().connect(fixture.addr()).await.unwrap();
    client.send_one_byte_records(&connect).await.unwrap();
    let mut peer = backend.accept_any().await;
    assert_eq!(peer.read_exact(connect.len()).await, connect);
}

/// A will may have any length: 16 KiB are waited for, and the rest is forwarded as it arrives.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_connect_passes() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    let password = vec![7; 40_000];
    let connect = mqtt::connect_with(Version::V311, "large", b"user", Some(&password));
    let mut client = fixture.client().connect(fixture.addr()).await.unwrap();
    client.send(&connect[..20_000]).await.unwrap();
    let mut peer = backend.accept_any().await;
    assert_eq!(peer.read_exact(20_000).await, connect[..20_000]);
    client.send(&connect[20_000..]).await.unwrap();
    let rest = connect.len() - 20_000;
    assert_eq!(peer.read_exact(rest).await, connect[20_000..]);
}

/// Each field of 3.1.1 has up to 65,535 bytes, and names from certificates alone need the CONNECT in one piece.
#[tokio::test(flavor = "multi_thread")]
async fn the_largest_fields_pass() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    let longest = vec![7; 65_535];
    for version in Version::ALL {
        let connect = mqtt::connect_with(version, "large", &longest, Some(&longest));
        let mut client = fixture.client().connect(fixture.addr()).await.unwrap();
        client.send(&connect).await.unwrap();
        let mut peer = backend.accept_any().await;
        assert_eq!(peer.read_exact(connect.len()).await, connect);
    }
}

/// Earlier releases passed what has the type and a length of a CONNECT: this one counts it, and says so once.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_later_release_refuses_passes_and_is_counted() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    let mut level = mqtt::connect(Version::V311, "level");
    level[8] = 6;
    let name = b"\x10\x0e\0\x04HTTP\x04\x02\0\x3c\0\x02ab".to_vec();
    let mut large = vec![0; 20_000];
    large[..15].copy_from_slice(b"\x10\xff\xff\xff\x7f\0\x04MQTT\x05\x02\0\x3c");
    for (reason, sent) in [
        ("unsupported_version", level),
        ("not_mqtt", name),
        ("bad_length", b"\x10\x03\0\x04M".to_vec()),
        ("too_large", large),
    ] {
        let line = format!("mqtt_tls_first_packets_tolerated_total{{reason=\"{reason}\"}}");
        assert!(fixture.metric(&line) < 0.5);
        let mut client = fixture.client().connect(fixture.addr()).await.unwrap();
        client.send(&sent).await.unwrap();
        let mut peer = backend.accept_any().await;
        assert_eq!(peer.read_exact(sent.len()).await, sent, "{reason}");
        fixture.wait_for_metric(&line, 1.0);
    }
}

/// Small clients reserve digits for a length.
#[tokio::test(flavor = "multi_thread")]
async fn longer_forms_of_lengths_pass() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    for sent in [
        &b"\x10\x90\x80\x00\0\x04MQTT\x05\x02\0\x3c\0\0\x03abc"[..],
        b"\x10\x11\0\x04MQTT\x05\x02\0\x3c\x80\0\0\x03abc",
    ] {
        let mut client = fixture.client().connect(fixture.addr()).await.unwrap();
        client.send(sent).await.unwrap();
        let mut peer = backend.accept_any().await;
        assert_eq!(peer.read_exact(sent.len()).await, sent);
    }
    let line = "mqtt_tls_first_packets_tolerated_total{reason=\"bad_length\"}";
    assert!(fixture.metric(line) < 0.5);
}

/// Devices whose brokers take a field that the specification forbids go on working, as long as no name is set.
#[tokio::test(flavor = "multi_thread")]
async fn fields_are_left_to_the_broker() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    let mut bridge = mqtt::connect(Version::V311, "bridge");
    bridge[8] |= 0x80;
    for connect in [
        mqtt::connect_with(Version::V311, "binary", b"\xff\0", None),
        bridge,
    ] {
        let mut client = fixture.client().connect(fixture.addr()).await.unwrap();
        client.send(&connect).await.unwrap();
        let mut peer = backend.accept_any().await;
        assert_eq!(peer.read_exact(connect.len()).await, connect);
    }
}
