//! Short connections that fail, of each kind that occurs in production: the bytes sent, and the expected outcomes in
//! the metrics. Each can be repeated thousands of times.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::attack::connect;
use crate::hello::{self, Hello, RECORD_MAX, TLS10, TLS11, TLS12};
use crate::mqtt::{self, Version};

/// Number of concurrent connections.
const AT_ONCE: u64 = 16;
/// Upper bound for one connection; reaching it means that something hangs.
const DEADLINE: Duration = Duration::from_secs(30);

/// The outcomes of a client that closes right after its ClientHello, possibly before the response.
const LEFT: &[&str] = &["cut", "left_after_certificate"];

/// A kind of failing connection.
#[derive(Clone, Debug)]
pub struct Nuisance {
    /// Its name.
    pub name: &'static str,
    /// The bytes that it sends.
    pub bytes: Arc<[u8]>,
    /// The expected outcomes; several where timing decides.
    pub outcomes: &'static [&'static str],
}

impl Nuisance {
    fn new(
        name: &'static str,
        outcomes: &'static [&'static str],
        bytes: impl Into<Vec<u8>>,
    ) -> Self {
        Self {
            name,
            bytes: bytes.into().into(),
            outcomes,
        }
    }

    /// All kinds.
    pub fn all() -> Vec<Self> {
        let mut all = not_tls();
        all.extend(names());
        all.extend(nothing_in_common());
        all.extend(broken());
        all
    }

    /// Connects, sends the bytes, and returns the whole response.
    pub async fn throw(&self, source: Ipv4Addr, target: SocketAddr) -> io::Result<Vec<u8>> {
        let thrown = timeout(DEADLINE, self.one(source, target)).await;
        thrown.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Reports whether it must close its direction, because the server would wait for more.
    fn hangs_up(&self) -> bool {
        self.outcomes.contains(&"cut")
    }

    async fn one(&self, source: Ipv4Addr, target: SocketAddr) -> io::Result<Vec<u8>> {
        let mut stream = connect(source, target).await?;
        let mut answer = Vec::new();
        // A server may close the connection before it has read everything, which shows as a reset.
        if stream.write_all(&self.bytes).await.is_err() {
            return Ok(answer);
        }
        if self.hangs_up() {
            let _ = stream.shutdown().await;
        }
        let _ = stream.read_to_end(&mut answer).await;
        Ok(answer)
    }

    /// Repeats [`Nuisance::throw`] from 200 addresses in turn, and returns the number of TCP connections.
    pub async fn throw_often(&self, target: SocketAddr, times: u64) -> u64 {
        let thrown = stream::iter(0..times).map(|index| async move {
            let host = u8::try_from(index % 200 + 1).expect("it is below 256");
            self.throw(Ipv4Addr::new(127, 0, 2, host), target).await
        });
        let at_once = usize::try_from(AT_ONCE).expect("it is small");
        let connected = thrown
            .buffer_unordered(at_once)
            .filter(|thrown| std::future::ready(thrown.is_ok()));
        connected.count().await as u64
    }
}

fn not_tls() -> Vec<Nuisance> {
    // PROXY protocol, version 2: signature, PROXY over TCP/IPv4, 12 bytes of addresses.
    let mut proxy = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    proxy.extend([
        0x21, 0x11, 0, 12, 192, 0, 2, 1, 192, 0, 2, 2, 0xc3, 0x50, 0x22, 0xb3,
    ]);
    proxy.extend(Hello::default().records());
    let mut proxy1 = b"PROXY TCP4 192.0.2.1 192.0.2.2 50000 8883\r\n".to_vec();
    proxy1.extend(Hello::default().records());
    let http = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec();
    vec![
        Nuisance::new("PROXY protocol v1", &["proxy_protocol"], proxy1),
        Nuisance::new("PROXY protocol v2", &["proxy_protocol"], proxy),
        Nuisance::new(
            "plaintext MQTT",
            &["plaintext_mqtt"],
            mqtt::connect(Version::V311, "plain\u{1b}[2J"),
        ),
        Nuisance::new("HTTP", &["http"], http),
        Nuisance::new("garbage", &["not_tls"], vec![0xa5; 300]),
        Nuisance::new(
            "an alert and no hello",
            &["client_alert"],
            [21, 3, 3, 0, 2, 2, 48],
        ),
    ]
}

