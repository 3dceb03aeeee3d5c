//! A client that comes back resumes its session at another pod, as OpenSSL shows.

use std::net::SocketAddr;

use tests::clients::openssl::SClient;
use tests::wait::eventually;
use tests::workdir;

use crate::cluster::{Cluster, SOON};
use crate::install;
use crate::listener::{Edge, HOST};

pub(crate) fn a_session_is_resumed_at_another_pod(cluster: &'static Cluster) {
    install::ensure(cluster);
    let edge = Edge::prepare(cluster, "tickets");
    // OpenSSL waits for the tickets of TLS 1.3 until the server closes.
    edge.listener("  tls: {tickets: All}\n  timeouts: {firstPacket: 1s}");
    edge.wait("Ready", "True");
    let pods = edge.pods();
    assert_eq!(pods.len(), 2);
    let port = edge.address("edge").port();
    for version in ["-tls1_2", "-tls1_3"] {
        let session = workdir::scratch("session").join("session");
        let session = session.to_str().expect("the path is UTF-8");
        let addr = |pod: usize| SocketAddr::new(pods[pod].ip, port);
        openssl(addr(0), version, &["-ign_eof", "-sess_out", session]);
        // The kubelet may deliver the keys to one pod later than to the other.
        eventually(SOON, "the other pod resumes the session", || {
            let seen = openssl(addr(1), version, &["-sess_in", session]);
            seen.contains("\nReused, ").then_some(())
        });
    }
}

fn openssl(addr: SocketAddr, version: &str, options: &[&str]) -> String {
    let client = SClient::unverified(addr, HOST);
    client.arg(version).args(options).run(b"").stdout
}
