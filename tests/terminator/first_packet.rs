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

#[tokio::test(flavor = "multi_thread")]
async fn a_connect_above_the_limit_is_refused_when_it_is_announced() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start_with(backend.addr(), |config| {
        config.limits.connect_bytes = 2000;
    });
    for (version, answer) in [
        (Version::V311, &[][..]),
        (Version::V5, &[mqtt::CONNACK, 3, 0, 0x95, 0]),
    ] {
        let connect = mqtt::connect_with(version, "large", b"user", Some(&[7; 2000]));
        let mut client = fixture.client().connect(fixture.addr()).await.unwrap();
        client.send(&connect[..20]).await.unwrap();
        let (found, end) = client.read_to_end().await;
        assert_eq!((&*found, end), (answer, End::CloseNotify));
    }
    fixture.wait_for_metric(&ended("connect_too_large"), 2.0);
    the_backend_has_seen_no_client(&fixture, &backend).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_version_is_refused_by_a_connack() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    for (level, answer) in [
        (2, &[mqtt::CONNACK, 2, 0, 1][..]),
        (6, &[mqtt::CONNACK, 3, 0, 0x84, 0]),
    ] {
        let mut connect = mqtt::connect(Version::V311, "old");
        connect[8] = level;
        let mut client = fixture.client().connect(fixture.addr()).await.unwrap();
        client.send(&connect).await.unwrap();
        let (found, end) = client.read_to_end().await;
        assert_eq!((&*found, end), (answer, End::CloseNotify));
    }
    fixture.wait_for_metric(&ended("unsupported_version"), 2.0);
    the_backend_has_seen_no_client(&fixture, &backend).await;
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
