//! Limits of a listener.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use tests::clients::tls::End;
use tests::wait::eventually;

use crate::fixture::{Fixture, SOON, Scripted};

fn failed(outcome: &str) -> String {
    format!("mqtt_tls_handshakes_total{{outcome=\"{outcome}\",version=\"none\",kind=\"none\"}}")
}

fn ended(how: &str) -> String {
    format!("mqtt_tls_connections_ended_total{{end=\"{how}\"}}")
}

/// Waits until the terminator has ended a connection, and returns what it sent.
fn wait_for_end(mut stream: &TcpStream) -> Vec<u8> {
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
    bytes
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
    // A ClientHello with a length of 64 kB, in records of 4 kB.
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
    // A fatal alert, illegal_parameter (RFC 8446, section 6).
    assert_eq!(wait_for_end(&stream), [21, 3, 3, 0, 2, 2, 47]);
    fixture.wait_for_metric(&failed("too_large"), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_connections_than_allowed_are_refused_until_there_is_room() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start_with(backend.addr(), |config| config.limits.connections = 2);
    let first = fixture.client().open(fixture.addr()).await.unwrap();
    let peer = backend.accept().await;
    let second = fixture.client().open(fixture.addr()).await.unwrap();
    fixture.wait_for_metric("mqtt_tls_connections_open", 2.0);
    assert!(fixture.client().connect(fixture.addr()).await.is_err());
    fixture.wait_for_metric(
        "mqtt_tls_connections_refused_total{limit=\"connections\"}",
        1.0,
    );
    drop((first, peer));
    fixture.wait_for_metric("mqtt_tls_connections_open", 1.0);
    fixture.client().open(fixture.addr()).await.unwrap();
    drop(second);
}

/// Stalled clients are evicted for new ones.
#[tokio::test(flavor = "multi_thread")]
async fn stalled_handshakes_keep_no_client_out() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start_with(backend.addr(), |config| {
        config.limits.handshakes = 2;
        config.limits.connections = 1;
    });
    let stalled: Vec<TcpStream> = (0..50)
        .map(|index| {
            let mut stream = TcpStream::connect(fixture.addr()).unwrap();
            // Every other one sends nothing.
            if index % 2 == 0 {
                stream.write_all(&[22, 3, 1, 2, 0, 1, 0]).unwrap();
            }
            stream
        })
        .collect();
    eventually(SOON, "most of them are evicted", || {
        let refused = fixture.metric("mqtt_tls_connections_refused_total{limit=\"handshakes\"}");
        (refused > 40.0).then_some(())
    });
    assert!(fixture.metric("mqtt_tls_handshakes_in_flight") < 4.5);
    assert!(fixture.metric("mqtt_tls_clients_waited_for{stage=\"silent\"}") < 4.5);
    let mut client = fixture.client().open(fixture.addr()).await.unwrap();
    let mut peer = backend.accept().await;
    peer.send(b"served").await;
    assert_eq!(client.read_exact(6).await.unwrap(), b"served");
    drop(stalled);
    fixture.wait_for_metric("mqtt_tls_handshakes_in_flight", 0.0);
    fixture.wait_for_metric("mqtt_tls_clients_waited_for{stage=\"silent\"}", 0.0);
}

/// The broker is not dialed for clients that send no CONNECT.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_no_connect_is_closed_without_a_dial() {
    let unused = tests::ports::free_addr();
    let fixture = Fixture::start_with(unused, |config| {
        config.timeouts.first_packet = Duration::from_millis(100);
    });
    let mut silent = fixture.client().connect(fixture.addr()).await.unwrap();
    let mut half = fixture.client().connect(fixture.addr()).await.unwrap();
    half.send(&tests::mqtt::first_packet()[..5]).await.unwrap();
    for client in [&mut silent, &mut half] {
        assert_eq!(client.read_to_end().await, (Vec::new(), End::CloseNotify));
    }
    fixture.wait_for_metric(&ended("first_packet_timeout"), 2.0);
    let mut other = fixture.client().connect(fixture.addr()).await.unwrap();
    other.send(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!(other.read_to_end().await, (Vec::new(), End::CloseNotify));
    fixture.wait_for_metric(&ended("not_mqtt"), 1.0);
    // A dial would have been counted.
    assert!(fixture.metric(&ended("backend_refused")) < 0.5);
}

/// A will may have any length: a long CONNECT is forwarded as it arrives.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_first_packet_is_forwarded() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    let mut client = fixture.client().connect(fixture.addr()).await.unwrap();
    let long = tests::mqtt::packet(0x10, &vec![7; 300_000]);
    client.send(&long).await.unwrap();
    let mut peer = backend.accept_any().await;
    assert_eq!(peer.read_exact(long.len()).await, long);
}
