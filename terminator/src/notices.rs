//! Logs failures of clients. Each kind is rate limited, since clients can cause any number of them.
//!
//! It must not log at info or above without [`Seldom`]. The metrics count each failure, and the journal has the
//! last ones.

use std::error::Error as _;
use std::net::SocketAddr;
use std::time::Instant;

use tracing::{debug, info, warn};

use crate::arrival::Arrival;
use crate::end::End;
use crate::first_packet;
use crate::journal::Entry;
use crate::tls::failure::Error;
use crate::tls::handshake::WouldRefuse;
use crate::trial::Abort;
use crate::verdicts;
use mqtt_tls_judge::client::Refusal;
use mqtt_tls_program::log::Seldom;

/// Rate limits, one for each kind of line.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    failed: Seldom,
    http: Seldom,
    plaintext_mqtt: Seldom,
    proxy_protocol: Seldom,
    not_mqtt: Seldom,
    bad_connect: Seldom,
    tolerated: Seldom,
    identity: Seldom,
    rechecked: Seldom,
    watched: Seldom,
    backend: Seldom,
    dry_run: Seldom,
    candidate: Seldom,
}

impl Notices {
    /// Logs a failed handshake.
    pub(crate) fn handshake_failed(&self, error: &Error, entry: &Entry) {
        debug!(
            address = %entry.address,
            reason = entry.reason,
            server_name = entry.server_name,
            versions = entry.versions.join(","),
            suites = entry.suites.join(","),
            groups = entry.groups.join(","),
            signature_schemes = entry.signature_schemes.join(","),
            protocols = entry.protocols.join(","),
            alert = entry.alert.as_ref().map(ToString::to_string),
            certificate = entry.certificate,
            "handshake failed: {}",
            entry.message
        );
        let (notice, remedy) = match error {
            Error::NotTls(arrival) => match arrival {
                Arrival::Http => (&self.http, arrival.remedy()),
                Arrival::PlaintextMqtt => (&self.plaintext_mqtt, arrival.remedy()),
                Arrival::ProxyProtocol => (&self.proxy_protocol, arrival.remedy()),
                _ => (&self.failed, None),
            },
            _ => (&self.failed, None),
        };
        let Some(suppressed) = notice.due(Instant::now()) else {
            return;
        };
        let (address, reason) = (entry.address, entry.reason);
        if let Some(remedy) = remedy {
            warn!(%address, reason, suppressed, "{remedy}");
        } else {
            info!(
                %address,
                reason,
                suppressed,
                "handshake failed: {}; see /handshakes on the admin port for the last failures",
                entry.message
            );
        }
    }

    /// Logs a client that a dry run would refuse.
    pub(crate) fn would_refuse(&self, address: SocketAddr, found: &WouldRefuse) {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        let (reason, message) = match &found.refusal {
            Some(refusal) => (refusal.reason().name(), refusal.to_string()),
            None => (verdicts::MISSING.0, "it sent no certificate".to_owned()),
        };
        let certificate = found.certificate.as_deref();
        debug!(%address, reason, certificate, "client would be refused: {message}");
        if let Some(suppressed) = self.dry_run.due(Instant::now()) {
            info!(%address, reason, suppressed, "client would be refused without `DryRun`: {message}");
        }
    }

    /// Logs a client that aborted on a candidate.
    pub(crate) fn candidate_refused(&self, address: SocketAddr, trial: &str, abort: Abort) {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        let alert = abort.name();
        debug!(%address, trial, alert, "client refused the candidate of a certificate");
        if let Some(suppressed) = self.candidate.due(Instant::now()) {
            info!(
                %address,
                trial,
                alert,
                suppressed,
                "client refused the candidate of a certificate; it gets the current one for a time"
            );
        }
    }

    /// Logs a client that was refused when it was judged again.
    pub(crate) fn refused_again(&self, entry: &Entry, refusal: &Refusal) {
        let (address, certificate) = (entry.address, entry.certificate.as_deref());
        let reason = refusal.reason().name();
        debug!(%address, reason, certificate, "client closed: {refusal}");
        if let Some(suppressed) = self.rechecked.due(Instant::now()) {
            warn!(
                %address,
                reason,
                certificate,
                suppressed,
                "client closed, since its certificate was judged again: {refusal}"
            );
        }
    }

    /// Logs that the backend is not an MQTT broker, or rejects clients.
    pub(crate) fn ended(&self, end: End) {
        let is_watched = matches!(
            end,
            End::BadPacket | End::EnhancedAuthentication | End::SecondConnect
        );
        if is_watched && let Some(suppressed) = self.watched.due(Instant::now()) {
            let (reason, meaning) = (end.name(), end.meaning());
            warn!(reason, suppressed, "client closed: {meaning}");
        }
        let what = match end {
            End::BackendMute => {
                "the backend does not answer the CONNECT of clients; see the broker's log, and check that the port is \
                the one for plaintext MQTT"
            }
            End::BackendTls => {
                "the backend answers with TLS, but receives plaintext MQTT; use its port without TLS"
            }
            End::BackendNotMqtt => {
                "the backend does not answer with MQTT; use the broker's port for plaintext MQTT"
            }
            _ => return,
        };
        if let Some(suppressed) = self.backend.due(Instant::now()) {
            warn!(reason = end.name(), suppressed, "{what}");
        }
    }

    /// Logs a first packet that passes, and that a later release refuses.
    pub(crate) fn tolerated(&self, address: SocketAddr, error: &mqtt_tls_mqtt::Error) {
        let Some(suppressed) = self.tolerated.due(Instant::now()) else {
            return;
        };
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        warn!(
            %address,
            reason = error.reason().name(),
            suppressed,
            "a client's first packet is passed, and the next minor release refuses it: {error}; for a backend of \
            another protocol, set `protocol`"
        );
    }

    /// Logs a client whose CONNECT did not come, or was refused.
    pub(crate) fn no_first_packet(&self, address: SocketAddr, error: &first_packet::Error) {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        let (reason, cause) = (error.end().name(), error.source().map(ToString::to_string));
        debug!(%address, reason, %error, cause, "no first packet");
        let notice = match error.end() {
            End::NotMqtt => &self.not_mqtt,
            End::BadConnect | End::ConnectTooLarge | End::UnsupportedVersion => &self.bad_connect,
            End::EnhancedAuthentication | End::IdentityMismatch | End::NoIdentity => &self.identity,
            _ => return,
        };
        let Some(suppressed) = notice.due(Instant::now()) else {
            return;
        };
        if error.end() == End::NotMqtt {
            warn!(
                suppressed,
                "a client's first packet is not a CONNECT: clients must send MQTT inside TLS, without WebSocket, \
                HTTP or a second TLS layer; for a backend of another protocol, set `protocol`"
            );
        } else {
            warn!(%address, reason, suppressed, cause, "client refused: {error}");
        }
    }
}
