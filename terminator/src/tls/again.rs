//! The client of a session that lives: when its certificates expire, and whether it would be accepted now. Pure.
//!
//! It must not end the session.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::num::NonZeroU32;
use std::time::Duration;

use jiff::Timestamp;
use rustls::pki_types::UnixTime;

use super::session::Session;
use super::trust::ClientTrust;
use mqtt_tls_judge::client::{Refusal, next_expiry};

/// Returns when the first of the client's certificates expires, in Unix time, the maximum for never; `None` if none was
/// verified.
pub(crate) fn expiry(session: &Session, now: Timestamp) -> Option<NonZeroU32> {
    let chain = session.peer_chain()?;
    let expiry = next_expiry(chain, unix(now)).map(u32::try_from);
    let expiry = expiry.and_then(Result::ok).and_then(NonZeroU32::new);
    Some(expiry.unwrap_or(NonZeroU32::MAX))
}

/// Judges the client as if it connected now; returns when the first of its certificates expires.
pub(crate) fn judge(
    session: &Session,
    trust: &ClientTrust,
    now: Timestamp,
) -> Result<NonZeroU32, Refusal> {
    let trust = trust.trust().filter(|_| trust.verifies());
    if let (Some(trust), Some([leaf, rest @ ..])) = (trust, session.peer_chain()) {
        trust.judge(leaf, rest, unix(now))?;
    }
    Ok(expiry(session, now).unwrap_or(NonZeroU32::MAX))
}

fn unix(now: Timestamp) -> UnixTime {
    let since = u64::try_from(now.as_second()).unwrap_or_default();
    UnixTime::since_unix_epoch(Duration::from_secs(since))
}
