//! The backend of all servers. It answers CONNECT, discards all data, and sends data on request. It must not
//! validate MQTT.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tests::mqtt;
use tests::wait::eventually_async;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Prefix of a client ID that requests data, followed by the number of MiB.
pub(crate) const WANTS: &str = "wants-";
/// Size of a write.
pub(crate) const CHUNK: usize = 1024 * 1024;

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

async fn answer(mut client: TcpStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    // Small at first, since a storm has 2,000 connections.
    let mut buffer = vec![0; 1024];
    let count = client.read(&mut buffer).await?;
    client.write_all(&[mqtt::CONNACK, 2, 0, 0]).await?;
    let text = String::from_utf8_lossy(&buffer[..count]);
    let wanted = text
        .split(WANTS)
        .nth(1)
        .and_then(|mib| mib.parse::<usize>().ok());
    if let Some(mib) = wanted {
        let chunk = vec![7; CHUNK];
        for _ in 0..mib {
            client.write_all(&chunk).await?;
        }
    }
    while client.read(&mut buffer).await? > 0 {
        buffer.resize((buffer.len() * 2).min(CHUNK), 0);
    }
    Ok(())
}
