//! The load: clients that shake hands, send, receive or sit there, and the backend that they reach.
//! It must not measure.

use std::net::SocketAddr;
use std::sync::Arc;

use futures::stream::{self, StreamExt};
use rustls::client::Resumption;
use tests::clients::tls::{Connector, TlsClient};
use tests::mqtt::{self, Version};
use tests::pki::Ca;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Clients at a time.
const CONCURRENCY: usize = 8;
const MIB: usize = 1024 * 1024;
/// The client ID with which a client asks for bytes, followed by the number of MiB.
const WANTS: &str = "wants-";

/// A backend that answers CONNECT, takes everything, and gives what it is asked for.
pub(crate) struct Backend(SocketAddr);

impl Backend {
    /// Runs in a thread of its own.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a loopback port is free");
        let addr = listener.local_addr().expect("it is bound");
        let listener = listener.into_std().expect("it is a socket");
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime can be made").block_on(async {
                let listener = TcpListener::from_std(listener).expect("it is a socket");
                while let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(answer(client));
                }
            });
        });
        Self(addr)
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.0
    }
}

async fn answer(mut client: TcpStream) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let mut buffer = vec![0; 256 * 1024];
    let count = client.read(&mut buffer).await?;
    client.write_all(&[mqtt::CONNACK, 2, 0, 0]).await?;
    let text = String::from_utf8_lossy(&buffer[..count]);
    let wanted = text
        .split(WANTS)
        .nth(1)
        .and_then(|mib| mib.parse::<usize>().ok());
    if let Some(mib) = wanted {
        let chunk = vec![7; MIB];
        for _ in 0..mib {
            client.write_all(&chunk).await?;
        }
    }
    while client.read(&mut buffer).await? > 0 {}
    Ok(())
}

/// Clients of one server.
pub(crate) struct Load {
    addr: SocketAddr,
    full: Connector,
    resuming: Connector,
}

impl Load {
    pub(crate) fn new(ca: &Ca, addr: SocketAddr) -> Self {
        let group = |config: &mut rustls::ClientConfig| {
            // nginx of Debian 12 knows no hybrid group: both are measured with the same one.
            let mut provider = (**config.crypto_provider()).clone();
            provider.kx_groups = vec![rustls::crypto::aws_lc_rs::kx_group::X25519];
            let mut new = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
                .with_protocol_versions(&[&rustls::version::TLS13])
                .expect("the provider knows TLS 1.3")
                .with_root_certificates(roots(ca))
                .with_no_client_auth();
            new.resumption = config.resumption.clone();
            *config = new;
        };
        let full = Connector::new(ca)
            .configure(|config| config.resumption = Resumption::disabled())
            .configure(group);
        let resuming = Connector::new(ca).configure(group);
        Self {
            addr,
            full,
            resuming,
        }
    }

    /// So many connections with CONNECT, CONNACK, DISCONNECT and close_notify.
    pub(crate) async fn handshakes(&self, count: u32, resumed: bool) {
        let connector = if resumed { &self.resuming } else { &self.full };
        if resumed {
            // The first one brings the ticket.
            self.visit(connector).await;
        }
        stream::iter(0..count)
            .for_each_concurrent(CONCURRENCY, |_| self.visit(connector))
            .await;
    }

    async fn visit(&self, connector: &Connector) {
        let mut client = connect(connector, self.addr, "visitor").await;
        client
            .send(&mqtt::DISCONNECT)
            .await
            .expect("the server reads");
        client.close_notify().await.expect("the server reads");
        client.read_to_end().await;
    }

    pub(crate) async fn send_mib(&self, mib: u32) {
        let mut client = connect(&self.full, self.addr, "sender").await;
        let chunk = vec![7; MIB];
        for _ in 0..mib {
            client.send(&chunk).await.expect("the server reads");
        }
        client.close_notify().await.expect("the server reads");
        client.read_to_end().await;
    }

    pub(crate) async fn receive_mib(&self, mib: u32) {
        let mut client = connect(&self.full, self.addr, &format!("{WANTS}{mib}")).await;
        let mut buffer = vec![0; 256 * 1024];
        let mut left = MIB * mib as usize;
        while left > 0 {
            left -= client
                .stream()
                .read(&mut buffer)
                .await
                .expect("the server sends")
                .min(left);
        }
    }

    /// So many connections that have nothing to say any more.
    pub(crate) async fn idle(&self, count: u32) -> Vec<TlsClient> {
        stream::iter(0..count)
            .map(|_| connect(&self.full, self.addr, "idle"))
            .buffer_unordered(CONCURRENCY)
            .collect()
            .await
    }
}

async fn connect(connector: &Connector, addr: SocketAddr, id: &str) -> TlsClient {
    let mut client = connector
        .connect(addr)
        .await
        .expect("the server shakes hands");
    client
        .send(&mqtt::connect(Version::V311, id))
        .await
        .expect("the server reads");
    client.read_exact(4).await.expect("the backend answers");
    client
}

fn roots(ca: &Ca) -> rustls::RootCertStore {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca.cert_der().into()).expect("it is a CA");
    roots
}
