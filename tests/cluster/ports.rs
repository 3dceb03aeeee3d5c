//! A changed port, also to one below 1024: at each moment the Service's address leads to pods that serve, sessions stay
//! open, and no pod is replaced.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use tests::clients::tls::Connector;
use tests::wait::eventually;

use crate::cluster::{Cluster, SOON};
use crate::install;
use crate::listener::{Edge, HOST};

/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(5);

/// Number of connections by the new port after which the nodes have followed the Service.
const ENOUGH: usize = 200;

pub(crate) fn a_change_of_the_port_refuses_nothing(cluster: &'static Cluster) {
    install::ensure(cluster);
    let edge = Edge::start(cluster, "ports");
    let connector = Connector::new(&edge.ca).server_name(HOST);
    let pods = edge.pods();
    let first = edge.address("edge");
    let session = cluster.block_on(connector.connect_mqtt(first, "ports-session"));
    let mut session = session.expect("the broker accepts a client");
    for port in [9443, 883] {
        let old = edge.address("edge");
        let new = SocketAddr::new(old.ip(), port);
        let prober = {
            let connector = connector.clone();
            thread::spawn(move || probe(cluster, &connector, old, new))
        };
        edge.listener(&format!("  port: {port}"));
        eventually(SOON, "the Service has followed", || {
            (edge.address("edge") == new).then_some(())
        });
        edge.wait("Ready", "True");
        let attempts = prober.join().expect("every attempt succeeds");
        println!("{old} to {new}: {attempts} connections, none refused");
    }
    let pinged = cluster.block_on(session.ping());
    pinged.expect("the session is open");
    assert_eq!(edge.pods(), pods, "no pod restarts or is replaced");
}

/// Connects by the old port, and where that is refused by the new one, until the nodes have followed the Service.
/// Returns the number of attempts.
fn probe(cluster: &Cluster, connector: &Connector, old: SocketAddr, new: SocketAddr) -> usize {
    let begun = Instant::now();
    let connect = |addr| cluster.block_on(connector.connect(addr)).map(drop);
    let (mut attempts, mut moved) = (0, 0);
    while moved < ENOUGH {
        attempts += 1;
        if let Err(by_old) = connect(old) {
            let by_new = connect(new);
            assert!(
                by_new.is_ok(),
                "attempt {attempts}, {:?} after the first: {by_old}; {by_new:?}",
                begun.elapsed()
            );
            moved += 1;
        }
        assert!(
            begun.elapsed() < SOON,
            "{attempts} attempts, {moved} by the new port"
        );
        thread::sleep(PAUSE);
    }
    attempts
}
