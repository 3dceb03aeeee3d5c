//! Honest clients are served while attackers take all places, from one address and from many. The program `attack`
//! measures how fast, with the release build.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use tests::attack::honest::{self, Honest};
use tests::attack::sink::Sink;
use tests::attack::{Attack, Kind, Origin};
use tests::wait::eventually;

use crate::fixture::{Fixture, SOON};

/// Few places, so that a small attack takes all of them several times. Each thread has its share.
const PLACES: u32 = 256;
const ATTACKERS_A_SECOND: u32 = 250;
const ATTACK: Duration = Duration::from_secs(3);
/// Pause of slow clients, in which far fewer attackers connect than a thread has places.
const PAUSE: Duration = Duration::from_millis(100);

fn evicted(fixture: &Fixture) -> f64 {
    fixture.metric("mqtt_tls_connections_refused_total{limit=\"handshakes\"}")
}

/// Attacks from one address, then from many: all honest clients are served, and no others reach the backend.
async fn honest_clients_are_served_while(kind: Kind) {
    let sink = Sink::start();
    let fixture = Fixture::start_with(sink.addr(), |config| config.limits.handshakes = PLACES);
    for origin in [Origin::One, Origin::Many(50)] {
        let config = honest::trusting(&fixture.ca);
        let coming = Honest {
            config: Arc::clone(&config),
            target: fixture.addr(),
            attackers: origin,
            rate: 10,
            pause: PAUSE,
        }
        .start();
        let (seen, evictions) = (sink.connections(), evicted(&fixture));
        let attack = Attack {
            config,
            kind,
            origin,
            rate: ATTACKERS_A_SECOND,
            lasts: ATTACK,
            holds: SOON,
        };
        attack.run(fixture.addr()).await;
        let honest = coming.stop();
        assert!(honest.is_everyone(), "{kind:?} from {origin:?}: {honest}");
        let seen = sink.connections() - seen;
        assert_eq!(seen, honest.tried as u64, "{kind:?} from {origin:?}");
        // Clients that disconnect at once hold no place for long.
        if kind != Kind::Go {
            let evictions = evicted(&fixture) - evictions;
            assert!(evictions > 0.0, "{kind:?} from {origin:?} took no place");
        }
    }
    fixture.wait_for_metric("mqtt_tls_connections_open", 0.0);
    fixture.wait_for_metric("mqtt_tls_handshakes_in_flight", 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_sockets_keep_no_client_out() {
    honest_clients_are_served_while(Kind::Silent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_client_hellos_keep_no_client_out() {
    honest_clients_are_served_while(Kind::Half).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn client_hellos_that_disconnect_keep_no_client_out() {
    honest_clients_are_served_while(Kind::Go).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn client_hellos_that_stay_keep_no_client_out() {
    honest_clients_are_served_while(Kind::Stay).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn client_hellos_that_trickle_keep_no_client_out() {
    honest_clients_are_served_while(Kind::Trickle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_without_a_connect_keep_no_client_out() {
    honest_clients_are_served_while(Kind::Idle).await;
}

/// Reports whether the connection is open.
fn is_open(mut stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    matches!(stream.read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_sockets_use_up_neither_connections_nor_descriptors() {
    const CONNECTIONS: u32 = 4;
    let sink = Sink::start();
    let fixture = Fixture::start_with(sink.addr(), |config| {
        config.limits.connections = CONNECTIONS;
        config.limits.handshakes = PLACES;
    });
    let silent: Vec<TcpStream> = (0..3 * PLACES)
        .map(|_| TcpStream::connect(fixture.addr()).unwrap())
        .collect();
    let connector = fixture.client();
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let client = connector.connect_mqtt(fixture.addr(), "honest").await;
        clients.push(client.unwrap());
    }
    // Only open connections count.
    let most = f64::from(CONNECTIONS);
    fixture.wait_for_metric("mqtt_tls_connections_open", most);
    let refused = connector.connect_mqtt(fixture.addr(), "honest").await;
    assert!(refused.is_err());
    eventually(
        SOON,
        "silent sockets have no more than their places",
        || {
            let open = silent.iter().filter(|stream| is_open(stream)).count();
            (open <= PLACES as usize).then_some(())
        },
    );
    for client in &mut clients {
        client.ping().await.unwrap();
    }
}
