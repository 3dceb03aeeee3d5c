//! Data on a TLS port that is not TLS, and TLS in the smallest pieces.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use tests::mqtt::{self, Version};
use tests::pki::Ca;
use tests::ports;

use crate::fixture::{Fixture, SOON, Scripted, config, write};
use crate::program;

/// Sends bytes to the port, and reads to the end.
fn say(fixture: &Fixture, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(fixture.addr()).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    // A reset ends the connection as well as a FIN.
    let _ = stream.read_to_end(&mut answer);
    answer
}

fn failed(outcome: &str) -> String {
    format!("mqtt_tls_handshakes_total{{outcome=\"{outcome}\",version=\"none\",kind=\"none\"}}")
}

#[tokio::test(flavor = "multi_thread")]
async fn other_protocols_are_recognized_and_closed() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    assert_eq!(say(&fixture, &mqtt::connect(Version::V311, "plain")), b"");
    assert_eq!(say(&fixture, b"GET / HTTP/1.1\r\n\r\n"), b"");
    assert_eq!(
        say(&fixture, b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"),
        b""
    );
    assert_eq!(say(&fixture, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"), b"");
    assert_eq!(say(&fixture, b"SSH-2.0-client\r\n"), b"");
    fixture.wait_for_metric(&failed("plaintext_mqtt"), 1.0);
    fixture.wait_for_metric(&failed("http"), 1.0);
    fixture.wait_for_metric(&failed("proxy_protocol"), 2.0);
    fixture.wait_for_metric(&failed("not_tls"), 1.0);
    fixture.wait_for_metric("mqtt_tls_connections_open", 0.0);
}

/// A load balancer with the PROXY protocol is a total outage: the log must give advice, and only once.
#[test]
fn other_protocols_are_logged_once_with_advice() {
    let ca = Ca::new("root");
    let config = config(&ca.leaf().dns("localhost").issue(), ports::free_addr());
    let process = program::start(&write(&config), &[]);
    process.wait_for_line("serving", SOON);
    let address = SocketAddr::new(config.host.unwrap(), config.port);
    let connect = mqtt::connect(Version::V311, "plain");
    for (bytes, advice) in [
        (
            &b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"[..],
            "received a PROXY protocol header",
        ),
        (&connect, "received MQTT without TLS on the TLS port"),
        (b"GET / HTTP/1.1\r\n\r\n", "received HTTP on the TLS port"),
    ] {
        for _ in 0..3 {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(bytes).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        }
        process.wait_for_line(advice, SOON);
    }
    // All lines before this one have been written.
    process.signal(rustix::process::Signal::TERM);
    process.wait_for_line("draining", SOON);
    let is_logged = |line: &&String| line.contains("WARN") && line.contains("TLS port");
    assert_eq!(
        process.lines().iter().filter(is_logged).count(),
        2,
        "{}",
        process.log()
    );
    let is_logged = |line: &&String| line.contains("PROXY");
    assert_eq!(
        process.lines().iter().filter(is_logged).count(),
        1,
        "{}",
        process.log()
    );
}

/// Health checks of load balancers end with FIN or with a reset. Neither counts as another failure.
#[tokio::test(flavor = "multi_thread")]
async fn health_checks_are_distinguished_from_failures() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    drop(TcpStream::connect(fixture.addr()).unwrap());
    fixture.wait_for_metric(&failed("cut"), 1.0);
    reset(TcpStream::connect(fixture.addr()).unwrap());
    fixture.wait_for_metric(&failed("cut"), 2.0);
    // In the middle of a ClientHello it is a failure.
    let mut begun = TcpStream::connect(fixture.addr()).unwrap();
    begun.write_all(&[22, 3, 1]).unwrap();
    reset(begun);
    fixture.wait_for_metric(&failed("io"), 1.0);
    fixture.wait_for_metric(&failed("cut"), 2.0);
}

fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream)
        .set_linger(Some(std::time::Duration::ZERO))
        .unwrap();
    drop(stream);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_client_hello_is_answered_with_an_alert() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    let answer = say(&fixture, &[22, 3, 1, 0, 4, 1, 0, 0, 0]);
    // A fatal alert: content type 21, level 2 (RFC 8446, sections 5.1 and 6).
    assert_eq!(
        (answer.first(), answer.get(5)),
        (Some(&21), Some(&2)),
        "{answer:?}"
    );
    fixture.wait_for_metric(&failed("bad_message"), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_byte_segments_and_records_are_accepted() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    let connector = fixture.client().one_byte_segments();
    let mut client = connector.open(fixture.addr()).await.unwrap();
    let mut peer = backend.accept().await;
    let text: Vec<u8> = (0..=255).collect();
    client.send_one_byte_records(&text).await.unwrap();
    assert_eq!(peer.read_exact(256).await, text);
    peer.send(&text).await;
    assert_eq!(client.read_exact(256).await.unwrap(), text);
}

#[tokio::test(flavor = "multi_thread")]
async fn data_with_the_last_handshake_message_is_not_lost() {
    use std::sync::Arc;
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    // A client whose Finished, first data and close_notify share one segment.
    let mut stream = TcpStream::connect(fixture.addr()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(fixture.ca.cert_der().into()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "localhost".try_into().unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    client.write_tls(&mut stream).unwrap();
    while client.is_handshaking() {
        client.read_tls(&mut stream).unwrap();
        client.process_new_packets().unwrap();
    }
    let at_once = [&mqtt::first_packet()[..], b"at once"].concat();
    client.writer().write_all(&at_once).unwrap();
    client.send_close_notify();
    let mut flight = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut flight).unwrap();
    }
    stream.write_all(&flight).unwrap();
    let mut peer = backend.accept().await;
    assert_eq!(peer.read_to_end().await, (b"at once".to_vec(), Ok(())));
}
