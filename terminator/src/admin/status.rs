//! The content of `/status`. It must not contain key material, and must not ask anything.

use std::sync::Arc;

use jiff::Timestamp;
use mqtt_tls_config::Protocol;
use serde::Serialize;

use crate::admin::preview::Preview;
use crate::backend::health::Seen;
use crate::crls::{self, Shown};
use crate::settings::hosts::{Host, Target};
use crate::settings::{Advice, Settings, Warning};
use crate::tls::ClientTrust;
use crate::trial;
use mqtt_tls_judge::certificate::{Certificate, Facts};

/// Content of `/status`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Version of this program.
    pub program: &'static str,
    /// Address that accepts connections.
    pub listen: String,
    /// The broker.
    pub backend: Backend,
    /// The brokers of clients that negotiate a protocol with one of its own (ALPN).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by_protocol: Vec<ProtocolStatus>,
    /// What clients speak inside TLS: `mqtt`, `websocket` or `tcp`.
    pub protocol: Protocol,
    /// Client authentication: `None`, `Optional`, `Require` or `DryRun`.
    pub client_auth: &'static str,
    /// The active configuration.
    pub configuration: Configuration,
    /// Whose the session ticket keys are: `Own`, or `Shared` with other terminators.
    pub ticket_keys: &'static str,
    /// The revocation lists, if there are sources of any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revocation: Option<Shown>,
    /// Served certificates, the default first, and then their candidates.
    pub certificates: Vec<CertificateStatus>,
    /// The hosts, in the order of the configuration.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostStatus>,
    /// Trials of renewed certificates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trials: Vec<trial::Shown>,
    /// Warnings at the time of the request.
    pub warnings: Vec<Doubt>,
    /// Number of connections.
    pub connections: Connections,
    /// Clients that could not connect after a change of `tls`.
    pub preview: Preview,
    /// Reasons for not being ready; empty when ready.
    pub waiting_for: Vec<&'static str>,
}

/// A host.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HostStatus {
    /// Its names.
    pub names: Vec<String>,
    /// Its broker.
    pub backend: Backend,
    /// The brokers of clients that negotiate a protocol with one of its own (ALPN).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by_protocol: Vec<ProtocolStatus>,
    /// Client authentication: `None`, `Optional`, `Require` or `DryRun`.
    pub client_auth: &'static str,
    /// Its own certificates, the default first, and then their candidates; none if the listener's are served.
    pub certificates: Vec<CertificateStatus>,
}

/// A certificate.
#[derive(Clone, Debug, Serialize)]
pub struct CertificateStatus {
    /// What is known of it.
    #[serde(flatten)]
    pub facts: Arc<Facts>,
    /// The ID of its trial, if it is a candidate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidate: Option<String>,
}

impl CertificateStatus {
    fn of(certificate: &Certificate, candidate: Option<&str>) -> Self {
        Self {
            facts: Arc::clone(certificate.facts()),
            candidate: candidate.map(str::to_owned),
        }
    }

    /// Returns those that a host has of its own.
    fn all(host: &Host) -> Vec<Self> {
        let own = host.certificates.iter().map(|one| Self::of(one, None));
        let candidates = host.candidates.iter();
        let candidates = candidates.map(|one| Self::of(&one.certificate, Some(&one.id)));
        let all = own.chain(candidates);
        all.filter(|_| host.has_own_certificates).collect()
    }
}

impl HostStatus {
    fn of(host: &Host) -> Self {
        Self {
            names: host.names.clone(),
            backend: Backend::of(&host.target),
            by_protocol: ProtocolStatus::all(host),
            client_auth: match host.trust {
                ClientTrust::Disabled => "None",
                ClientTrust::Optional(_) => "Optional",
                ClientTrust::Required(_) => "Require",
                ClientTrust::DryRun(_) => "DryRun",
            },
            certificates: CertificateStatus::all(host),
        }
    }
}

/// An application protocol with a broker of its own.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProtocolStatus {
    /// Its name.
    pub protocol: String,
    /// Its broker.
    pub backend: Backend,
}

impl ProtocolStatus {
    /// Returns those that a host does not have from the listener itself.
    pub(super) fn all(host: &Host) -> Vec<Self> {
        let by_protocol = host.by_protocol.iter();
        let by_protocol = by_protocol.filter(|_| host.has_own_protocols);
        by_protocol
            .map(|(protocol, target)| Self {
                protocol: protocol.clone(),
                backend: Backend::of(target),
            })
            .collect()
    }
}