fn names() -> Vec<Nuisance> {
    let named = |name: &[u8]| Hello::default().server_name(name).records();
    let escapes: Vec<u8> = b"\x1b[2J\n".iter().copied().cycle().take(16_900).collect();
    vec![
        Nuisance::new("SNI that is no name", &["bad_sni"], named(b"x!")),
        Nuisance::new("SNI with a port", &["bad_sni"], named(b"localhost:8883")),
        Nuisance::new(
            "SNI of escapes, 16,900 bytes",
            &["bad_sni"],
            named(&escapes),
        ),
        // A server ignores it, and the client leaves in the middle of the handshake.
        Nuisance::new("SNI that is an address", LEFT, named(b"192.0.2.1")),
    ]
}

fn nothing_in_common() -> Vec<Nuisance> {
    const RSA_AES_128_CBC: u16 = 0x002f;
    const PSK_AES_128_CCM: u16 = 0xc0a4;
    const X448: u16 = 0x001e;
    const FFDHE_2048: u16 = 0x0100;
    const RSA_SHA_1: u16 = 0x0201;
    const ECDSA_SHA_1: u16 = 0x0203;
    let tls12 = || Hello::default().versions(&[TLS12]);
    let suites = tls12().suites(&[RSA_AES_128_CBC, PSK_AES_128_CCM]);
    let groups = Hello::default().groups(&[X448, FFDHE_2048]);
    let schemes = Hello::default().schemes(&[RSA_SHA_1, ECDSA_SHA_1]);
    let schemes12 = tls12().schemes(&[RSA_SHA_1, ECDSA_SHA_1]);
    let old = |version| Hello::default().versions(&[version]).records();
    vec![
        Nuisance::new("no common suite", &["incompatible"], suites.records()),
        Nuisance::new("no common group", &["incompatible"], groups.records()),
        Nuisance::new("SHA-1 only", &["incompatible"], schemes.records()),
        Nuisance::new(
            "SHA-1 only, TLS 1.2",
            &["incompatible"],
            schemes12.records(),
        ),
        Nuisance::new("TLS 1.1 only", &["incompatible"], old(TLS11)),
        Nuisance::new("TLS 1.0 only", &["incompatible"], old(TLS10)),
    ]
}

fn broken() -> Vec<Nuisance> {
    let hello = Hello::default().records();
    let half = hello[..hello.len() / 2].to_vec();
    let mut alert = Hello::default().versions(&[TLS12]).records();
    // Fatal: unknown CA.
    alert.extend([21, 3, 3, 0, 2, 2, 48]);
    let large = Hello::default().padding(30_000);
    vec![
        Nuisance::new("nothing", &["cut"], []),
        Nuisance::new("half a hello", &["cut"], half),
        Nuisance::new("hello and go", LEFT, hello),
        Nuisance::new("an alert", &["client_alert"], alert),
        Nuisance::new("a hello of 30 kB", &["too_large"], large.records()),
        Nuisance::new(
            "a hello of 30 kB in small records",
            &["too_large"],
            hello::records_of(&large.message(), RECORD_MAX / 256),
        ),
        Nuisance::new(
            "a broken hello",
            &["bad_message"],
            [22, 3, 1, 0, 4, 1, 0, 0, 0],
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_kind_has_a_unique_name() {
        let all = Nuisance::all();
        let names: BTreeSet<_> = all.iter().map(|nuisance| nuisance.name).collect();
        assert_eq!(names.len(), all.len());
    }
}
