//! Each way in which a connection can end, and what the other side sees.

use std::net::SocketAddr;
use std::time::Duration;

use tests::clients::tls::{End, TlsClient};
use tests::wait::eventually;
use tokio::io::AsyncWriteExt as _;

use crate::fixture::{CONNACK, Fixture, Peer, SOON, Scripted};

async fn connected() -> (Fixture, TlsClient, Peer) {
    connected_with(|_| {}).await
}

async fn connected_with(
    change: impl FnOnce(&mut mqtt_tls_config::Config),
) -> (Fixture, TlsClient, Peer) {
    let backend = Scripted::start().await;
    let fixture = Fixture::start_with(backend.addr(), change);
    let client = fixture.client().open(fixture.addr()).await.unwrap();
    let peer = backend.accept().await;
    (fixture, client, peer)
}

fn ended(how: &str) -> String {
    format!("mqtt_tls_connections_ended_total{{end=\"{how}\"}}")
}

/// Waits until the kernel has sent all data of a client (proc(5), `/proc/net/tcp`: `tx_queue`).
fn wait_until_sent(client: &tokio::net::TcpStream) {
    let SocketAddr::V4(from) = client.local_addr().unwrap() else {
        panic!("the tests' addresses are IPv4");
    };
    let from = format!(":{:04X}", from.port());
    eventually(SOON, "all data of the client is sent", || {
        let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let socket = sockets.lines().find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            fields[1].ends_with(&from).then(|| fields[4].to_owned())
        });
        socket.unwrap().starts_with("00000000:").then_some(())
    });
}

#[tokio::test]
async fn close_notify_becomes_fin_after_all_data() {
    let (fixture, mut client, mut peer) = connected().await;
    client.send(b"last words").await.unwrap();
    client.close_notify().await.unwrap();
    assert_eq!(peer.read_to_end().await, (b"last words".to_vec(), Ok(())));
    drop(peer);
    assert_eq!(client.read_to_end().await, (Vec::new(), End::CloseNotify));
    fixture.wait_for_metric(&ended("client_closed"), 1.0);
}

#[tokio::test]
async fn fin_becomes_close_notify_after_all_data() {
    let (fixture, mut client, mut peer) = connected().await;
    peer.send(CONNACK).await;
    peer.send(b"last words").await;
    peer.fin().await;
    assert_eq!(
        client.read_to_end().await,
        ([CONNACK, b"last words"].concat(), End::CloseNotify)
    );
    // The other direction is still open.
    client.send(b"and mine").await.unwrap();
    assert_eq!(peer.read_exact(8).await, b"and mine");
    client.close_notify().await.unwrap();
    assert_eq!(peer.read_to_end().await, (Vec::new(), Ok(())));
    fixture.wait_for_metric(&ended("backend_closed"), 1.0);
}

#[tokio::test]
async fn a_client_may_answer_close_notify_with_a_bare_fin() {
    let (fixture, mut client, mut peer) = connected().await;
    peer.send(CONNACK).await;
    peer.fin().await;
    assert_eq!(client.read_to_end().await.1, End::CloseNotify);
    client.fin().unwrap();
    assert_eq!(peer.read_to_end().await, (Vec::new(), Ok(())));
    fixture.wait_for_metric(&ended("backend_closed"), 1.0);
    assert!(fixture.metric(&ended("client_cut")) < 0.5);
}

#[tokio::test]
async fn a_backend_that_is_not_a_broker_is_counted() {
    for (answer, end) in [
        (&b""[..], "backend_mute"),
        (&[21, 3, 1, 0, 2, 2, 40], "backend_tls"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "backend_not_mqtt"),
    ] {
        let (fixture, mut client, mut peer) = connected().await;
        peer.send(answer).await;
        peer.fin().await;
        assert_eq!(
            client.read_to_end().await,
            (answer.to_vec(), End::CloseNotify)
        );
        client.close_notify().await.unwrap();
        fixture.wait_for_metric(&ended(end), 1.0);
    }
}

#[tokio::test]
async fn a_client_that_gets_no_answer_and_gives_up_counts_against_the_broker() {
    let (fixture, mut client, mut peer) = connected().await;
    // The client's patience, not a wait for something.
    tokio::time::sleep(Duration::from_secs(3)).await;
    client.close_notify().await.unwrap();
    assert_eq!(peer.read_to_end().await, (Vec::new(), Ok(())));
    drop(peer);
    fixture.wait_for_metric(&ended("backend_mute"), 1.0);
}

#[tokio::test]
async fn a_client_that_leaves_an_answer_of_no_broker_counts_against_it() {
    let (fixture, mut client, mut peer) = connected().await;
    peer.send(b"-ERR unknown command").await;
    client.read_exact(4).await.unwrap();
    client.close_notify().await.unwrap();
    assert_eq!(peer.read_to_end().await, (Vec::new(), Ok(())));
    drop(peer);
    fixture.wait_for_metric(&ended("backend_not_mqtt"), 1.0);
}

#[tokio::test]
async fn data_before_a_fin_without_close_notify_is_delivered() {
    let (fixture, mut client, mut peer) = connected().await;
    client.send(b"last words").await.unwrap();
    client.fin().unwrap();
    assert_eq!(peer.read_to_end().await, (b"last words".to_vec(), Ok(())));
    drop(peer);
    fixture.wait_for_metric(&ended("client_cut"), 1.0);
}