/// The broker, and whether it is reachable: whether the last attempts to connect to it succeeded (those of clients, or else
/// one that is made for the request), and whether it answers those that it accepts.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Backend {
    /// Its address.
    pub address: String,
    /// Whether the last attempt succeeded, and not all of the last ten connections or more ended without an answer; `null`
    /// before the first attempt has ended.
    pub reachable: Option<bool>,
    /// Seconds since the first of the failed attempts, or of the connections without an answer.
    pub unreachable_for: Option<u64>,
    /// Error of the last attempt, or what happened to the last connection without an answer.
    pub error: Option<String>,
}

impl Backend {
    pub(super) fn of(target: &Target) -> Self {
        let (reachable, unreachable_for, error) = match target.known.health.seen() {
            Seen::Nothing => (None, None, None),
            Seen::Reachable => (Some(true), None, None),
            Seen::Unreachable(since, error) => (Some(false), Some(since.as_secs()), Some(error)),
        };
        Self {
            address: target.backend.to_string(),
            reachable,
            unreachable_for,
            error,
        }
    }
}

/// The active configuration.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Configuration {
    /// Its key `version`.
    pub version: Option<String>,
    /// Number of configurations that have been active since the start, including this one.
    pub generation: u64,
    /// Time since which it is active.
    pub loaded_at: Timestamp,
    /// Error of the last reload, if it failed.
    pub last_error: Option<ReloadError>,
}

/// Error of a failed reload.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReloadError {
    /// Reason, one of a fixed set.
    pub reason: &'static str,
    /// Human-readable message.
    pub message: String,
    /// Time of the reload.
    pub at: Timestamp,
}

/// Warning about the active configuration.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Doubt {
    /// The first name of the host whose it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// Key of the configuration.
    pub key: String,
    /// Reason, one of a fixed set.
    pub reason: &'static str,
    /// Human-readable message.
    pub message: String,
}

impl From<Warning> for Doubt {
    fn from(warning: Warning) -> Self {
        Self {
            host: warning.host,
            key: warning.key,
            reason: warning.finding.reason.name(),
            message: warning.finding.message,
        }
    }
}

impl From<crls::Warning> for Doubt {
    fn from(warning: crls::Warning) -> Self {
        Self {
            host: String::new(),
            key: warning.key,
            reason: warning.reason,
            message: warning.message,
        }
    }
}

impl From<Advice> for Doubt {
    fn from(advice: Advice) -> Self {
        Self {
            host: advice.host,
            key: advice.key,
            reason: advice.reason,
            message: advice.message.to_owned(),
        }
    }
}

/// Number of connections.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Connections {
    /// Open connections: those whose client has sent its first packet.
    pub open: u32,
    /// Connections in the TLS handshake.
    pub handshaking: u32,
    /// Open connections whose client's certificate is still to be judged again.
    pub to_recheck: usize,
}

impl Status {
    /// Makes the status of newly active settings.
    pub(crate) fn of(settings: &Settings, listen: String, generation: u64, now: Timestamp) -> Self {
        let listener = HostStatus::of(settings.hosts.listener());
        let others = settings.hosts.all().skip(1);
        Self {
            program: env!("CARGO_PKG_VERSION"),
            listen,
            backend: listener.backend,
            by_protocol: listener.by_protocol,
            protocol: settings.protocol,
            client_auth: listener.client_auth,
            configuration: Configuration {
                version: settings.version.clone(),
                generation,
                loaded_at: now,
                last_error: None,
            },
            ticket_keys: whose(settings),
            revocation: None,
            certificates: listener.certificates,
            hosts: others.map(|host| HostStatus::of(host)).collect(),
            trials: Vec::new(),
            warnings: Vec::new(),
            connections: Connections {
                open: 0,
                handshaking: 0,
                to_recheck: 0,
            },
            preview: Preview::default(),
            waiting_for: Vec::new(),
        }
    }
}

/// Returns whose the session ticket keys are.
pub(super) fn whose(settings: &Settings) -> &'static str {
    if settings.tickets.are_shared() {
        "Shared"
    } else {
        "Own"
    }
}
