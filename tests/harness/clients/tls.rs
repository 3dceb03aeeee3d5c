//! A TLS client in this process (rustls), for tests that control single bytes: their division into TCP segments and TLS
//! records, and the end of the connection. It must know no MQTT beyond sending and reading packets.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::mqtt::{self, Packet, Version};
use crate::pki::{Ca, Leaf};

/// Upper bound for each operation; reaching it means that something hangs.
const DEADLINE: Duration = Duration::from_secs(20);

/// How to connect. A second connection of one `Connector` resumes the session.
#[derive(Clone)]
pub struct Connector {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    one_byte_segments: bool,
    from: Option<IpAddr>,
}

impl Connector {
    /// Trusts `ca`, connects to `localhost`, offers TLS 1.2 and 1.3 and no client certificate.
    pub fn new(ca: &Ca) -> Self {
        Self::build(ca, None, rustls::ALL_VERSIONS)
    }

    /// Trusts several CAs.
    pub fn trusting(cas: &[&Ca]) -> Self {
        Self::build_of(cas, None, rustls::ALL_VERSIONS)
    }

    /// With a client certificate.
    pub fn with_identity(ca: &Ca, identity: &Leaf) -> Self {
        Self::build(ca, Some(identity), rustls::ALL_VERSIONS)
    }

    /// With these versions only (`&[&rustls::version::TLS12]`), and a client certificate or none.
    pub fn build(
        ca: &Ca,
        identity: Option<&Leaf>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        Self::build_of(&[ca], identity, versions)
    }

    /// [`Connector::build`] with several CAs.
    pub fn build_of(
        cas: &[&Ca],
        identity: Option<&Leaf>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        let mut roots = RootCertStore::empty();
        for ca in cas {
            let added = roots.add(CertificateDer::from(ca.cert_der()));
            added.expect("the CA is valid");
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("the provider has these versions")
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(leaf) => {
                let chain = CertificateDer::pem_slice_iter(leaf.chain_pem.as_bytes())
                    .collect::<Result<Vec<_>, _>>()
                    .expect("our chain is PEM");
                let key =
                    PrivateKeyDer::from_pem_slice(leaf.key_pem.as_bytes()).expect("it is PEM");
                builder
                    .with_client_auth_cert(chain, key)
                    .expect("the leaf is valid")
            }
        };
        let name = ServerName::try_from("localhost").expect("it is a DNS name");
        Self {
            config: Arc::new(config),
            name,
            one_byte_segments: false,
            from: None,
        }
    }

    /// Connects from this address, such as another one of loopback.
    #[must_use]
    pub fn bound_to(mut self, address: IpAddr) -> Self {
        self.from = Some(address);
        self
    }

    /// Uses another name for SNI and verification; an address is verified, but not sent.
    #[must_use]
    pub fn server_name(mut self, name: &str) -> Self {
        self.name = ServerName::try_from(name.to_owned()).expect("a DNS name or an address");
        self
    }

    /// Changes the rustls configuration, such as ALPN, resumption or the key log.
    #[must_use]
    pub fn configure(mut self, change: impl FnOnce(&mut ClientConfig)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }

    /// Sends each byte, also of the handshake, in its own TCP segment.
    #[must_use]
    pub fn one_byte_segments(mut self) -> Self {
        self.one_byte_segments = true;
        self
    }

    /// Connects and completes the handshake. In TLS 1.3 a rejected client certificate shows later, at the first read.
    pub async fn connect(&self, addr: SocketAddr) -> io::Result<TlsClient> {
        let tcp = soon(connect_from(self.from, addr)).await?;
        tcp.set_nodelay(true)?;
        let socket = Socket {
            tcp,
            one_byte_segments: self.one_byte_segments,
        };
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let stream = soon(connector.connect(self.name.clone(), socket)).await?;
        Ok(TlsClient { stream })
    }

    /// [`Connector::connect`], then [`mqtt::first_packet`], without waiting for the response.
    pub async fn open(&self, addr: SocketAddr) -> io::Result<TlsClient> {
        let mut client = self.connect(addr).await?;
        client.send(&mqtt::first_packet()).await?;
        Ok(client)
    }

    /// [`Connector::connect`], then CONNECT (3.1.1) and CONNACK.
    pub async fn connect_mqtt(&self, addr: SocketAddr, client_id: &str) -> io::Result<TlsClient> {
        let mut client = self.connect(addr).await?;
        client
            .send(&mqtt::connect(Version::V311, client_id))
            .await?;
        let connack = client.read_packet().await?;
        if connack.accepts() {
            Ok(client)
        } else {
            Err(io::Error::other(format!("{connack:?}")))
        }
    }
}

/// Connects by TCP, from this address if there is one.
pub async fn connect_from(from: Option<IpAddr>, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    if let Some(from) = from {
        socket.bind(SocketAddr::new(from, 0))?;
    }
    socket.connect(to).await
}

