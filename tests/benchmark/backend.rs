//! The backend of all servers. It answers CONNECT, acknowledges messages of QoS 1, sends data on request, and discards
//! what follows anything else. It must not validate MQTT.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::tests::mqtt::{self, Version};
use ::tests::wait::eventually_async;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// First bytes of packets.
const CONNECT: u8 = 0x10;
const PUBLISH_QOS1: u8 = 0x32;
const SUBSCRIBE: u8 = 0x82;

/// Size of a write.
pub(crate) const CHUNK: usize = 1024 * 1024;
/// Size of a message.
const MESSAGE: usize = 128;
/// Packet ID of each message of QoS 1: a client sends the next one when the last one is acknowledged.
const ID: u16 = 1;

/// The answer to a CONNECT.
pub(crate) const ACCEPTED: [u8; 4] = [mqtt::CONNACK, 2, 0, 0];
/// The answer to a message of QoS 1.
pub(crate) const ACKNOWLEDGED: [u8; 4] = [mqtt::PUBACK, 2, 0, ID.to_be_bytes()[1]];

/// Maximum time for a server to forward the end of a client.
const LEAVE: Duration = Duration::from_secs(10);

/// The thread that backends run in.
pub(crate) struct Backends(Handle);

impl Backends {
    /// Starts it on the caller's CPU.
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime starts");
        let handle = runtime.handle().clone();
        std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
        Self(handle)
    }

    /// Starts a backend on a new address, so that a server does not run into local ports that another one used
    /// recently.
    pub(crate) fn listen(&self) -> Backend {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
        listener.set_nonblocking(true).expect("it is a socket");
        let addr = listener.local_addr().expect("it is bound");
        let open = Arc::new(AtomicUsize::new(0));
        let accepting = self.0.spawn(accept(listener, Arc::clone(&open)));
        Backend {
            addr,
            open,
            accepting,
        }
    }
}

/// A backend. Dropping it stops accepting connections.
pub(crate) struct Backend {
    addr: SocketAddr,
    open: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Backend {
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Waits until no connection is open, so that the server has finished the work for its clients.
    pub(crate) async fn wait_until_left(&self) -> io::Result<()> {
        let what = "no connection to the backend is open";
        let left = eventually_async(Duration::MAX, what, async || {
            (self.open.load(Ordering::Relaxed) == 0).then_some(())
        });
        timeout(LEAVE, left).await.map_err(|_| {
            let open = self.open.load(Ordering::Relaxed);
            io::Error::other(format!(
                "{open} connections to the backend stay open after their clients have gone"
            ))
        })
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: std::net::TcpListener, open: Arc<AtomicUsize>) {
    let listener = TcpListener::from_std(listener).expect("it is a socket");
    loop {
        let (client, _) = listener.accept().await.expect("descriptors suffice");
        let open = Arc::clone(&open);
        open.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            // The client notices a failure of its connection.
            let _ = answer(client).await;
            open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

async fn answer(client: TcpStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    // Small at first, since a storm has 2,000 connections.
    let mut client = BufReader::with_capacity(1024, client);
    let mut chunk = Vec::new();
    loop {
        match mqtt::next_packet(&mut client).await?.head {
            CONNECT => client.write_all(&ACCEPTED).await?,
            PUBLISH_QOS1 => client.write_all(&ACKNOWLEDGED).await?,
            SUBSCRIBE => {
                if chunk.is_empty() {
                    chunk = messages();
                }
                client.write_all(&chunk).await?;
            }
            _ => break,
        }
    }
    let (mut client, mut buffer) = (client.into_inner(), vec![0; 1024]);
    while client.read(&mut buffer).await? > 0 {
        buffer.resize((buffer.len() * 2).min(CHUNK), 0);
    }
    Ok(())
}

/// Returns a message, which is acknowledged with QoS 1.
pub(crate) fn message(qos: u8) -> Vec<u8> {
    let publish = |payload: &[u8]| mqtt::publish(Version::V311, "benchmark", qos, ID, payload);
    let around = publish(&[]).len();
    publish(&vec![7; MESSAGE - around])
}

/// Returns a chunk of messages that are not acknowledged.
pub(crate) fn messages() -> Vec<u8> {
    message(0).repeat(CHUNK / MESSAGE)
}

/// Returns a request for a number of chunks.
pub(crate) fn request(chunks: usize) -> Vec<u8> {
    mqtt::subscribe(Version::V311, ID, "benchmark", 0).repeat(chunks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Load;

    #[test]
    fn messages_have_one_size() {
        assert_eq!([0, 1].map(|qos| message(qos).len()), [MESSAGE; 2]);
        assert_eq!(messages().len(), CHUNK);
    }

    #[tokio::test]
    async fn clients_get_what_they_wait_for() {
        let backend = Backends::start().listen();
        let load = Load::plain(backend.addr());
        load.visits(10).await.expect("each is accepted");
        load.trips(10).await.expect("messages are acknowledged");
        let times = load.trips_of_one(10).await;
        assert_eq!(times.map(|times| times.len()).ok(), Some(10));
        load.send_mib(2).await.expect("data is discarded");
        load.receive_mib(2).await.expect("data is sent");
        backend.wait_until_left().await.expect("all have left");
    }
}
