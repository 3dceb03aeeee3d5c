//! What a listener does not let happen, however many try.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::fixture::{Fixture, SOON, Scripted};

fn failed(outcome: &str) -> String {
    format!("mqtt_tls_handshakes_total{{outcome=\"{outcome}\",version=\"none\",kind=\"none\"}}")
}

/// Waits until the terminator has ended a connection.
fn wait_for_end(mut stream: &TcpStream) {
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_stalls_is_ended() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start_with(backend.addr(), |config| {
        config.timeouts.handshake = Duration::from_millis(100);
    });
    let silent = TcpStream::connect(fixture.addr()).unwrap();
    let mut half = TcpStream::connect(fixture.addr()).unwrap();
    half.write_all(&[22, 3, 1, 2, 0, 1, 0]).unwrap();
    wait_for_end(&silent);
    wait_for_end(&half);
    fixture.wait_for_metric(&failed("timeout"), 2.0);
    fixture.wait_for_metric("mqtt_tls_handshakes_in_flight", 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_hello_without_end_is_cut_off() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    let mut stream = TcpStream::connect(fixture.addr()).unwrap();
    // A ClientHello that says it has 64 kB, in records of 4 kB.
    let mut record = vec![22, 3, 1, 0x10, 0];
    record.extend([1, 0, 0xff, 0xff]);
    record.resize(5 + 0x1000, 0);
    stream.write_all(&record).unwrap();
    let mut more = vec![22, 3, 1, 0x10, 0];
    more.resize(5 + 0x1000, 0);
    for _ in 0..12 {
        if stream.write_all(&more).is_err() {
            break;
        }
    }
    wait_for_end(&stream);
    fixture.wait_for_metric(&failed("too_large"), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_connections_than_allowed_are_refused_until_there_is_room() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start_with(backend.addr(), |config| config.limits.connections = 2);
    let first = fixture.client().connect(fixture.addr()).await.unwrap();
    let second = fixture.client().connect(fixture.addr()).await.unwrap();
    assert!(fixture.client().connect(fixture.addr()).await.is_err());
    fixture.wait_for_metric(
        "mqtt_tls_connections_refused_total{limit=\"connections\"}",
        1.0,
    );
    drop(first);
    fixture.wait_for_metric("mqtt_tls_connections_open", 1.0);
    fixture.client().connect(fixture.addr()).await.unwrap();
    drop(second);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_handshakes_than_allowed_are_refused() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start_with(backend.addr(), |config| config.limits.handshakes = 1);
    let stalled = TcpStream::connect(fixture.addr()).unwrap();
    fixture.wait_for_metric("mqtt_tls_handshakes_in_flight", 1.0);
    wait_for_end(&TcpStream::connect(fixture.addr()).unwrap());
    fixture.wait_for_metric(
        "mqtt_tls_connections_refused_total{limit=\"handshakes\"}",
        1.0,
    );
    drop(stalled);
    fixture.wait_for_metric("mqtt_tls_handshakes_in_flight", 0.0);
    fixture.client().connect(fixture.addr()).await.unwrap();
}