#[tokio::test]
async fn data_before_a_reset_is_delivered() {
    let (fixture, mut client, mut peer) = connected().await;
    // More than the backend's socket takes: the terminator has most of it when the reset arrives.
    let much = vec![7; 1_000_000];
    client.send(&much).await.unwrap();
    wait_until_sent(client.tcp());
    client.reset().unwrap();
    let (received, end) = peer.read_to_end().await;
    assert_eq!((received.len(), end), (much.len(), Ok(())));
    drop(peer);
    fixture.wait_for_metric(&ended("client_reset"), 1.0);
}

#[tokio::test]
async fn a_reset_of_the_backend_sends_no_close_notify() {
    let (fixture, mut client, mut peer) = connected().await;
    peer.send(CONNACK).await;
    // Wait for the relay: before it, a reset is a failed dial, and the client gets close_notify.
    client.send(b"x").await.unwrap();
    assert_eq!(peer.read_exact(1).await, b"x");
    peer.reset();
    assert_eq!(client.read_to_end().await, (CONNACK.to_vec(), End::Fin));
    fixture.wait_for_metric(&ended("backend_reset"), 1.0);
}

#[tokio::test]
async fn the_backend_may_send_after_close_notify() {
    let (fixture, mut client, mut peer) = connected().await;
    client.close_notify().await.unwrap();
    assert_eq!(peer.read_to_end().await, (Vec::new(), Ok(())));
    let much = vec![CONNACK[0]; 1_000_000];
    let (sent, (received, end)) = tokio::join!(
        async {
            peer.send(&much).await;
            peer.fin().await;
        },
        client.read_to_end(),
    );
    let () = sent;
    assert_eq!((received.len(), end), (much.len(), End::CloseNotify));
    fixture.wait_for_metric(&ended("client_closed"), 1.0);
}

#[tokio::test]
async fn a_half_closed_connection_times_out() {
    let soon = |config: &mut mqtt_tls_config::Config| {
        config.timeouts.half_close = Duration::from_millis(200);
    };
    let (fixture, mut client, mut peer) = connected_with(soon).await;
    client.close_notify().await.unwrap();
    assert_eq!(peer.read_to_end().await, (Vec::new(), Ok(())));
    // The backend sends nothing and does not close.
    assert_eq!(client.read_to_end().await, (Vec::new(), End::CloseNotify));
    fixture.wait_for_metric(&ended("client_closed"), 1.0);
    fixture.wait_for_metric("mqtt_tls_connections_open", 0.0);
}

/// A broker that rejects a client answers, closes, and reads nothing more.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_answer_of_a_backend_reaches_a_client_that_is_still_sending() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    tokio::spawn(async move {
        loop {
            let mut peer = backend.accept().await;
            peer.read_exact(10).await;
            peer.send(b"refused").await;
        }
    });
    let connector = fixture.client();
    for attempt in 0..20 {
        let mut client = connector.open(fixture.addr()).await.unwrap();
        for _ in 0..40 {
            if client.send(&[1; 100]).await.is_err() {
                break;
            }
        }
        let (said, end) = client.read_to_end().await;
        assert_eq!(said, b"refused", "attempt {attempt} ended with {end:?}");
    }
}

#[tokio::test]
async fn a_reset_after_the_clients_close_notify_sends_none() {
    let (fixture, mut client, mut peer) = connected().await;
    client.close_notify().await.unwrap();
    assert_eq!(peer.read_to_end().await, (Vec::new(), Ok(())));
    peer.reset();
    assert_eq!(client.read_to_end().await, (Vec::new(), End::Fin));
    fixture.wait_for_metric("mqtt_tls_connections_open", 0.0);
}

#[tokio::test]
async fn a_half_closed_backend_gets_the_end_too() {
    let (_fixture, mut client, mut peer) = connected().await;
    peer.fin().await;
    assert_eq!(client.read_to_end().await.1, End::CloseNotify);
    client.send(b"half a pack").await.unwrap();
    assert_eq!(peer.read_exact(11).await, b"half a pack");
    client.reset().unwrap();
    assert_eq!(peer.read_to_end().await, (Vec::new(), Ok(())));
}

#[tokio::test]
async fn blocked_data_is_dropped_at_the_deadline() {
    let soon = |config: &mut mqtt_tls_config::Config| {
        config.timeouts.half_close = Duration::from_millis(500);
    };
    let (fixture, mut client, mut peer) = connected_with(soon).await;
    peer.fin().await;
    assert_eq!(client.read_to_end().await.1, End::CloseNotify);
    // More than the sockets take if the backend does not read.
    let much = vec![1; 32 * 1024 * 1024];
    let sent = client.stream().write_all(&much).await;
    assert!(sent.is_err(), "all was taken");
    fixture.wait_for_metric("mqtt_tls_connections_open", 0.0);
    // The backend gets what the sockets have taken, and the end.
    assert_eq!(peer.read_to_end().await.1, Ok(()));
}

/// Complete records before it are authentic, and delivered.
#[tokio::test]
async fn a_broken_record_is_answered_with_an_alert() {
    let (fixture, mut client, mut peer) = connected().await;
    client.send(b"before").await.unwrap();
    // A forged record, past the client's TLS layer.
    let mut forged = vec![23, 3, 3, 0, 32];
    forged.extend([0; 32]);
    let socket = rustix::io::dup(client.tcp()).unwrap();
    let mut socket = tokio::net::TcpStream::from_std(std::net::TcpStream::from(socket)).unwrap();
    socket.write_all(&forged).await.unwrap();
    assert_eq!(peer.read_to_end().await, (b"before".to_vec(), Ok(())));
    drop(peer);
    assert_eq!(
        client.read_to_end().await.1,
        End::Alert("BadRecordMac".to_owned())
    );
    fixture.wait_for_metric(&ended("tls_error"), 1.0);
}
