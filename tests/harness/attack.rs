//! Attackers, which occupy connections and never become clients, and honest clients that connect meanwhile. It only
//! counts; the tests judge.
//!
//! Everything runs on loopback, where each address of 127.0.0.0/8 is usable, so attackers can come from one address
//! or from hundreds.

pub mod honest;
pub mod nuisance;
pub mod sink;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout_at};
use tokio_rustls::TlsConnector;

use crate::hello;

/// Interval at which new attackers start, at any rate.
const TICK: Duration = Duration::from_millis(5);
/// Interval between two bytes of [`Kind::Trickle`].
const TRICKLE: Duration = Duration::from_secs(1);

/// What an attacker does with its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It sends nothing.
    Silent,
    /// It sends the first half of a ClientHello, and then nothing.
    Half,
    /// It sends a whole ClientHello, and closes at once.
    Go,
    /// It sends a whole ClientHello, and then nothing.
    Stay,
    /// It sends a byte of a ClientHello each second.
    Trickle,
    /// It completes the handshake, and then sends nothing.
    Idle,
}

impl Kind {
    /// All of them, for tests that go through the list.
    pub const ALL: [Self; 6] = [
        Self::Silent,
        Self::Half,
        Self::Go,
        Self::Stay,
        Self::Trickle,
        Self::Idle,
    ];

    /// Its name in one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Half => "half",
            Self::Go => "go",
            Self::Stay => "stay",
            Self::Trickle => "trickle",
            Self::Idle => "idle",
        }
    }
}

/// The source addresses of attackers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// 127.0.0.1, which honest clients may use, too.
    One,
    /// This number of addresses in turn, from 127.0.1.1 on.
    Many(u8),
}

impl Origin {
    /// The address of attacker number `index`.
    pub fn address(self, index: u64) -> Ipv4Addr {
        match self {
            Self::One => Ipv4Addr::LOCALHOST,
            Self::Many(count) => {
                let host = u8::try_from(index % u64::from(count)).expect("the count is a byte");
                Ipv4Addr::new(127, 0, 1, host.saturating_add(1))
            }
        }
    }
}

/// An attack.
#[derive(Clone, Debug)]
pub struct Attack {
    /// Client configuration of attackers that complete the handshake ([`honest::trusting`]).
    pub config: Arc<ClientConfig>,
    /// What each attacker does.
    pub kind: Kind,
    /// The source addresses.
    pub origin: Origin,
    /// New connections a second.
    pub rate: u32,
    /// Duration of the attack.
    pub lasts: Duration,
    /// How long an attacker holds a connection that the server does not close.
    pub holds: Duration,
}

/// The attackers' counters.
#[derive(Debug, Default)]
pub struct Seen {
    /// Attempts to connect.
    pub tried: AtomicU64,
    /// TCP connections established.
    pub connected: AtomicU64,
    /// Connections closed by the server.
    pub ended: AtomicU64,
}

impl Attack {
    /// Runs the attack. All sockets are closed when it returns.
    pub async fn run(&self, target: SocketAddr) -> Seen {
        let seen = Arc::new(Seen::default());
        let hello: Arc<[u8]> = hello::of_rustls().into();
        let mut attackers = JoinSet::new();
        let mut ticks = interval(TICK);
        // A machine that is too slow gets fewer attackers, and no burst after a pause.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (began, end) = (Instant::now(), Instant::now() + self.lasts);
        let mut sent: u64 = 0;
        let most = u64::from(self.rate) * u64::from(TICK.subsec_millis()) / 1000 + 1;
        while Instant::now() < end {
            ticks.tick().await;
            let due = began.elapsed().as_secs_f64() * f64::from(self.rate);
            for _ in 0..most * 4 {
                #[allow(clippy::cast_precision_loss, reason = "attackers are far below 2^52")]
                if sent as f64 >= due {
                    break;
                }
                let attacker = Attacker {
                    kind: self.kind,
                    source: self.origin.address(sent),
                    target,
                    hello: Arc::clone(&hello),
                    config: Arc::clone(&self.config),
                };
                let until = Instant::now() + self.holds;
                attackers.spawn(attacker.run(until, Arc::clone(&seen)));
                sent += 1;
            }
            while attackers.try_join_next().is_some() {}
        }
        attackers.shutdown().await;
        Arc::into_inner(seen).expect("all attackers are gone")
    }
}

