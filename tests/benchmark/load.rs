//! The load on a server: clients that connect, exchange messages, send, receive, are idle, or connect all at once. It must
//! not measure the server.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tests::clients::tls::Connector;
use tests::mqtt;
use tests::pki::Ca;
use tokio::time::sleep;

use crate::backend::{self, ACKNOWLEDGED, CHUNK};
use crate::client::{Client, Way};
use crate::setup::Offer;

/// Number of concurrent clients, except in a storm.
pub(crate) const CONCURRENCY: u8 = 8;
/// Number of connections that fetch tickets before sessions are resumed; rustls keeps this many for a server.
const TICKETS: u32 = 8;

/// Delay before a refused client of a storm retries; the default of paho-mqtt and MQTT.js.
const COME_AGAIN: Duration = Duration::from_secs(1);
const TRIES: u32 = 20;

/// Clients of a server.
pub(crate) struct Load {
    addr: SocketAddr,
    full: Way,
    /// Keeps tickets.
    resuming: Way,
}

impl Load {
    pub(crate) fn plain(addr: SocketAddr) -> Self {
        Self {
            addr,
            full: Way::Plain,
            resuming: Way::Plain,
        }
    }

    pub(crate) fn tls(ca: &Ca, addr: SocketAddr, offer: Offer<'_>) -> Self {
        let way = |resumption: Resumption| {
            let connector = connector(ca, offer).configure(|config| {
                config.resumption = resumption;
                let unchecked = Unchecked(Arc::clone(config.crypto_provider()));
                config
                    .dangerous()
                    .set_certificate_verifier(Arc::new(unchecked));
            });
            Way::Tls(connector)
        };
        Self {
            addr,
            full: way(Resumption::disabled()),
            resuming: way(Resumption::in_memory_sessions(1)),
        }
    }

    /// Makes connections with CONNECT, CONNACK, DISCONNECT and close_notify.
    pub(crate) async fn visits(&self, count: u32) -> io::Result<()> {
        self.visits_by(&self.full, count).await.map(drop)
    }

    /// The same with resumed sessions.
    pub(crate) async fn resumed_visits(&self, count: u32) -> io::Result<()> {
        let resumed = self.visits_by(&self.resuming, count).await?;
        // If another client has taken the last ticket, the handshake is a full one; one in a hundred does not
        // matter.
        if resumed < count - count / 100 {
            return Err(io::Error::other(format!(
                "{resumed} of {count} sessions were resumed"
            )));
        }
        Ok(())
    }

    /// Makes full handshakes, one after the other, which fetch the first tickets.
    pub(crate) async fn fetch_tickets(&self) -> io::Result<()> {
        for _ in 0..TICKETS {
            self.visit(&self.resuming).await?;
        }
        Ok(())
    }

    /// Makes connections; returns how many sessions were resumed.
    async fn visits_by(&self, way: &Way, count: u32) -> io::Result<u32> {
        stream::iter(0..count)
            .map(|_| self.visit(way))
            .buffer_unordered(CONCURRENCY.into())
            .try_fold(0, async |sum, is_resumed| Ok(sum + u32::from(is_resumed)))
            .await
    }

    async fn visit(&self, way: &Way) -> io::Result<bool> {
        let mut client = Client::connect(way, self.addr, "visitor").await?;
        let is_resumed = client.is_resumed();
        client.send(&mqtt::DISCONNECT).await?;
        client.leave().await?;
        Ok(is_resumed)
    }

    /// Sends so many messages of QoS 1 from each of the clients that are connected at once.
    pub(crate) async fn trips(&self, count: u32) -> io::Result<()> {
        stream::iter(0..CONCURRENCY)
            .map(|_| self.trips_of_one(count))
            .buffer_unordered(CONCURRENCY.into())
            .try_for_each(async |_| Ok(()))
            .await
    }

    /// Sends messages of QoS 1, each when the one before has been acknowledged; returns the time that each took.
    pub(crate) async fn trips_of_one(&self, count: u32) -> io::Result<Vec<Duration>> {
        let mut client = Client::connect(&self.full, self.addr, "publisher").await?;
        let message = backend::message(1);
        let mut times = Vec::new();
        for _ in 0..count {
            let began = Instant::now();
            client.send(&message).await?;
            client.expect(ACKNOWLEDGED).await?;
            times.push(began.elapsed());
        }
        client.leave().await?;
        Ok(times)
    }