/// An open TLS connection. Dropping it closes TCP (FIN) without close_notify.
pub struct TlsClient {
    stream: TlsStream<Socket>,
}

impl TlsClient {
    /// Sends bytes, in one TLS record if they fit.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        soon(async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        })
        .await
    }

    /// Sends each byte in its own TLS record.
    pub async fn send_one_byte_records(&mut self, bytes: &[u8]) -> io::Result<()> {
        for byte in bytes.chunks(1) {
            self.send(byte).await?;
        }
        Ok(())
    }

    /// Reads exactly this many bytes.
    pub async fn read_exact(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        soon(self.stream.read_exact(&mut bytes)).await?;
        Ok(bytes)
    }

    /// Reads the next bytes; returns none at close_notify.
    pub async fn read_some(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; 16 * 1024];
        let count = soon(self.stream.read(&mut bytes)).await?;
        bytes.truncate(count);
        Ok(bytes)
    }

    /// Reads one MQTT packet.
    pub async fn read_packet(&mut self) -> io::Result<Packet> {
        soon(mqtt::next_packet(&mut self.stream)).await
    }

    /// Sends PINGREQ and waits for PINGRESP, which proves that the whole path works.
    pub async fn ping(&mut self) -> io::Result<()> {
        self.send(&mqtt::PINGREQ).await?;
        let answer = self.read_packet().await?;
        if answer.head == mqtt::PINGRESP[0] {
            Ok(())
        } else {
            Err(io::Error::other(format!("{answer:?}")))
        }
    }

    /// Reads until the server closes its direction, and returns how it did.
    pub async fn read_to_end(&mut self) -> (Vec<u8>, End) {
        let mut all = Vec::new();
        loop {
            match self.read_some().await {
                Ok(bytes) if bytes.is_empty() => return (all, End::CloseNotify),
                Ok(bytes) => all.extend(bytes),
                Err(error) => return (all, End::from(error)),
            }
        }
    }

    /// Sends close_notify and a FIN; reading remains possible.
    pub async fn close_notify(&mut self) -> io::Result<()> {
        soon(self.stream.shutdown()).await
    }

    /// Sends a FIN without close_notify; reading remains possible.
    pub fn fin(&mut self) -> io::Result<()> {
        SockRef::from(&self.stream.get_ref().0.tcp).shutdown(std::net::Shutdown::Write)
    }

    /// Closes the connection with a TCP reset.
    pub fn reset(self) -> io::Result<()> {
        SockRef::from(&self.stream.get_ref().0.tcp).set_linger(Some(Duration::ZERO))
    }

    /// The rustls session: version, suite, key exchange, ALPN, the server's certificates, resumption.
    pub fn session(&self) -> &rustls::ClientConnection {
        self.stream.get_ref().1
    }

    /// The server's leaf certificate, in DER.
    pub fn server_cert(&self) -> Vec<u8> {
        let certs = self.session().peer_certificates().unwrap_or_default();
        certs.first().map(|cert| cert.to_vec()).unwrap_or_default()
    }

    /// The TCP socket, for its options and for bytes outside of TLS.
    pub fn tcp(&self) -> &TcpStream {
        &self.stream.get_ref().0.tcp
    }

    /// The stream itself, without a deadline, for what this type does not offer.
    pub fn stream(&mut self) -> &mut (impl AsyncRead + AsyncWrite + Unpin + Send + use<>) {
        &mut self.stream
    }
}

/// How the peer closed its direction.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// With close_notify.
    CloseNotify,
    /// A FIN without close_notify.
    Fin,
    /// A TCP reset.
    Reset,
    /// With a TLS alert, by rustls' name, such as `CertificateRequired`.
    Alert(String),
    /// Anything else, such as nothing for 20 seconds.
    Other(String),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        let tls = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match (error.kind(), tls) {
            (_, Some(rustls::Error::AlertReceived(alert))) => Self::Alert(format!("{alert:?}")),
            (io::ErrorKind::UnexpectedEof, _) => Self::Fin,
            (io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe, _) => Self::Reset,
            _ => Self::Other(error.to_string()),
        }
    }
}

async fn soon<T>(step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match tokio::time::timeout(DEADLINE, step).await {
        Ok(result) => result,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "nothing for 20 s")),
    }
}

/// A TCP stream that can be limited to one byte a write.
struct Socket {
    tcp: TcpStream,
    one_byte_segments: bool,
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let limit = if self.one_byte_segments {
            bytes.len().min(1)
        } else {
            bytes.len()
        };
        // TCP_NODELAY is set, so each write is sent as a segment at once.
        let written = ready!(Pin::new(&mut self.tcp).poll_write(context, &bytes[..limit]))?;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(context, buffer)
    }
}

mod cut;
#[cfg(test)]
mod tests;
