//! Backends that are down, come back, or are not at the first of their addresses.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tests::clients::tls::End;
use tests::ports;

use crate::fixture::{Fixture, Scripted};

fn ended(how: &str) -> String {
    format!("mqtt_tls_connections_ended_total{{end=\"{how}\"}}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusing_backend_closes_the_client_in_order() {
    let unused = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free_port()));
    let fixture = Fixture::start(unused);
    let mut client = fixture.client().open(fixture.addr()).await.unwrap();
    // Data that the client has sent must not turn the end into a reset.
    let _ = client.send(b"CONNECT").await;
    assert_eq!(client.read_to_end().await, (Vec::new(), End::CloseNotify));
    fixture.wait_for_metric(&ended("backend_refused"), 1.0);
    fixture.wait_for_metric("mqtt_tls_connections_open", 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unresponsive_backend_times_out() {
    // A queue of one that is full: further connections get no answer.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket
        .bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
        .unwrap();
    socket.listen(0).unwrap();
    let addr = TcpListener::from(socket.try_clone().unwrap())
        .local_addr()
        .unwrap();
    let queued = TcpStream::connect(addr).unwrap();
    let fixture = Fixture::start_with(addr, |config| {
        config.timeouts.dial = Duration::from_millis(200);
    });
    let mut client = fixture.client().open(fixture.addr()).await.unwrap();
    assert_eq!(client.read_to_end().await, (Vec::new(), End::CloseNotify));
    fixture.wait_for_metric(&ended("backend_timeout"), 1.0);
    drop(queued);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unresolvable_name_closes_the_client_in_order() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start_with(backend.addr(), |config| {
        // Reserved for names that never exist (RFC 6761, section 6.4).
        config.backend.host = "backend.invalid".to_owned();
    });
    let mut client = fixture.client().open(fixture.addr()).await.unwrap();
    assert_eq!(client.read_to_end().await, (Vec::new(), End::CloseNotify));
    let (unresolved, timeout) = (ended("backend_unresolved"), ended("backend_timeout"));
    tests::wait::eventually(crate::fixture::SOON, "it is counted", || {
        (fixture.metric(&unresolved) + fixture.metric(&timeout) > 0.5).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn all_addresses_of_a_name_are_tried() {
    // `localhost` has one address or one of each family; the backend listens on one of them only.
    let port = ports::free_port();
    for host in [
        SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        (Ipv6Addr::LOCALHOST, port).into(),
    ] {
        let names = tokio::net::lookup_host(("localhost", port)).await.unwrap();
        if !names.into_iter().any(|address| address == host) {
            continue;
        }
        let listener = tokio::net::TcpListener::bind(host).await.unwrap();
        let fixture = Fixture::start_with(host, |config| {
            config.backend.host = "localhost".to_owned();
        });
        let mut client = fixture.client().open(fixture.addr()).await.unwrap();
        client.send(b"found").await.unwrap();
        let (peer, _) = listener.accept().await.unwrap();
        assert_eq!(
            crate::fixture::Peer::greeted(peer)
                .await
                .read_exact(5)
                .await,
            b"found"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_comes_back_is_reached() {
    let port = ports::free_port();
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let fixture = Fixture::start(addr);
    let mut early = fixture.client().open(fixture.addr()).await.unwrap();
    assert_eq!(early.read_to_end().await.1, End::CloseNotify);
    let listener = tokio::net::TcpListener::bind(addr).await.unwrap();
    let mut client = fixture.client().open(fixture.addr()).await.unwrap();
    client.send(b"again").await.unwrap();
    let (peer, _) = listener.accept().await.unwrap();
    assert_eq!(
        crate::fixture::Peer::greeted(peer)
            .await
            .read_exact(5)
            .await,
        b"again"
    );
}
