//! The content of `/status`. It must not contain key material, and must not ask anything.

use std::sync::Arc;

use jiff::Timestamp;
use mqtt_tls_config::Protocol;
use serde::Serialize;

use crate::backend::health::Seen;
use crate::settings::hosts::Host;
use crate::settings::{Advice, Settings, Warning};
use crate::tls::ClientTrust;
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
    /// What clients speak inside TLS: `mqtt`, `websocket` or `tcp`.
    pub protocol: Protocol,
    /// Client authentication: `None`, `Optional` or `Require`.
    pub client_auth: &'static str,
    /// The active configuration.
    pub configuration: Configuration,
    /// Served certificates, the default first.
    pub certificates: Vec<Arc<Facts>>,
    /// The hosts, in the order of the configuration.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostStatus>,
    /// Warnings at the time of the request.
    pub warnings: Vec<Doubt>,
    /// Number of connections.
    pub connections: Connections,
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
    /// Client authentication: `None`, `Optional` or `Require`.
    pub client_auth: &'static str,
    /// Its own certificates, the default first; none if the listener's are served.
    pub certificates: Vec<Arc<Facts>>,
}

impl HostStatus {
    fn of(host: &Host) -> Self {
        let facts = |certificate: &Certificate| Arc::clone(certificate.facts());
        let own = host.certificates.iter();
        let own = own.filter(|_| host.has_own_certificates);
        Self {
            names: host.names.clone(),
            backend: Backend::of(host.backend.to_string(), Seen::Nothing),
            client_auth: match host.trust {
                ClientTrust::Disabled => "None",
                ClientTrust::Optional(_) => "Optional",
                ClientTrust::Required(_) => "Require",
            },
            certificates: own.map(facts).collect(),
        }
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
    pub(super) fn of(address: String, seen: Seen) -> Self {
        let (reachable, unreachable_for, error) = match seen {
            Seen::Nothing => (None, None, None),
            Seen::Reachable => (Some(true), None, None),
            Seen::Unreachable(since, error) => (Some(false), Some(since.as_secs()), Some(error)),
        };
        Self {
            address,
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
            protocol: settings.protocol,
            client_auth: listener.client_auth,
            configuration: Configuration {
                version: settings.version.clone(),
                generation,
                loaded_at: now,
                last_error: None,
            },
            certificates: listener.certificates,
            hosts: others.map(|host| HostStatus::of(host)).collect(),
            warnings: Vec::new(),
            connections: Connections {
                open: 0,
                handshaking: 0,
            },
            waiting_for: Vec::new(),
        }
    }
}
