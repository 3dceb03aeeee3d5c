//! The contract between the two programs: the YAML file that the operator writes and the terminator
//! reads.
//!
//! The three keys of smart-mqtt's TLS plugin, `host`, `port` and `pem`, are accepted as the plugin has
//! them. Everything else is optional, and its default is safe:
//!
//! ```yaml
//! host: 0.0.0.0          # an IP address; default: all addresses, IPv4 and IPv6
//! port: 8883             # 1 to 65535
//! pem: |                 # chain, leaf first, and private key, in either order
//!   -----BEGIN CERTIFICATE-----
//! certificates:          # more of them, chosen by SNI and by key type; at most 15
//! - pem: |
//!     -----BEGIN CERTIFICATE-----
//! version: "7"           # whose text the writer chooses; shown in /status; at most 253 characters
//! backend:
//!   host: 127.0.0.1      # a name or an IP address
//!   port: 1883
//! clientAuth:
//!   mode: None           # None, Optional or Require
//!   ca: |                # what client certificates must chain to; needed unless mode is None
//!     -----BEGIN CERTIFICATE-----
//! tls:
//!   tickets: Tls12       # None, Tls12 or All: with which versions clients get session tickets
//! timeouts:
//!   handshake: 30s       # from accept to the end of the handshake
//!   firstPacket: 20s     # from the end of the handshake to the end of the client's CONNECT
//!   dial: 5s             # resolving the backend and connecting to it, all addresses together
//!   halfClose: 30s       # how long one direction may outlive the other
//! limits:
//!   connections: 250000  # open at once, their first packets said
//!   handshakes: 8192     # clients that are waited for at once, before their first packet
//! drain:
//!   deadline: 30s        # from SIGTERM to the end of the last connection
//! admin:
//!   host: 127.0.0.1      # an IP address
//!   port: 9883
//!   journal: true        # keep the last failed handshakes, for /handshakes
//! ```
//!
//! This crate knows the file's shape and nothing of what is in a PEM: whether a certificate can be
//! served is judged by the terminator's library. It must not depend on tokio, rustls or kube.

mod nesting;
mod paste;
mod problem;
mod read;
mod scalar;
mod secret;
mod section;
pub mod yaml;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use problem::{Problem, Problems};
pub use scalar::is_dns_name;
pub use secret::Pem;

/// The largest file that is read, in bytes: a Secret of Kubernetes holds no more than 1 MiB.
pub const FILE_SIZE_MAX: u64 = 1024 * 1024;

/// How many entries `certificates` may have, beside `pem`.
pub const CERTIFICATES_MAX: usize = 15;

/// How long `version` may be, in characters.
pub const VERSION_LENGTH_MAX: usize = 253;

/// The file, as it was written. What it means is decided where it is made runnable.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// The address to listen on. Without one: all addresses, IPv4 and IPv6.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<IpAddr>,
    /// The TCP port to listen on.
    pub port: u16,
    /// Who wrote this and from what, in the writer's own words; shown in `/status`, never interpreted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The smart-mqtt broker.
    pub backend: Backend,
    /// Whether clients show a certificate, and to whom it must chain.
    pub client_auth: ClientAuth,
    /// What TLS offers beyond its versions, suites and groups, which are fixed.
    #[serde(skip_serializing_if = "is_default")]
    pub tls: Tls,
    /// How long each phase of a connection may take.
    pub timeouts: Timeouts,
    /// How many connections there may be.
    pub limits: Limits,
    /// How a terminator ends.
    pub drain: Drain,
    /// Where probes, metrics and status are answered.
    pub admin: Admin,
    /// The certificate chain and its key, served when no other certificate fits the client's SNI.
    pub pem: Pem,
    /// More certificates, chosen by SNI and by key type.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<Certificate>,
}

impl Config {
    /// A configuration with nothing but the plugin's two mandatory keys.
    pub fn new(port: u16, pem: Pem) -> Self {
        Self {
            host: None,
            port,
            version: None,
            backend: Backend::default(),
            client_auth: ClientAuth::default(),
            tls: Tls::default(),
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            drain: Drain::default(),
            admin: Admin::default(),
            pem,
            certificates: Vec::new(),
        }
    }

    /// Reads the file's text.
    ///
    /// # Errors
    ///
    /// All that is wrong with it, each with its line and key. No error shows a value of the file other
    /// than a number or the name of a key.
    pub fn parse(text: &str) -> Result<Self, Problems> {
        read::config(text)
    }

