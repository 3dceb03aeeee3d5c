//! The client certificate that was refused last on this thread. rustls calls the verifier during the handshake, and keeps
//! nothing of a refused certificate, so the verifier leaves here what the caller wants to know.
//!
//! It must not keep more than one certificate's subject, bounded and escaped.

use std::cell::RefCell;

use mqtt_tls_judge::client::{Reason, Refusal};
use mqtt_tls_judge::name_of;

/// A refused certificate.
#[derive(Debug)]
pub(crate) struct Refused {
    /// Its subject.
    pub(crate) subject: String,
    pub(crate) reason: Reason,
    /// What is wrong with it.
    pub(crate) message: String,
}

thread_local! {
    static REFUSED: RefCell<Option<Refused>> = const { RefCell::new(None) };
}

/// Takes what is known of the certificate that was last refused on this thread.
pub(crate) fn take() -> Option<Refused> {
    REFUSED.take()
}

/// Forgets it, before another one is judged.
pub(super) fn forget() {
    REFUSED.take();
}

/// Keeps what is known of a certificate.
pub(super) fn record(certificate: &[u8], refusal: &Refusal) {
    REFUSED.replace(Some(Refused {
        subject: name_of(certificate),
        reason: refusal.reason(),
        message: refusal.to_string(),
    }));
}
