//! A fleet's report: the messages of both directions, and every connection that failed or broke, by step. It must not
//! judge.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rumqttc::ConnectionError;

/// The report of a fleet.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// From the clients to the monitor. Without a monitor, all acknowledged messages count as lost.
    pub up: Traffic,
    /// From the sender to the clients; nothing if the plan has no such traffic.
    pub down: Traffic,
    /// Number of accepted CONNECTs of clients.
    pub connects: usize,
    /// Number of those with the session present.
    pub sessions_resumed: usize,
    /// Connections that failed or broke, in order of time, without those closed by [`super::Fleet::stop`].
    pub incidents: Vec<Incident>,
}

/// The messages of one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Number of messages with the broker's PUBACK.
    pub acknowledged: u64,
    /// Number of distinct messages received.
    pub received: u64,
    /// Number of repeated messages received, which QoS 1 allows.
    pub duplicates: u64,
    /// Number of messages sent without a PUBACK yet.
    pub in_flight: usize,
    /// Messages acknowledged and never received.
    pub lost: Vec<Lost>,
}

/// A message that the broker acknowledged and that was never received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The client of its topic.
    pub client: usize,
    /// Its number, from 1.
    pub number: u64,
}

/// The connection of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The client of this index.
    Client(usize),
    /// The monitor, which receives from the broker directly.
    Monitor,
    /// The sender of messages to the clients.
    Sender,
}

/// The step in which a connection failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// TCP: refused, unreachable, no answer.
    Dial,
    /// TLS, including the verification of the server's certificate.
    Handshake,
    /// CONNECT got no CONNACK, or one that refuses.
    Connect,
    /// An open session broke.
    Session,
}

/// A connection that failed or broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// The connection.
    pub who: Who,
    /// Time since the fleet's start.
    pub at: Duration,
    /// The step that failed.
    pub phase: Phase,
    /// The cause as a short name, the same for each occurrence: `ConnectionRefused`, `UnexpectedEof`,
    /// `InvalidCertificate(UnknownIssuer)`.
    pub kind: String,
}

impl Report {
    /// Number of clients' connections that failed or broke in this step.
    pub fn count(&self, phase: Phase) -> usize {
        self.tally(phase).values().sum()
    }

    /// [`Report::count`] by kind.
    pub fn tally(&self, phase: Phase) -> BTreeMap<&str, usize> {
        let mut tally = BTreeMap::new();
        for incident in &self.incidents {
            if incident.phase == phase && matches!(incident.who, Who::Client(_)) {
                *tally.entry(incident.kind.as_str()).or_default() += 1;
            }
        }
        tally
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "up:   {}", self.up)?;
        writeln!(f, "down: {}", self.down)?;
        write!(
            f,
            "{} connects, {} sessions resumed",
            self.connects, self.sessions_resumed
        )?;
        for phase in [
            Phase::Dial,
            Phase::Handshake,
            Phase::Connect,
            Phase::Session,
        ] {
            for (kind, count) in self.tally(phase) {
                write!(f, "\n{count} × {phase:?}: {kind}")?;
            }
        }
        for incident in &self.incidents {
            if !matches!(incident.who, Who::Client(_)) {
                write!(f, "\n{incident:?}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} acknowledged, {} received, {} duplicates, {} in flight, {} lost",
            self.acknowledged,
            self.received,
            self.duplicates,
            self.in_flight,
            self.lost.len()
        )?;
        if let (Some(first), Some(last)) = (self.lost.first(), self.lost.last()) {
            write!(f, " ({first:?} … {last:?})")?;
        }
        Ok(())
    }
}

/// The list of incidents.
pub(super) struct Journal {
    started: Instant,
    incidents: Mutex<Vec<Incident>>,
}

impl Journal {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            incidents: Mutex::default(),
        }
    }

    /// Records how a connection ended; `open` is whether the broker had accepted it.
    pub(super) fn note(&self, who: Who, open: bool, error: &ConnectionError) {
        let failure = Failure::of(error, open);
        let incident = Incident {
            who,
            at: self.started.elapsed(),
            phase: failure.phase,
            kind: failure.kind,
        };
        let incidents = self.incidents.lock();
        incidents
            .expect("no holder of the lock panics")
            .push(incident);
    }

    pub(super) fn incidents(&self) -> Vec<Incident> {
        let incidents = self.incidents.lock();
        incidents.expect("no holder of the lock panics").clone()
    }
}

/// An error with its step, which passes through the MQTT library as an [`io::Error`].
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) phase: Phase,
    pub(super) kind: String,
}

impl Failure {
    pub(super) fn new(phase: Phase, error: &io::Error) -> Self {
        Self {
            phase,
            kind: kind_of(error),
        }
    }

    fn of(error: &ConnectionError, open: bool) -> Self {
        let cause = io_error(error);
        let known = cause.and_then(|cause| cause.get_ref()?.downcast_ref::<Self>());
        let phase = if open { Phase::Session } else { Phase::Connect };
        known.cloned().unwrap_or_else(|| Self {
            phase,
            kind: cause.map_or_else(|| error.to_string(), kind_of),
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.phase, self.kind)
    }
}

impl std::error::Error for Failure {}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        io::Error::other(failure)
    }
}

fn io_error(error: &ConnectionError) -> Option<&io::Error> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<io::Error>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// Returns the error's kind without details: times and names, which would make each error unique, follow a brace in
/// rustls' debug text.
fn kind_of(error: &io::Error) -> String {
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let text = tls.map_or_else(|| format!("{:?}", error.kind()), |tls| format!("{tls:?}"));
    text.split('{').next().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(error: &ConnectionError, open: bool) -> (Phase, String) {
        let journal = Journal::new();
        journal.note(Who::Client(3), open, error);
        let incident = journal.incidents().remove(0);
        assert_eq!(incident.who, Who::Client(3));
        (incident.phase, incident.kind)
    }

    #[test]
    fn an_error_keeps_its_step_through_the_library() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let error = ConnectionError::Io(Failure::new(Phase::Dial, &refused).into());
        let expected = (Phase::Dial, "ConnectionRefused".to_owned());
        assert_eq!(noted(&error, false), expected);
    }

    #[test]
    fn an_alert_is_reported_by_its_name() {
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateExpired);
        let error = Failure::new(Phase::Handshake, &io::Error::other(alert));
        assert_eq!(error.kind, "AlertReceived(CertificateExpired)");
    }

    #[test]
    fn a_reset_is_a_broken_session_only_if_one_was_open() {
        let reset = || io::Error::from(io::ErrorKind::ConnectionReset);
        let error = ConnectionError::MqttState(rumqttc::StateError::Io(reset()));
        let kind = "ConnectionReset".to_owned();
        assert_eq!(noted(&error, true), (Phase::Session, kind.clone()));
        assert_eq!(noted(&error, false), (Phase::Connect, kind));
    }

    #[test]
    fn the_tally_counts_clients_in_one_step() {
        let incident = |who, phase| Incident {
            who,
            at: Duration::ZERO,
            phase,
            kind: "UnexpectedEof".to_owned(),
        };
        let report = Report {
            incidents: vec![
                incident(Who::Client(1), Phase::Session),
                incident(Who::Client(2), Phase::Session),
                incident(Who::Client(2), Phase::Dial),
                incident(Who::Monitor, Phase::Session),
            ],
            ..Report::default()
        };
        assert_eq!(
            report.tally(Phase::Session),
            BTreeMap::from([("UnexpectedEof", 2)])
        );
        assert_eq!(report.count(Phase::Handshake), 0);
        assert!(report.to_string().contains("2 × Session: UnexpectedEof"));
    }
}
