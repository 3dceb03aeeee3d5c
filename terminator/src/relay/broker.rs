//! What the backend's first byte says: whether a broker answers the CONNECT, and how a connection ended that it closed, or
//! that the client gave up.
//!
//! It must not examine a backend of another protocol than MQTT.

use std::time::Duration;

use mqtt_tls_config::Protocol;
use mqtt_tls_mqtt::Answer;
use tokio::time::Instant;

use crate::backend::known::Known;
use crate::end::End;

/// How long a client waits for the broker's answer at least, before its leaving counts against the broker.
const PATIENCE: Duration = Duration::from_secs(3);

/// The backend of a connection.
pub(super) struct Broker {
    protocol: Protocol,
    /// Kind of the backend's first byte.
    answer: Option<Answer>,
    began: Instant,
}

impl Broker {
    pub(super) fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            answer: None,
            began: Instant::now(),
        }
    }

    /// Takes note of data from the backend, by its first byte.
    pub(super) fn says(&mut self, first: u8, known: &Known) {
        if self.protocol != Protocol::Mqtt {
            return;
        }
        let answer = self
            .answer
            .get_or_insert_with(|| mqtt_tls_mqtt::answer(first));
        if *answer == Answer::Mqtt {
            known.health.answered();
        }
    }

    /// Returns how the client ended its direction: perhaps it has waited long enough for an answer.
    pub(super) fn left(&self, end: End) -> End {
        let is_clients = matches!(end, End::ClientClosed | End::ClientCut | End::ClientReset);
        let waits = self.protocol == Protocol::Mqtt && self.answer.is_none();
        if is_clients && waits && self.began.elapsed() >= PATIENCE {
            End::BackendMute
        } else {
            end
        }
    }

    /// Returns how a connection ended, of which `first` is the first event that led to it.
    pub(super) fn end(&self, first: End) -> End {
        if self.protocol == Protocol::Mqtt {
            first.with(self.answer)
        } else {
            first
        }
    }
}
