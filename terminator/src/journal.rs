//! The journal: the last failed handshakes, and clients that were refused later, to find out which device failed and why.
//!
//! Its size is bounded ([`ENTRIES_MAX`], [`TEXT_MAX`]). It has addresses and names, so it must not be shown
//! outside of the pod. Text from clients is escaped.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use mqtt_tls_judge::client::Refusal;
use serde::Serialize;

use crate::end::End;
use crate::tls::failure::{Alert, Error, Failure};
use crate::tls::handshake::Attempt;
use crate::tls::hello::Offer;
use crate::tls::names::Names;
use crate::tls::refused;

/// Maximum number of entries.
pub(crate) const ENTRIES_MAX: usize = 256;

/// Maximum length of untrusted text, in bytes; the maximum length of a DNS name.
const TEXT_MAX: usize = 255;

/// Maximum number of ALPN protocols.
const PROTOCOLS_MAX: usize = 8;

/// A failed handshake, or the end of a connection whose client was refused when it was judged again.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    at: Timestamp,
    /// Address of the client, or of a load balancer before it.
    pub(crate) address: SocketAddr,
    /// Outcome, as in the metric.
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    /// Requested host name (SNI), escaped.
    pub(crate) server_name: Option<String>,
    /// The client's offer, in its order.
    pub(crate) versions: Vec<String>,
    pub(crate) suites: Vec<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) signature_schemes: Vec<String>,
    pub(crate) protocols: Vec<String>,
    pub(crate) alert: Option<Alert>,
    /// ID of the trial whose candidate the client was shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    candidate: Option<String>,
    /// Subject of the client's certificate, if that was rejected.
    pub(crate) certificate: Option<String>,
    /// Why it was rejected, as in the metric.
    pub(crate) certificate_reason: Option<&'static str>,
}

impl Entry {
    /// Makes an entry for a handshake that has just failed on this thread.
    pub(crate) fn of(address: SocketAddr, at: Timestamp, error: &Error, attempt: &Attempt) -> Self {
        let offer = Offer::read(&attempt.hello);
        let Names {
            versions,
            suites,
            groups,
            schemes,
        } = Names::of(&offer);
        let is_refused = error.failure() == Failure::ClientCertificateRefused;
        let (message, certificate, certificate_reason) = match refused::take() {
            Some(refused) if is_refused => {
                let reason = refused.reason.name();
                (refused.message, Some(refused.subject), Some(reason))
            }
            _ => (error.message(&offer), None, None),
        };
        let protocols = offer.protocols.iter().take(PROTOCOLS_MAX);
        Self {
            at,
            address: SocketAddr::new(address.ip().to_canonical(), address.port()),
            reason: error.failure().name(),
            message,
            server_name: offer.server_name.as_deref().map(shown),
            versions,
            suites,
            groups,
            signature_schemes: schemes,
            protocols: protocols.map(|protocol| shown(protocol)).collect(),
            alert: error.alert(attempt.alert()),
            candidate: attempt.candidate().map(str::to_owned),
            certificate,
            certificate_reason,
        }
    }
}

impl Entry {
    /// Makes an entry for a client that is refused while it is connected.
    pub(crate) fn refused(
        address: SocketAddr,
        at: Timestamp,
        refusal: &Refusal,
        certificate: Option<String>,
    ) -> Self {
        Self {
            at,
            address: SocketAddr::new(address.ip().to_canonical(), address.port()),
            reason: End::CertificateRefused.name(),
            message: refusal.to_string(),
            server_name: None,
            versions: Vec::new(),
            suites: Vec::new(),
            groups: Vec::new(),
            signature_schemes: Vec::new(),
            protocols: Vec::new(),
            alert: None,
            candidate: None,
            certificate,
            certificate_reason: Some(refusal.reason().name()),
        }
    }
}

/// Truncates untrusted text, and escapes everything but printable ASCII.
fn shown(bytes: &[u8]) -> String {
    let (text, more) = match bytes.get(..TEXT_MAX) {
        Some(start) if bytes.len() > TEXT_MAX => (start, "…"),
        _ => (bytes, ""),
    };
    format!("{}{more}", text.escape_ascii())
}

/// The last failed handshakes.
#[derive(Debug, Default)]
pub(crate) struct Journal(Mutex<VecDeque<Entry>>);

impl Journal {
    /// Adds an entry, and removes the oldest one if there are too many.
    pub(crate) fn add(&self, entry: Entry) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.truncate(ENTRIES_MAX - 1);
        entries.push_front(entry);
    }

    /// Returns all entries, the newest first.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().cloned().collect()
    }

    /// Removes all entries.
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
    fn untrusted_text_is_bounded_and_escaped() {
        assert_eq!(shown(b"mqtt.example.com"), "mqtt.example.com");
        assert_eq!(
            shown(b"a\nb\x1b[31m\xe2\x80\xae"),
            "a\\nb\\x1b[31m\\xe2\\x80\\xae"
        );
        assert!(shown(&vec![0; 16_900]).len() <= 4 * TEXT_MAX + "…".len());
    }
}
