//! The journal: the last handshakes that failed, for people who ask which device it was and why.
//!
//! It must not grow with what is sent ([`ENTRIES_MAX`], [`TEXT_MAX`]), and must not be shown to others: it holds
//! addresses and names. What it shows of a client's words is escaped.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::Serialize;

use crate::tls::failure::{Alert, Error};
use crate::tls::handshake::Attempt;
use crate::tls::hello::Offer;
use crate::tls::names::Names;
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
        let Names {
            versions,
            suites,
            groups,
            schemes,
        } = Names::of(&offer);
        let protocols = offer.protocols.iter().take(PROTOCOLS_MAX);
        Self {
            at,
            address: SocketAddr::new(address.ip().to_canonical(), address.port()),
            reason: error.failure().name(),
            message: error.words(&offer),
            server_name: offer.server_name.as_deref().map(shown),
            versions,
            suites,
            groups,
            signature_schemes: schemes,
            protocols: protocols.map(|protocol| shown(protocol)).collect(),
            alert: error.alert(attempt.alert()),
            certificate: refused::take(),
        }
    }
}

/// A text from outside, bounded, with everything but printable ASCII escaped.
fn shown(bytes: &[u8]) -> String {
    let (text, more) = match bytes.get(..TEXT_MAX) {
        Some(start) if bytes.len() > TEXT_MAX => (start, "…"),
        _ => (bytes, ""),
    };
    format!("{}{more}", text.escape_ascii())
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
