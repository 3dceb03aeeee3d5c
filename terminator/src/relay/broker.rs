//! What the backend's first byte says: whether a broker answers the CONNECT, and how a connection ended that it closed, or
//! that the client gave up. Of another protocol also whether the client has said anything, if it was shown a certificate on trial.
//!
//! It must not examine a backend of another protocol than MQTT.

use std::time::Duration;

use mqtt_tls_config::Protocol;
use mqtt_tls_mqtt::Answer;
use tokio::time::Instant;

use crate::backend::known::Known;
use crate::end::End;
use crate::trial::{Abort, Draw};

/// How long a client waits for the broker's answer at least, before its leaving counts against the broker.
const PATIENCE: Duration = Duration::from_secs(3);

/// The backend of a connection. It is small, since idle connections have one.
pub(super) enum Broker {
    /// A backend of another protocol, and the draw of a client that has sent nothing.
    Other(Option<Box<Draw>>),
    /// A broker that has sent nothing, since then.
    Silent(Instant),
    /// Kind of the broker's first byte.
    Heard(Answer),
}

impl Broker {
    pub(super) fn new(protocol: Protocol, mut draw: Option<Box<Draw>>) -> Self {
        match protocol {
            Protocol::Mqtt => Self::Silent(Instant::now()),
            Protocol::Websocket | Protocol::Tcp => {
                if let Some(draw) = &mut draw {
                    draw.relax();
                }
                Self::Other(draw)
            }
        }
    }

    /// Takes note of data from the client.
    pub(super) fn hears(&mut self) {
        if let Self::Other(draw) = self
            && let Some(draw) = draw.take()
        {
            draw.served();
        }
    }

    /// Takes note of a TLS error: perhaps the client has sent an alert.
    pub(super) fn fails(&mut self, alert: Option<u8>) {
        if let Self::Other(draw) = self
            && let (Some(draw), Some(alert)) = (draw.take(), alert)
        {
            draw.aborted(Abort::Alert(alert));
        }
    }

    /// Takes note of data from the backend, by its first byte.
    pub(super) fn says(&mut self, first: u8, known: &Known) {
        if let Self::Silent(_) = self {
            *self = Self::Heard(mqtt_tls_mqtt::answer(first));
        }
        // Of another protocol than MQTT, anything is an answer.
        if let Self::Heard(Answer::Mqtt) | Self::Other(_) = self {
            known.health.answered();
        }
    }

    /// Returns how the client ended its direction: perhaps it has waited long enough for an answer.
    pub(super) fn left(&self, end: End) -> End {
        match self {
            Self::Silent(since) if is_clients(end) && since.elapsed() >= PATIENCE => {
                End::BackendMute
            }
            _ => end,
        }
    }

    /// Returns how a connection ended, of which `first` is the first event that led to it.
    pub(super) fn end(&mut self, first: End) -> End {
        match self {
            Self::Other(draw) => {
                if let Some(draw) = draw.take()
                    && is_clients(first)
                {
                    draw.aborted(Abort::NoFirstPacket);
                }
                first
            }
            Self::Silent(_) => first.with(None),
            Self::Heard(answer) => first.with(Some(*answer)),
        }
    }
}

/// Reports whether the client has ended the connection.
fn is_clients(end: End) -> bool {
    matches!(end, End::ClientClosed | End::ClientCut | End::ClientReset)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    use mqtt_tls_config::Trial;

    use super::*;
    use crate::trial::{Arm, Fit, Outcome, Trials};

    /// Returns how often devices aborted of which `act` made one the client of a backend of another protocol.
    fn aborted(act: impl FnOnce(&mut Broker)) -> u64 {
        let trials = Arc::<Trials>::default();
        trials.follow(&[Trial {
            id: "a".to_owned(),
            share: 10_000,
            remember: 60,
            avoided: Vec::new(),
        }]);
        let draw = trials.draw(Ipv4Addr::LOCALHOST.into(), Vec::new);
        let mut draw = Box::new(draw.expect("a trial is on"));
        assert!(draw.choose("a", Fit::Fits, &(0..=u64::MAX)));
        act(&mut Broker::new(Protocol::Tcp, draw.settled()));
        trials.sums()[Arm::Candidate as usize][Outcome::Aborted as usize]
    }

    #[test]
    fn an_alert_is_an_abort_and_an_error_of_ours_is_none() {
        for (alert, expected) in [(Some(48), 1), (None, 0)] {
            let fails = |broker: &mut Broker| {
                broker.fails(alert);
                broker.end(End::TlsError);
            };
            assert_eq!(aborted(fails), expected, "{alert:?}");
        }
    }

    #[test]
    fn who_leaves_before_the_first_byte_aborts() {
        for (end, expected) in [(End::ClientReset, 1), (End::BackendClosed, 0)] {
            let ends = |broker: &mut Broker| {
                broker.end(end);
            };
            assert_eq!(aborted(ends), expected, "{end:?}");
        }
        let speaks = |broker: &mut Broker| {
            broker.hears();
            broker.fails(Some(48));
            broker.end(End::TlsError);
        };
        assert_eq!(aborted(speaks), 0);
    }
}
