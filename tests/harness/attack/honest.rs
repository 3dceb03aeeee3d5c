//! Honest clients: each completes a TLS 1.3 handshake, gets its CONNACK and a PINGRESP, and disconnects gracefully. A
//! failed client does not retry: it counts as not served.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_rustls::TlsConnector;

use crate::attack::{Origin, connect};
use crate::mqtt::{self, Version};
use crate::pki::Ca;

/// Timeout of a client.
const PATIENCE: Duration = Duration::from_secs(20);

/// How an honest client behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// Without delay.
    Promptly,
    /// It pauses before its ClientHello.
    Silently,
    /// It sends its ClientHello in two pieces, with a pause between them.
    InPieces,
    /// It pauses after the server's certificate.
    Thoughtfully,
}

/// Returns the behaviour of client number `index`, and whether it uses an address of attackers. A third is prompt from
/// attackers' addresses, a third is prompt from its own addresses, and the slow third uses both.
fn way(index: u64) -> (Way, bool) {
    let is_neighbour = (index / 9).is_multiple_of(2);
    match (index % 3, index / 3 % 3) {
        (0, _) => (Way::Promptly, true),
        (1, _) => (Way::Promptly, false),
        (_, 0) => (Way::Silently, is_neighbour),
        (_, 1) => (Way::InPieces, is_neighbour),
        (_, _) => (Way::Thoughtfully, is_neighbour),
    }
}

/// A plan of honest clients.
#[derive(Clone)]
pub struct Honest {
    /// Their TLS configuration ([`trusting`]).
    pub config: Arc<ClientConfig>,
    /// The listener's address.
    pub target: SocketAddr,
    /// The attackers' addresses, which some of the clients share.
    pub attackers: Origin,
    /// New clients per second.
    pub rate: u32,
    /// Pause of slow clients: before their ClientHello, in the middle of it, or before they finish the handshake.
    pub pause: Duration,
}

/// The configuration of honest clients: TLS 1.3, without resumption.
pub fn trusting(ca: &Ca) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from(ca.cert_der());
    roots.add(root).expect("the CA is valid");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

/// The clients' results.
#[derive(Debug, Default)]
pub struct Served {
    /// Times from connect to CONNACK, sorted; a slow client's own pause is not included.
    pub took: Vec<Duration>,
    /// Number of clients.
    pub tried: usize,
    /// Reasons for failures, and how often each occurred.
    pub failures: BTreeMap<String, usize>,
}

impl Served {
    /// The time within which this percentage of the served clients got their CONNACK.
    pub fn percentile(&self, percent: usize) -> Duration {
        let index = (self.took.len() * percent).div_ceil(100).saturating_sub(1);
        self.took.get(index).copied().unwrap_or_default()
    }

    /// Reports whether there were clients, and all were served.
    pub fn is_everyone(&self) -> bool {
        self.tried > 0 && self.took.len() == self.tried
    }
}

impl fmt::Display for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (served, tried) = (self.took.len(), self.tried);
        let (median, most) = (self.percentile(50), self.percentile(99));
        write!(
            f,
            "{served} of {tried} served, p50 {median:.0?}, p99 {most:.0?}"
        )?;
        for (why, count) in &self.failures {
            write!(f, "\n    {count} × {why}")?;
        }
        Ok(())
    }
}

/// Running honest clients.
pub struct Coming {
    stop: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<Served>,
}

impl Honest {
    /// Starts the clients in a separate thread, so that attackers in this process do not delay them.
    pub fn start(self) -> Coming {
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let runtime = runtime.expect("a runtime can be made");
            runtime.block_on(self.come(stopped))
        });
        Coming { stop, thread }
    }

    async fn come(self, mut stopped: oneshot::Receiver<()>) -> Served {
        let mut clients = JoinSet::new();
        let mut ticks = interval(Duration::from_secs(1) / self.rate);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for index in 0.. {
            tokio::select! {
                _ = &mut stopped => break,
                _ = ticks.tick() => {}
            }
            let honest = self.clone();
            clients.spawn(async move { honest.one(index).await });
        }
        let mut served = Served {
            tried: clients.len(),
            ..Served::default()
        };
        for outcome in clients.join_all().await {
            match outcome {
                Ok(took) => served.took.push(took),
                Err(why) => *served.failures.entry(why).or_default() += 1,
            }
        }
        served.took.sort_unstable();
        served
    }

    async fn one(&self, index: u64) -> Result<Duration, String> {
        let (way, is_neighbour) = way(index);
        let source = if is_neighbour {
            self.attackers.address(index)
        } else {
            let [high, low] = u16::try_from(index % 60_000 + 1)
                .expect("it is small")
                .to_be_bytes();
            Ipv4Addr::new(127, 1, high, low)
        };
        let failure = |what: &str, error: io::Error| {
            let whose = if is_neighbour { "attackers'" } else { "own" };
            format!("{way:?} from {whose} address, {what}: {error}")
        };
        let visit = self.visit(way, source);
        match timeout(PATIENCE, visit).await {
            Ok(Ok(took)) => Ok(took),
            Ok(Err((what, error))) => Err(failure(what, error)),
            Err(_) => Err(failure("timeout", io::ErrorKind::TimedOut.into())),
        }
    }

    async fn visit(
        &self,
        way: Way,
        source: Ipv4Addr,
    ) -> Result<Duration, (&'static str, io::Error)> {
        let began = Instant::now();
        let tcp = connect(source, self.target)
            .await
            .map_err(|error| ("TCP connect", error))?;
        let socket = Slow::new(tcp, way, self.pause);
        let name = ServerName::try_from("localhost").expect("it is a DNS name");
        let mut client = TlsConnector::from(Arc::clone(&self.config))
            .connect(name, socket)
            .await
            .map_err(|error| ("handshake", error))?;
        let connack = async {
            client
                .write_all(&mqtt::connect(Version::V311, "honest"))
                .await?;
            client.flush().await?;
            expect(&mut client, &[mqtt::CONNACK, 2, 0, 0]).await
        };
        connack.await.map_err(|error| ("CONNACK", error))?;
        let waited = client.get_ref().0.waited;
        let took = began.elapsed().saturating_sub(waited);
        let ping = async {
            client.write_all(&mqtt::PINGREQ).await?;
            client.flush().await?;
            expect(&mut client, &mqtt::PINGRESP).await?;
            client.write_all(&mqtt::DISCONNECT).await?;
            client.shutdown().await
        };
        ping.await.map_err(|error| ("ping", error))?;
        Ok(took)
    }
}