    /// Writes the file's text, which [`Config::parse`] reads back as the same value.
    ///
    /// A key that the first release did not know is left out where it says what holds anyhow: a terminator
    /// refuses keys that it does not know, and while an operator is replaced by a newer one, terminators of
    /// before read what the newer one writes.
    pub fn to_yaml(&self) -> Pem {
        Pem::new(yaml::to_string(self))
    }
}

/// One more certificate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Certificate {
    /// The certificate chain and its key.
    pub pem: Pem,
}

/// Where the plaintext MQTT goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Backend {
    /// A DNS name or an IP address; resolved at most once a second while clients connect. At most 253 characters.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl Default for Backend {
    /// Where the plugin's own broker would be.
    fn default() -> Self {
        Self {
            host: Ipv4Addr::LOCALHOST.to_string(),
            port: 1883,
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.parse::<Ipv6Addr>().is_ok() {
            return write!(f, "[{}]:{}", self.host, self.port);
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Mutual TLS.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ClientAuth {
    /// Whether a client must show a certificate.
    pub mode: ClientAuthMode,
    /// The certificates that a client's must chain to; a PEM bundle without keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<Pem>,
}

/// Whether a client must show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientAuthMode {
    /// It is not asked for one.
    #[default]
    None,
    /// It is asked; without one it is let in, with one that does not verify it is refused.
    Optional,
    /// Without one that verifies it is refused.
    Require,
}

/// What TLS offers beyond its versions, suites and groups, which are fixed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tls {
    /// Which clients get session tickets, to resume their session with.
    pub tickets: Tickets,
}

/// Which clients get session tickets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tickets {
    /// None: each handshake is a full one.
    None,
    /// Those of TLS 1.2. Tickets of TLS 1.3 carry a nonce of 32 bytes here, and small stacks (wolfSSL)
    /// have room for 8: their handshake succeeds, and each read after it fails.
    #[default]
    Tls12,
    /// All.
    All,
}

/// How long each phase of a connection may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeouts {
    /// From accept to the end of the handshake; 100 ms to 10 min.
    #[serde(with = "scalar::duration")]
    pub handshake: Duration,
    /// From the end of the handshake to the end of the client's CONNECT; 100 ms to 10 min. The backend is
    /// dialled after it.
    #[serde(
        with = "scalar::duration",
        skip_serializing_if = "is_first_packet_default"
    )]
    pub first_packet: Duration,
    /// Resolving the backend and connecting to it, all addresses together; 100 ms to 10 min.
    #[serde(with = "scalar::duration")]
    pub dial: Duration,
    /// How long one direction may outlive the other; 100 ms to 1 h.
    #[serde(with = "scalar::duration")]
    pub half_close: Duration,
}

impl Timeouts {
    /// What `handshake`, `firstPacket` and `dial` are at least and at most.
    pub const PHASE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(600));

    /// What `halfClose` is at least and at most.
    pub const HALF_CLOSE: (Duration, Duration) =
        (Duration::from_millis(100), Duration::from_secs(3600));
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(30),
            first_packet: Duration::from_secs(20),
            dial: Duration::from_secs(5),
            half_close: Duration::from_secs(30),
        }
    }
}

/// How many connections there may be, over all threads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Open at once; 1 to 10,000,000.
    pub connections: u32,
    /// Clients that are waited for at once, before their first packet is there; 1 to 1,000,000.
    pub handshakes: u32,
}

impl Limits {
    /// What `connections` is at least and at most.
    pub const CONNECTIONS: (u32, u32) = (1, 10_000_000);

    /// What `handshakes` is at least and at most.
    pub const HANDSHAKES: (u32, u32) = (1, 1_000_000);
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 250_000,
            handshakes: 8192,
        }
    }
}

/// How a terminator ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Drain {
    /// From SIGTERM to the end of the last connection; 0 to 1 h.
    #[serde(with = "scalar::duration")]
    pub deadline: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(30),
        }
    }
}

/// Where probes, metrics and status are answered, in plain HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Admin {
    /// The address to listen on.
    pub host: IpAddr,
    /// The TCP port.
    pub port: u16,
    /// Whether the last failed handshakes are kept, for `/handshakes`.
    #[serde(skip_serializing_if = "is_journal_default")]
    pub journal: bool,
}

impl Default for Admin {
    /// Loopback: who wants it seen from elsewhere says so.
    fn default() -> Self {
        Self {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 9883,
            journal: true,
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn is_first_packet_default(value: &Duration) -> bool {
    *value == Timeouts::default().first_packet
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands in a reference"
)]
fn is_journal_default(value: &bool) -> bool {
    *value == Admin::default().journal
}
