//! What a fleet has seen: messages counted in both directions, and every connection that failed or broke, by
//! the step in which it did. It judges nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rumqttc::ConnectionError;

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// From the clients to the monitor. Without a monitor, whatever was acknowledged counts as lost.
    pub up: Traffic,
    /// From the sender to the clients; nothing if the plan has no such traffic.
    pub down: Traffic,
    /// How often the broker accepted a client.
    pub connects: usize,
    /// How often it said that it still had the client's session.
    pub sessions_resumed: usize,
    /// What failed or broke, in the order of time. What ended because the fleet was stopped is not in it.
    pub incidents: Vec<Incident>,
}

/// The messages of one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Messages for which their sender has the broker's PUBACK.
    pub acknowledged: u64,
    /// Different messages that came out at the other end.
    pub received: u64,
    /// Messages that came out again: QoS 1 allows it.
    pub duplicates: u64,
    /// Messages on their way, without a PUBACK.
    pub in_flight: usize,
    /// Acknowledged, and never received.
    pub lost: Vec<Lost>,
}

/// A message that the broker acknowledged and that did not come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Whose topic it was sent on.
    pub client: usize,
    /// Its number, from 1.
    pub number: u64,
}

/// Who had an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The client of this index.
    Client(usize),
    /// The one that receives from the broker directly.
    Monitor,
    /// The one that sends to the clients.
    Sender,
}

/// The step of a connection's life in which something went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// TCP: refused, unreachable, no answer.
    Dial,
    /// TLS, the check of the server's certificate included.
    Handshake,
    /// CONNECT had no CONNACK, or one that refuses.
    Connect,
    /// It was open, and broke.
    Session,
}

/// A connection that failed or broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// Whose.
    pub who: Who,
    /// How long after the fleet's start.
    pub at: Duration,
    /// In which step.
    pub phase: Phase,
    /// How, in few words that are the same for the same cause: `ConnectionRefused`, `UnexpectedEof`,
    /// `InvalidCertificate(UnknownIssuer)`.
    pub kind: String,
}

impl Report {
    /// How many connections of clients failed or broke in this step.
    pub fn count(&self, phase: Phase) -> usize {
        self.tally(phase).values().sum()
    }

    /// The same, by kind.
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
            "{} acknowledged, {} received, {} twice, {} in flight, {} lost",
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

/// Where incidents are written down.
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

    /// Writes down how a connection ended; `open` says whether the broker had accepted it.
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
            .expect("nothing panics while it holds this lock")
            .push(incident);
    }

    pub(super) fn incidents(&self) -> Vec<Incident> {
        let incidents = self.incidents.lock();
        incidents
            .expect("nothing panics while it holds this lock")
            .clone()
    }
}

/// An error with its step, so that it survives the way through the MQTT library as an [`io::Error`].
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
        let told = cause.and_then(|cause| cause.get_ref()?.downcast_ref::<Self>());
        let phase = if open { Phase::Session } else { Phase::Connect };
        told.cloned().unwrap_or_else(|| Self {
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

/// Times and names in an error would make each one a kind of its own: they begin at a brace in rustls' words.
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
    fn an_error_keeps_its_step_on_its_way_through_the_library() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let error = ConnectionError::Io(Failure::new(Phase::Dial, &refused).into());
        let expected = (Phase::Dial, "ConnectionRefused".to_owned());
        assert_eq!(noted(&error, false), expected);
    }

    #[test]
    fn an_alert_is_told_by_its_name() {
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
    fn the_tally_is_of_clients_and_of_one_step() {
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