impl Coming {
    /// Starts no more clients, waits for those in progress, and returns the results.
    pub fn stop(self) -> Served {
        // A panic of the thread shows in `join`.
        let _ = self.stop.send(());
        self.thread.join().expect("honest clients do not panic")
    }
}

async fn expect(client: &mut (impl AsyncRead + Unpin), wanted: &[u8]) -> io::Result<()> {
    let mut bytes = vec![0; wanted.len()];
    client.read_exact(&mut bytes).await?;
    if bytes == wanted {
        return Ok(());
    }
    Err(io::Error::other(format!("received {bytes:?}")))
}

/// A TCP stream that pauses once.
struct Slow {
    tcp: TcpStream,
    way: Way,
    pause: Duration,
    /// Number of writes.
    sent: usize,
    sleeps: Option<Pin<Box<tokio::time::Sleep>>>,
    /// Duration of the pause, once it is over.
    waited: Duration,
}

impl Slow {
    fn new(tcp: TcpStream, way: Way, pause: Duration) -> Self {
        Self {
            tcp,
            way,
            pause,
            sent: 0,
            sleeps: None,
            waited: Duration::ZERO,
        }
    }

    /// Resolves when the next write is due.
    fn poll_time(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // The second write is the rest of the ClientHello, or the flight after the server's.
        let is_now = match self.way {
            Way::Promptly => false,
            Way::Silently => self.sent == 0,
            Way::InPieces | Way::Thoughtfully => self.sent == 1,
        };
        if is_now && self.waited.is_zero() {
            let pause = self.pause;
            let sleeps = self.sleeps.get_or_insert_with(|| Box::pin(sleep(pause)));
            std::task::ready!(sleeps.as_mut().poll(context));
            self.waited = pause;
        }
        Poll::Ready(())
    }
}

impl AsyncWrite for Slow {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        std::task::ready!(self.poll_time(context));
        let is_half = self.way == Way::InPieces && self.sent == 0;
        let size = if is_half {
            bytes.len() / 2
        } else {
            bytes.len()
        };
        let written =
            std::task::ready!(Pin::new(&mut self.tcp).poll_write(context, &bytes[..size]))?;
        self.sent += 1;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}

impl AsyncRead for Slow {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(context, buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_each_and_half_of_the_slow_ones_from_an_attackers_address() {
        let mut counts = BTreeMap::new();
        for index in 0..18 {
            *counts.entry(way(index)).or_insert(0) += 1;
        }
        let expected = [
            ((Way::Promptly, false), 6),
            ((Way::Promptly, true), 6),
            ((Way::Silently, false), 1),
            ((Way::Silently, true), 1),
            ((Way::InPieces, false), 1),
            ((Way::InPieces, true), 1),
            ((Way::Thoughtfully, false), 1),
            ((Way::Thoughtfully, true), 1),
        ];
        assert_eq!(counts.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn percentiles_are_of_served_clients() {
        let served = Served {
            took: (1..=100).map(Duration::from_millis).collect(),
            tried: 101,
            failures: BTreeMap::from([("a reset".to_owned(), 1)]),
        };
        assert_eq!(served.percentile(50), Duration::from_millis(50));
        assert_eq!(served.percentile(99), Duration::from_millis(99));
        assert!(!served.is_everyone());
        assert!(!Served::default().is_everyone());
        assert_eq!(
            served.to_string(),
            "100 of 101 served, p50 50ms, p99 99ms\n    1 × a reset"
        );
    }
}
