//! What the log tells of clients that fail: each kind at most once in a while, for anyone outside can cause it.
//!
//! It must not log at info or above without [`Seldom`]. Each failure is in the metrics, and the last ones are in
//! the journal.

use std::time::Instant;

use tracing::{debug, info, warn};

use crate::arrival::Arrival;
use crate::first_packet;
use crate::journal::Entry;
use crate::record::End;
use crate::tls::failure::Error;
use mqtt_tls_program::log::Seldom;

/// What is told of clients that fail, each at most once in a while.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    failed: Seldom,
    http: Seldom,
    plaintext_mqtt: Seldom,
    proxy_protocol: Seldom,
    not_mqtt: Seldom,
    backend: Seldom,
}

impl Notices {
    /// Tells of a handshake that failed.
    pub(crate) fn handshake_failed(&self, error: &Error, entry: &Entry) {
        debug!(?entry, "handshake failed");
        let (notice, remedy) = match error {
            Error::NotTls(arrival) => match arrival {
                Arrival::Http => (&self.http, arrival.remedy()),
                Arrival::PlaintextMqtt => (&self.plaintext_mqtt, arrival.remedy()),
                Arrival::ProxyProtocol => (&self.proxy_protocol, arrival.remedy()),
                _ => (&self.failed, None),
            },
            _ => (&self.failed, None),
        };
        let Some(left_out) = notice.due(Instant::now()) else {
            return;
        };
        let (address, reason) = (entry.address(), error.failure().name());
        if let Some(remedy) = remedy {
            warn!(%address, reason, left_out, "{remedy}");
        } else {
            info!(
                %address,
                reason,
                left_out,
                "a handshake failed: {}; /handshakes on the admin port has the last ones",
                entry.message()
            );
        }
    }

    /// Logs that a backend is no broker, or refuses its clients.
    pub(crate) fn ended(&self, end: End) {
        let what = match end {
            End::BackendMute => {
                "the backend ends connections without an answer to CONNECT: its own log says why, unless its port is \
                 not the one for plaintext MQTT"
            }
            End::BackendTls => {
                "the backend answers with TLS, and gets plaintext MQTT from here: name its port without TLS"
            }
            End::BackendNotMqtt => {
                "the backend answers with something else than MQTT: name the broker's port for plaintext MQTT"
            }
            _ => return,
        };
        if let Some(left_out) = self.backend.due(Instant::now()) {
            warn!(reason = end.name(), left_out, "{what}");
        }
    }

    /// Tells of a client that did not say what it wants.
    pub(crate) fn no_first_packet(&self, error: &first_packet::Error) {
        debug!(reason = error.end().name(), %error, "no first packet");
        let first_packet::Error::NotMqtt = error else {
            return;
        };
        if let Some(left_out) = self.not_mqtt.due(Instant::now()) {
            warn!(
                left_out,
                "a client's first packet is no CONNECT: MQTT is expected inside of TLS, without WebSocket, HTTP, \
                 or another TLS"
            );
        }
    }
}
