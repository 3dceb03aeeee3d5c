//! The contract between the two programs: the YAML file that the operator writes and the terminator
//! reads.
//!
//! The three keys of smart-mqtt's TLS plugin, `host`, `port` and `pem`, mean what they mean there. Everything
//! else is optional, with safe defaults:
//!
//! ```yaml
//! port: 8883
//! pem: |                 # chain, leaf first, and private key, in either order
//!   -----BEGIN CERTIFICATE-----
//! backend: {host: smart-mqtt.iot.svc, port: 1883}
//! timeouts: {handshake: 30s}
//! ```
//!
//! Each key is a [`key::Key`] with its bounds, default and meaning; [`reference`] lists them all.
//!
//! This crate knows the file's shape. It must not judge what a PEM holds, nor depend on tokio, rustls or kube.

mod authentication;
mod entries;
pub mod key;
mod nesting;
mod paste;
mod problem;
mod read;
pub mod reference;
mod scalar;
mod secret;
mod sections;
mod tickets;
mod trials;
pub mod yaml;

use std::net::IpAddr;

use serde::Serialize;

use key::{Key, Required, Values};
use sections::is_default;

pub use authentication::Authentication;
pub use problem::{Problem, Problems};
pub use scalar::{is_client_name, is_dns_name, is_protocol_name, show_duration, unreachable};
pub use secret::Pem;
pub use sections::{
    ALPN_NAME_LENGTH_MAX, ALPN_PROTOCOLS_MAX, Admin, Alpn, AlpnProtocol, Backend, CLIENT_RULES_MAX,
    CRLS_MAX, Candidate, ClientAuth, ClientAuthMode, ClientRule, Conflict, CrlUrl, Drain, Group,
    Host, HostTls, Identity, IdentityMode, Limits, Mismatch, Naming, NamingAction, Protocol,
    Revocation, RevocationCheck, RuleField, RuleMatching, SharedNames, Suite, Tickets, Timeouts,
    Tls, TlsVersion, URL_LENGTH_MAX, UnknownNames, WhenUnknown, WithoutCertificate, are_same_names,
};
pub use tickets::{TICKET_FILE_SIZE_MAX, TICKET_PERIOD, TicketKey, TicketsError};
pub use trials::{
    AVOIDED_MAX, Avoided, REMEMBER_RANGE, SHARE_ALL, TRIAL_ID_LENGTH_MAX, TRIALS_FILE_SIZE_MAX,
    TRIALS_MAX, Trial, TrialsError, is_trial_id, show_key,
};

/// Maximum size of a file, in bytes: what a Secret of Kubernetes can hold.
pub const FILE_SIZE_MAX: u64 = 1024 * 1024;

/// Maximum number of entries of `certificates`, beside `pem`.
pub const CERTIFICATES_MAX: usize = 15;

/// Maximum number of `hosts`.
pub const HOSTS_MAX: usize = 64;

/// Maximum number of names of all hosts together.
pub const NAMES_MAX: usize = 1000;

/// Maximum number of ports in `alsoListen`.
pub const ALSO_LISTEN_MAX: usize = 4;

/// Maximum length of templates and names in `identity`, in bytes.
pub const NAME_LENGTH_MAX: usize = 1024;

/// Maximum length of `version`, in characters.
pub const VERSION_LENGTH_MAX: usize = 253;

/// The file as it was written. Whether it can be served is for the terminator to judge.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// The address to listen on. Without one: all addresses, IPv4 and IPv6.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<IpAddr>,
    /// The TCP port to listen on.
    pub port: u16,
    /// More TCP ports to listen on, at most 4.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also_listen: Vec<u16>,
    /// A text of the writer's own, at most 253 characters; shown in `/status`, never interpreted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The smart-mqtt broker.
    pub backend: Backend,
    /// What clients speak inside TLS.
    #[serde(skip_serializing_if = "is_default")]
    pub protocol: Protocol,
    /// Mutual TLS.
    pub client_auth: ClientAuth,
    /// Revocation lists that are fetched, for all hosts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub crls: Vec<CrlUrl>,
    /// User names and client IDs from clients' certificates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// What TLS offers.
    #[serde(skip_serializing_if = "is_default")]
    pub tls: Tls,
    /// How long each phase of a connection may take.
    pub timeouts: Timeouts,
    /// How many connections there may be.
    pub limits: Limits,
    /// How a terminator shuts down.
    pub drain: Drain,
    /// Where probes, metrics and status are answered.
    pub admin: Admin,
    /// The certificate chain and its key, served where no other certificate matches the client's SNI.
    pub pem: Pem,
    /// The certificate that may take its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidate: Option<Candidate>,
    /// More certificates, chosen by SNI and by key type.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<Certificate>,
    /// Names with certificates, mutual TLS, identities and a backend of their own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<Host>,
    /// What clients get that ask for another name.
    #[serde(skip_serializing_if = "is_default")]
    pub unknown_names: UnknownNames,
    /// What is done if clients of one host could take names that certificates give at another.
    #[serde(skip_serializing_if = "is_default")]
    pub shared_names: SharedNames,
}

/// The ALPN protocol (RFC 7301) that marks the operator's probes: the terminator completes the handshake, closes the
/// connection, and does not count it as a client's.
pub const PROBE_PROTOCOL: &[u8] = b"mqtt-tls-probe";

/// The ALPN protocol that a probe offers beside [`PROBE_PROTOCOL`] to get the candidate of a certificate, if there is one.
pub const PROBE_CANDIDATE_PROTOCOL: &[u8] = b"mqtt-tls-probe-candidate";

/// The list of further certificates.
const CERTIFICATES: &str = "certificates";

