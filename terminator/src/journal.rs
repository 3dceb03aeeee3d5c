//! The journal: the last handshakes that failed, for people who ask which device it was and why.
//!
//! It must not grow with what is sent ([`ENTRIES_MAX`], [`TEXT_MAX`]), and must not be shown to others: it holds
//! addresses and names. What it shows of a client's words is escaped.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use rustls::{AlertDescription, CipherSuite, NamedGroup, ProtocolVersion, SignatureScheme};
use serde::Serialize;

use crate::tls::failure::Error;
use crate::tls::handshake::Attempt;
use crate::tls::hello::Offer;
use crate::tls::refused;

/// How many handshakes are kept.
pub(crate) const ENTRIES_MAX: usize = 256;

/// How much of a text from outside is kept, in bytes: as long as a DNS name may be.
const TEXT_MAX: usize = 255;

/// How many protocols (ALPN) are kept.
const PROTOCOLS_MAX: usize = 8;

/// One handshake that failed.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    at: Timestamp,
    /// Where the client, or a load balancer before it, connected from.
    address: SocketAddr,
    /// The outcome, as in the metric.
    reason: &'static str,
    message: String,
    /// The host name that it asked for (SNI), escaped.
    server_name: Option<String>,
    /// What the client offered, in its order.
    versions: Vec<String>,
    suites: Vec<String>,
    groups: Vec<String>,
    signature_schemes: Vec<String>,
    protocols: Vec<String>,
    alert: Option<Alert>,
    /// The subject of the client's certificate, where that was refused.
    certificate: Option<String>,
}

/// Who told whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Alert {
    Received(String),
    Sent(String),
}

impl Entry {
    /// Where the client connected from.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was wrong, in words.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Of a handshake that has just failed on this thread.
    pub(crate) fn of(address: SocketAddr, at: Timestamp, error: &Error, attempt: &Attempt) -> Self {
        let offer = Offer::read(&attempt.hello);
        let protocols = offer.protocols.iter().take(PROTOCOLS_MAX);
        Self {
            at,
            address: SocketAddr::new(address.ip().to_canonical(), address.port()),
            reason: error.failure().name(),
            message: error.words(&offer),
            server_name: offer.server_name.as_deref().map(shown),
            versions: names(&offer.versions, ProtocolVersion::as_str, |version| {
                u16::from(*version)
            })
            .iter()
            // As in `TLSv1_3`.
            .map(|name| name.replace('v', " ").replace('_', "."))
            .collect(),
            suites: names(&offer.suites, CipherSuite::as_str, |suite| {
                u16::from(*suite)
            }),
            groups: names(&offer.groups, NamedGroup::as_str, |group| u16::from(*group)),
            signature_schemes: names(&offer.schemes, SignatureScheme::as_str, |scheme| {
                u16::from(*scheme)
            }),
            protocols: protocols.map(|protocol| shown(protocol)).collect(),
            alert: alert(error, attempt),
            certificate: refused::take(),
        }
    }
}

/// Names of what has one, and the numbers of the rest.
fn names<T>(
    offered: &[T],
    name: impl Fn(&T) -> Option<&'static str>,
    number: impl Fn(&T) -> u16,
) -> Vec<String> {
    offered
        .iter()
        .map(|one| name(one).map_or_else(|| format!("{:#06x}", number(one)), str::to_owned))
        .collect()
}

/// A text from outside, bounded, with everything but printable ASCII escaped.
fn shown(bytes: &[u8]) -> String {
    let (text, more) = match bytes.get(..TEXT_MAX) {
        Some(start) if bytes.len() > TEXT_MAX => (start, "…"),
        _ => (bytes, ""),
    };
    format!("{}{more}", text.escape_ascii())
}

/// Which alert told the one side that the other had had enough.
fn alert(error: &Error, attempt: &Attempt) -> Option<Alert> {
    let name = |alert: AlertDescription| match alert.as_str() {
        Some(name) => name.to_owned(),
        None => format!("{}", u8::from(alert)),
    };
    let sent = match error.tls() {
        Some(rustls::Error::AlertReceived(alert)) => {
            return Some(Alert::Received(name(*alert)));
        }
        // Behind the ServerHello alerts are encrypted, and which one it was follows from the error.
        Some(rustls::Error::InvalidCertificate(error)) => {
            Some(AlertDescription::from(error.clone()))
        }
        Some(rustls::Error::NoCertificatesPresented) => Some(AlertDescription::CertificateRequired),
        _ => match attempt.alert() {
            // A record of two bytes: the level, and the description (RFC 8446, section 6).
            [21, _, _, 0, 2, _, description] => Some(AlertDescription::from(*description)),
            _ => None,
        },
    };
    sent.map(|alert| Alert::Sent(name(alert)))
}

/// The last handshakes that failed.
#[derive(Debug, Default)]
pub(crate) struct Journal(Mutex<VecDeque<Entry>>);

impl Journal {
    /// Adds one, and forgets the oldest where there are too many.
    pub(crate) fn add(&self, entry: Entry) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.truncate(ENTRIES_MAX - 1);
        entries.push_front(entry);
    }

    /// All of them, the newest first.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().cloned().collect()
    }

    /// Forgets all.
    pub(crate) fn clear(&self) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *entries = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::{ENTRIES_MAX, Entry, Journal, TEXT_MAX, shown};
    use crate::tls::failure::Error;
    use crate::tls::handshake::Attempt;

    #[test]
    fn the_newest_are_kept() {
        let journal = Journal::default();
        for port in 0..300 {
            let address = ([192, 0, 2, 1], port).into();
            let attempt = Attempt::default();
            let entry = Entry::of(address, Timestamp::UNIX_EPOCH, &Error::Cut, &attempt);
            journal.add(entry);
        }
        let entries = journal.entries();
        assert_eq!(entries.len(), ENTRIES_MAX);
        assert_eq!(entries[0].address.port(), 299);
        assert_eq!(entries[ENTRIES_MAX - 1].address.port(), 300 - 256);
    }

    #[test]
    fn text_from_outside_is_bounded_and_escaped() {
        assert_eq!(shown(b"mqtt.example.com"), "mqtt.example.com");
        assert_eq!(
            shown(b"a\nb\x1b[31m\xe2\x80\xae"),
            "a\\nb\\x1b[31m\\xe2\\x80\\xae"
        );
        assert!(shown(&vec![0; 16_900]).len() <= 4 * TEXT_MAX + "…".len());
    }
}