struct Attacker {
    kind: Kind,
    source: Ipv4Addr,
    target: SocketAddr,
    hello: Arc<[u8]>,
    config: Arc<ClientConfig>,
}

impl Attacker {
    /// Attacks until the server closes the connection, or `until`. Closes the socket.
    async fn run(self, until: Instant, seen: Arc<Seen>) {
        seen.tried.fetch_add(1, Ordering::Relaxed);
        let Ok(Ok(stream)) = timeout_at(until, connect(self.source, self.target)).await else {
            return;
        };
        seen.connected.fetch_add(1, Ordering::Relaxed);
        if let Ok(is_ended) = timeout_at(until, self.hold(stream)).await
            && is_ended
        {
            seen.ended.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Acts as its kind demands; returns whether the server closed the connection.
    async fn hold(&self, mut stream: TcpStream) -> bool {
        let half = self.hello.len() / 2;
        // If a write fails because the server closed the connection, the read below sees the end.
        let _ = match self.kind {
            Kind::Silent => Ok(()),
            Kind::Half => stream.write_all(&self.hello[..half]).await,
            Kind::Stay => stream.write_all(&self.hello).await,
            Kind::Go => {
                let _ = stream.write_all(&self.hello).await;
                return false;
            }
            Kind::Trickle => trickle(&mut stream, &self.hello).await,
            Kind::Idle => {
                let name = ServerName::try_from("localhost").expect("it is a DNS name");
                let connector = TlsConnector::from(Arc::clone(&self.config));
                return match connector.connect(name, stream).await {
                    Ok(mut stream) => until_ended(&mut stream).await,
                    Err(_) => true,
                };
            }
        };
        until_ended(&mut stream).await
    }
}

/// Reads until the server closes the connection.
async fn until_ended(stream: &mut (impl AsyncRead + Unpin)) -> bool {
    let mut ignored = [0; 1024];
    while stream.read(&mut ignored).await.is_ok_and(|count| count > 0) {}
    true
}

/// Sends byte by byte, until a write fails.
async fn trickle(writer: &mut (impl AsyncWriteExt + Unpin), hello: &[u8]) -> std::io::Result<()> {
    for byte in hello.chunks(1) {
        writer.write_all(byte).await?;
        sleep(TRICKLE).await;
    }
    Ok(())
}

/// Connects from an address. From 127.0.0.1 the kernel chooses the port at connect time, so that ports of recently
/// closed connections can be reused.
pub(crate) async fn connect(source: Ipv4Addr, target: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if source != Ipv4Addr::LOCALHOST {
        socket.set_reuseaddr(true)?;
        socket.bind((source, 0).into())?;
    }
    let stream = socket.connect(target).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Raises this process's limit of open files to the maximum, and returns that.
pub fn raise_descriptors() -> u64 {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("the limit can be raised to its maximum");
    limit.maximum.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_addresses_are_used_in_turn() {
        let origin = Origin::Many(200);
        let all: std::collections::BTreeSet<_> =
            (0..400).map(|index| origin.address(index)).collect();
        assert_eq!(all.len(), 200);
        assert_eq!(Origin::One.address(7), Ipv4Addr::LOCALHOST);
    }

    #[tokio::test]
    async fn attackers_keep_their_rate_and_leave_no_connection() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback");
        let attack = Attack {
            config: honest::trusting(&crate::pki::Ca::new("root")),
            kind: Kind::Half,
            origin: Origin::Many(3),
            rate: 100,
            lasts: Duration::from_millis(200),
            holds: Duration::from_secs(5),
        };
        let target = listener.local_addr().expect("it is bound");
        let served = async {
            loop {
                let (mut stream, from) = listener.accept().await.expect("it accepts");
                assert!(from.ip().to_string().starts_with("127.0.1."), "{from}");
                let mut bytes = [0; 1];
                stream
                    .read_exact(&mut bytes)
                    .await
                    .expect("half a hello comes");
                assert_eq!(bytes, [22]);
            }
        };
        let seen = tokio::select! {
            seen = attack.run(target) => seen,
            () = served => unreachable!("it has no end"),
        };
        let tried = seen.tried.into_inner();
        assert!((1..=21).contains(&tried), "{tried}");
    }
}
