//! The terminator's clock is stepped while clients are connected: an hour, a day, and beyond each certificate's dates. Open
//! connections stay, new ones are served, and time limits are as before. Only the dates of client certificates depend on it, also
//! of clients that are connected.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use mqtt_tls_config::{ClientAuthMode, Config};
use tests::clients::tls::{Connector, End};
use tests::pki::Ca;
use tests::process::Process;
use tests::programs;
use tests::stepped::SteppedClock;

use crate::fixture::{SOON, Scripted, config, trust, write};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const DECADE: i64 = 3653 * DAY;
const STEPS: [i64; 7] = [HOUR, DAY, DECADE, 0, -HOUR, -DAY, -DECADE];

/// Starts the program with a clock of its own.
fn start(config: &Config) -> (Process, SteppedClock, SocketAddr) {
    let mut command = Command::new(programs::terminator());
    let clock = SteppedClock::for_program(&mut command, 0);
    command.arg(write(config));
    let process = Process::spawn("terminator", command);
    process.wait_for_line("serving", SOON);
    let address = SocketAddr::new(config.host.unwrap(), config.port);
    (process, clock, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_stay_and_new_ones_are_served_at_each_time() {
    let (backend, ca) = (Scripted::start().await, Ca::new("root"));
    let leaf = ca.leaf().dns("localhost").issue();
    let (process, clock, address) = start(&config(&leaf, backend.addr()));
    let connectors = [&rustls::version::TLS12, &rustls::version::TLS13]
        .map(|version| Connector::build(&ca, None, &[version]));
    let mut first = connectors[0].open(address).await.unwrap();
    let mut peer = backend.accept().await;
    for ahead in STEPS {
        clock.step(ahead);
        // The second connection of each offers to resume the session of the last time.
        for connector in &connectors {
            let mut client = connector.open(address).await.unwrap();
            let mut peer = backend.accept().await;
            peer.send(b"down").await;
            assert_eq!(client.read_exact(4).await.unwrap(), b"down");
        }
        first.send(b"up").await.unwrap();
        assert_eq!(peer.read_exact(2).await, b"up");
    }
    assert!(process.is_running());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_client_is_closed_after_its_time_whatever_the_clock_says() {
    let (backend, ca) = (Scripted::start().await, Ca::new("root"));
    let leaf = ca.leaf().dns("localhost").issue();
    let mut config = config(&leaf, backend.addr());
    config.timeouts.first_packet = Duration::from_secs(2);
    let (_process, clock, address) = start(&config);
    for ahead in STEPS {
        let begun = std::time::Instant::now();
        let mut silent = Connector::new(&ca).connect(address).await.unwrap();
        clock.step(ahead);
        silent.read_to_end().await;
        assert!(begun.elapsed() >= config.timeouts.first_packet);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn client_certificates_are_judged_by_the_clock() {
    let (backend, ca) = (Scripted::start().await, Ca::new("root"));
    let leaf = ca.leaf().dns("localhost").issue();
    let device = ca.leaf().common_name("device").client_auth().issue();
    let mut config = config(&leaf, backend.addr());
    config.client_auth = trust(ClientAuthMode::Require, &ca);
    let (_process, clock, address) = start(&config);
    let connector = Connector::with_identity(&ca, &device);
    for (ahead, is_served) in [
        (0, true),
        (DECADE, false),
        (0, true),
        (-DECADE, false),
        (0, true),
    ] {
        clock.step(ahead);
        let opened = async {
            let mut client = connector.open(address).await.ok()?;
            // In TLS 1.3 the server's refusal comes after the client's handshake.
            client.send(b"up").await.ok()?;
            let accepted = tokio::select! {
                mut peer = backend.accept() => { peer.send(b"down").await; true }
                _ = client.read_some() => false,
            };
            accepted.then_some(())
        };
        assert_eq!(opened.await.is_some(), is_served, "{ahead} s ahead");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connected_client_is_closed_when_its_certificate_has_expired_by_the_clock() {
    let (backend, ca) = (Scripted::start().await, Ca::new("root"));
    let leaf = ca.leaf().dns("localhost").issue();
    let mut config = config(&leaf, backend.addr());
    config.client_auth = trust(ClientAuthMode::Require, &ca);
    let (_process, clock, address) = start(&config);
    let open = async |days: u32| {
        let device = ca
            .leaf()
            .client_auth()
            .valid_for(days * tests::pki::DAY)
            .issue();
        let client = Connector::with_identity(&ca, &device).open(address).await;
        (client.unwrap(), backend.accept().await)
    };
    let (mut short, _peer) = open(10).await;
    let (mut long, mut peer) = open(1000).await;
    clock.step(100 * DAY);
    // It is noticed within ten seconds.
    assert_eq!(short.read_to_end().await, (Vec::new(), End::CloseNotify));
    clock.step(-100 * DAY);
    long.send(b"up").await.unwrap();
    assert_eq!(peer.read_exact(2).await, b"up");
}
