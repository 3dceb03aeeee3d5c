//! A minimal MQTT backend for any number of honest clients, so that a broker is never the bottleneck in an attack.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::mqtt::{self, CONNACK, DISCONNECT, PINGREQ, PINGRESP};

/// It runs in its own thread for the lifetime of the process.
#[derive(Debug)]
pub struct Sink {
    addr: SocketAddr,
    connections: Arc<AtomicU64>,
}

impl Sink {
    /// Starts it on a free port.
    pub fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
        listener.set_nonblocking(true).expect("it is a socket");
        let addr = listener.local_addr().expect("it is bound");
        let connections = Arc::default();
        let counter = Arc::clone(&connections);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let runtime = runtime.expect("a runtime can be made");
            runtime.block_on(accept(listener, &counter));
        });
        Self { addr, connections }
    }

    /// Its address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Number of connections so far.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn accept(listener: std::net::TcpListener, counter: &AtomicU64) {
    let listener = TcpListener::from_std(listener).expect("it is a socket");
    loop {
        // Out of descriptors: some become free again.
        let Ok((client, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        counter.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(answer(client));
    }
}

async fn answer(mut client: TcpStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    loop {
        let head = mqtt::next_packet(&mut client).await?.head;
        if head >> 4 == 1 {
            client.write_all(&[CONNACK, 2, 0, 0]).await?;
        } else if head == PINGREQ[0] {
            client.write_all(&PINGRESP).await?;
        } else if head == DISCONNECT[0] {
            return Ok(());
        }
    }
}
