//! A client or a backend that does not read holds back the other side, and no memory.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::fixture::{Fixture, Scripted};

/// More than sockets of loopback hold on both sides together, and far less than what is offered.
const HELD_BACK_MAX: usize = 24 * 1024 * 1024;
const OFFERED: usize = 128 * 1024 * 1024;

/// Writes until nothing more is taken for a while, and says how much was.
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
async fn a_client_that_does_not_read_holds_back_the_backend() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    let mut client = fixture.client().connect(fixture.addr()).await.unwrap();
    let mut peer = backend.accept().await;
    let taken = offer(&mut peer.0).await;
    assert!(
        taken < HELD_BACK_MAX,
        "{taken} bytes were taken for a client that reads none"
    );
    // The other direction is not held back.
    client.send(b"still here").await.unwrap();
    assert_eq!(peer.read_exact(10).await, b"still here");
    // And what was held back arrives whole.
    assert_eq!(client.read_exact(taken).await.unwrap(), vec![1; taken]);
}

#[tokio::test]
async fn a_backend_that_does_not_read_holds_back_the_client() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    let mut client = fixture.client().connect(fixture.addr()).await.unwrap();
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
