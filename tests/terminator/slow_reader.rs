//! A client or a backend that does not read blocks the other side, and takes no memory.

use std::net::SocketAddr;
use std::time::Duration;

use tests::clients::tls::Connector;
use tests::pki::Ca;
use tests::process::Process;
use tests::wait::eventually_async;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::fixture::{Fixture, SOON, Scripted, config, get, write};
use crate::program;

/// More than loopback sockets buffer on both sides together, and far less than the offered data.
const HELD_BACK_MAX: usize = 24 * 1024 * 1024;
const OFFERED: usize = 128 * 1024 * 1024;

/// Writes until nothing is accepted for a while, and returns how much was accepted.
async fn offer(to: &mut (impl AsyncWriteExt + Unpin)) -> usize {
    let chunk = vec![1; 64 * 1024];
    let mut taken = 0;
    while taken < OFFERED {
        match timeout(Duration::from_secs(1), to.write(&chunk)).await {
            Ok(written) => taken += written.unwrap(),
            Err(_) => break,
        }
    }
    taken
}

#[tokio::test]
async fn a_client_that_does_not_read_blocks_the_backend() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    let mut client = fixture.client().open(fixture.addr()).await.unwrap();
    let mut peer = backend.accept().await;
    let taken = offer(&mut peer.0).await;
    assert!(
        taken < HELD_BACK_MAX,
        "{taken} bytes were taken for a client that reads none"
    );
    // The other direction is not blocked.
    client.send(b"still here").await.unwrap();
    assert_eq!(peer.read_exact(10).await, b"still here");
    // The blocked data arrives completely.
    assert_eq!(client.read_exact(taken).await.unwrap(), vec![1; taken]);
}

#[tokio::test]
async fn a_backend_that_does_not_read_blocks_the_client() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    let mut client = fixture.client().open(fixture.addr()).await.unwrap();
    let mut peer = backend.accept().await;
    let taken = offer(client.stream()).await;
    assert!(
        taken < HELD_BACK_MAX,
        "{taken} bytes were taken for a backend that reads none"
    );
    peer.send(b"still here").await;
    assert_eq!(client.read_exact(10).await.unwrap(), b"still here");
    assert_eq!(peer.read_exact(taken / 2).await, vec![1; taken / 2]);
}

/// Returns the anonymous memory of a process, in bytes.
fn resident(process: &Process) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .unwrap();
    1024 * line
        .split_whitespace()
        .next()
        .unwrap()
        .parse::<usize>()
        .unwrap()
}

/// Sends for ever, and never reads.
async fn flood(mut to: TcpStream) {
    let chunk = vec![1; 256 * 1024];
    while to.write_all(&chunk).await.is_ok() {}
}

/// Returns the amount relayed to clients, once it stops growing.
async fn relayed_at_rest(admin: SocketAddr) -> String {
    let mut before = String::new();
    eventually_async(SOON, "everything is blocked", || {
        let (_, text) = get(admin, "/metrics");
        let line = text
            .lines()
            .find(|line| line.contains("direction=\"to_client\""))
            .map(str::to_owned);
        let now = line.unwrap_or_default();
        let is_at_rest = now == before;
        before.clone_from(&now);
        async move {
            tokio::time::sleep(Duration::from_millis(300)).await;
            is_at_rest.then_some(now)
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_that_do_not_read_cost_little_memory() {
    const CLIENTS: usize = 60;
    // Two records' plaintext and their overhead, the session, and the allocator's share.
    const EACH_MAX: usize = 96 * 1024;
    let ca = Ca::new("root");
    let leaf = ca.leaf().dns("localhost").issue();
    let backend = Scripted::start().await;
    let config = config(&leaf, backend.addr());
    let process = program::start(&write(&config), &["--threads", "1"]);
    process.wait_for_line("serving", SOON);
    let addr = (config.host.unwrap(), config.port).into();
    let admin = (config.admin.host, config.admin.port).into();
    let mut clients = Vec::new();
    let mut before = 0;
    for index in 0..=CLIENTS {
        clients.push(Connector::new(&ca).open(addr).await.unwrap());
        tokio::spawn(flood(backend.accept().await.0));
        if index == 0 {
            // Plus the buffers of each thread.
            relayed_at_rest(admin).await;
            before = resident(&process);
        }
    }
    relayed_at_rest(admin).await;
    let each = (resident(&process) - before) / CLIENTS;
    assert!(
        each < EACH_MAX,
        "{each} bytes for each client that does not read"
    );
}