/// The list of hosts.
const HOSTS: &str = "hosts";

impl Config {
    const HOST: Key<Option<IpAddr>> = Key {
        name: "host",
        values: Values::<Option<IpAddr>>::ADDRESS,
        default: || None,
        meaning: "the address to listen on; without one, all addresses, IPv4 and IPv6",
    };

    const PORT: Required<u16> = Required {
        name: "port",
        values: Values::PORT,
        meaning: "the TCP port to listen on",
    };

    const ALSO_LISTEN: Key<Vec<u16>> = Key {
        name: "alsoListen",
        values: Values::PORTS,
        default: Vec::new,
        meaning: "more TCP ports to listen on, such as a former one that clients still use; one that is removed refuses \
                  new connections, and the open ones stay",
    };

    const PEM: Required<Pem> = Required {
        name: "pem",
        values: Values::pem("the text of a PEM (as `pem: |` and below it the blocks)"),
        meaning: "the certificate chain, leaf first, and its private key, in either order; RSA, ECDSA or Ed25519, as \
                  PKCS#8, PKCS#1 or SEC1. Served where no other certificate matches the client's SNI",
    };

    const VERSION: Key<Option<String>> = Key {
        name: "version",
        values: Values::VERSION,
        default: || None,
        meaning: "a text of your own, shown in `/status`",
    };

    const PROTOCOL: Key<Protocol> = Key {
        name: "protocol",
        values: Values::named(&[
            ("mqtt", Protocol::Mqtt),
            ("websocket", Protocol::Websocket),
            ("tcp", Protocol::Tcp),
        ]),
        default: Protocol::default,
        meaning: "what clients speak inside TLS. `mqtt`: a connection begins with a CONNECT of MQTT 3.1, 3.1.1 or 5, bridges \
                  included; anything else ends before the broker is dialed, but without `identity` this release passes, \
                  counts and logs a CONNECT of another protocol name or version, or of more than 1 MiB. `websocket` and `tcp`: no first packet is read, the \
                  backend is dialed after the handshake, and bytes pass as they come; `timeouts.firstPacket` and \
                  `limits.connectBytes` do not apply, and neither is the answer examined",
    };

    const UNKNOWN_NAMES: Key<UnknownNames> = Key {
        name: "unknownNames",
        values: Values::named(&[
            ("Serve", UnknownNames::Serve),
            ("Refuse", UnknownNames::Refuse),
        ]),
        default: UnknownNames::default,
        meaning: "what clients get that request a name (SNI) that no host has, and no certificate of the file: `Serve` what \
                  clients without SNI get, `Refuse` the alert unrecognized_name",
    };

    const SHARED_NAMES: Key<SharedNames> = Key {
        name: "sharedNames",
        values: Values::named(&[
            ("Refuse", SharedNames::Refuse),
            ("Accept", SharedNames::Accept),
        ]),
        default: SharedNames::default,
        meaning: "what is done with a file in which hosts, or a host and the file itself, have the same `backend`, and clients of \
                  one could take a name that certificates give at another, because they keep the name that they send, or other \
                  authorities issue certificates for the same name: `Refuse` refuses it, `Accept` serves it, where the broker \
                  keeps such clients apart",
    };

    /// Returns a configuration of the two required keys, with defaults for everything else.
    pub fn new(port: u16, pem: Pem) -> Self {
        Self {
            host: None,
            port,
            also_listen: Vec::new(),
            version: None,
            backend: Backend::default(),
            protocol: Protocol::default(),
            client_auth: ClientAuth::default(),
            crls: Vec::new(),
            identity: None,
            tls: Tls::default(),
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            drain: Drain::default(),
            admin: Admin::default(),
            pem,
            candidate: None,
            certificates: Vec::new(),
            hosts: Vec::new(),
            unknown_names: UnknownNames::default(),
            shared_names: SharedNames::default(),
        }
    }

    /// Reports whether another configuration has the same hosts by name, and authenticates and names clients in the same way
    /// for each of them and for all other names, or refuses these too. Rules, revocation and its lists are a part of that.
    pub fn authenticates_as(&self, other: &Self) -> bool {
        let is_same = |(one, other): (&Host, &Host)| {
            one.names == other.names
                && one.client_auth == other.client_auth
                && one.identity == other.identity
        };
        let mut hosts = self.hosts.iter().zip(&other.hosts);
        self.client_auth == other.client_auth
            && self.crls == other.crls
            && self.identity == other.identity
            && self.unknown_names == other.unknown_names
            && self.hosts.len() == other.hosts.len()
            && hosts.all(is_same)
    }

    /// Parses the file's text.
    ///
    /// # Errors
    ///
    /// All problems at once, each with its line and key. Of the file's values, errors show numbers only.
    pub fn parse(text: &str) -> Result<Self, Problems> {
        read::config(text)
    }

    /// Writes the file's text, which [`Config::parse`] reads back as the same value.
    ///
    /// Keys that are newer than the first release are left out where they have their default: a terminator
    /// refuses unknown keys, and during an upgrade older terminators read what a newer operator writes.
    pub fn to_yaml(&self) -> Pem {
        Pem::new(yaml::to_string(self))
    }
}

/// One more certificate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Certificate {
    /// The certificate chain and its key.
    pub pem: Pem,
    /// The certificate that may take its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidate: Option<Candidate>,
}

impl Certificate {
    /// Returns an entry without a candidate.
    pub fn new(pem: Pem) -> Self {
        Self {
            pem,
            candidate: None,
        }
    }

    const PEM: Required<Pem> = Required {
        name: "pem",
        values: Values::pem("the text of a PEM"),
        meaning: "as the file's `pem`, for clients whose SNI one of the certificate's names matches",
    };
}