    pub(crate) async fn send_mib(&self, mib: u32) -> io::Result<()> {
        let mut client = Client::connect(&self.full, self.addr, "sender").await?;
        let chunk = backend::messages();
        for _ in 0..mib {
            client.send(&chunk).await?;
        }
        client.leave().await
    }

    pub(crate) async fn receive_mib(&self, mib: u32) -> io::Result<()> {
        let mut client = Client::connect(&self.full, self.addr, "receiver").await?;
        client.send(&backend::request(mib as usize)).await?;
        let mut buffer = vec![0; 256 * 1024];
        let mut left = CHUNK * mib as usize;
        while left > 0 {
            match client.read(&mut buffer).await? {
                0 => return Err(io::Error::other(format!("{left} bytes did not arrive"))),
                count => left -= count.min(left),
            }
        }
        client.leave().await
    }

    /// Opens idle connections.
    pub(crate) async fn idle(&self, count: u32) -> io::Result<Vec<Client>> {
        stream::iter(0..count)
            .map(|_| Client::connect(&self.full, self.addr, "idle"))
            .buffer_unordered(CONCURRENCY.into())
            .try_collect()
            .await
    }

    /// Starts clients that all connect at once, and retry until they are served.
    pub(crate) async fn storm(&self, count: u32) -> io::Result<Storm> {
        let came: Vec<_> = stream::iter(0..count)
            .map(|_| self.come())
            .buffer_unordered(count as usize)
            .try_collect()
            .await?;
        let mut storm = Storm::default();
        for (time, tries, client) in came {
            storm.times.push(time);
            storm.turned_away += tries - 1;
            storm.clients.push(client);
        }
        Ok(storm)
    }

    /// Connects; returns the time it took and the number of failed tries.
    async fn come(&self) -> io::Result<(Duration, u32, Client)> {
        let began = Instant::now();
        let mut tries = 1;
        loop {
            match Client::connect(&self.full, self.addr, "storm").await {
                Ok(client) => return Ok((began.elapsed(), tries, client)),
                Err(error) if tries == TRIES => return Err(error),
                Err(_) => sleep(COME_AGAIN).await,
            }
            tries += 1;
        }
    }
}

/// Result of a storm.
#[derive(Default)]
pub(crate) struct Storm {
    /// Time of each client from its first try to its CONNACK.
    pub(crate) times: Vec<Duration>,
    /// Number of failed tries.
    pub(crate) turned_away: u32,
    /// The clients, still connected.
    pub(crate) clients: Vec<Client>,
}

/// Returns the suite that the server chooses for a client that checks certificate, version, group and protocol.
pub(crate) async fn look(ca: &Ca, addr: SocketAddr, offer: Offer<'_>) -> io::Result<String> {
    let client = connector(ca, offer).connect_mqtt(addr, "looks").await?;
    let protocol = client.session().alpn_protocol();
    if protocol != offer.protocol.map(str::as_bytes) {
        let error = format!("the protocol is {protocol:?}, not {:?}", offer.protocol);
        return Err(io::Error::other(error));
    }
    let suite = client.session().negotiated_cipher_suite();
    let suite = suite.expect("the handshake is complete").suite();
    let name = suite.as_str().unwrap_or("a suite without a name");
    Ok(name.trim_start_matches("TLS13_").to_owned())
}

/// Returns how clients connect with an offer.
fn connector(ca: &Ca, offer: Offer<'_>) -> Connector {
    Connector::build(ca, offer.identity, &[&rustls::version::TLS13])
        .server_name(offer.name)
        .configure(|config| {
            let identity = Arc::clone(&config.client_auth_cert_resolver);
            *config = client_config(ca);
            config.client_auth_cert_resolver = identity;
            let protocols = offer.protocol.iter();
            config.alpn_protocols = protocols.map(|name| name.as_bytes().to_vec()).collect();
        })
}

/// TLS 1.3 with X25519, which every server has, in rustls' order of suites.
fn client_config(ca: &Ca) -> ClientConfig {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.kx_groups = vec![rustls::crypto::aws_lc_rs::kx_group::X25519];
    let mut roots = RootCertStore::empty();
    roots.add(ca.cert_der().into()).expect("it is a CA");
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider knows TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Checks nothing: [`look`] has.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
