//! What time makes of the issuers in a chain: they begin, come near their end, and are over.
//!
//! It must not read a clock.

use super::chain::Link;
use super::date::Date;
use super::finding::{Finding, Reason};

/// What time makes of an issuer, in the order of the chain.
#[derive(Clone, Debug)]
pub(super) struct Term {
    /// Which certificate, in full.
    told: String,
    not_before: Date,
    not_after: Date,
}

/// How long before its end an issuer is told of, at most: 30 days, in seconds, which is time enough to get
/// another one.
const SOON_MAX: i64 = 30 * 86_400;

/// Which part of its life is the last one, of an issuer that does not live long.
const SOON_PART: i64 = 6;

impl Term {
    pub(super) fn of(issuer: &Link<'_>) -> Self {
        Self {
            told: issuer.told(),
            not_before: issuer.facts.not_before,
            not_after: issuer.facts.not_after,
        }
    }

    /// When something else is to be said.
    pub(super) fn dates(&self) -> [Date; 3] {
        let (from, until) = (self.not_before.as_second(), self.not_after.as_second());
        let last = (until.saturating_sub(from) / SOON_PART).clamp(0, SOON_MAX);
        let soon = Date::from_second(until.saturating_sub(last));
        [self.not_before, soon, self.not_after]
    }

    pub(super) fn finding(&self, now: jiff::Timestamp) -> Option<Finding> {
        let (told, [from, soon, until]) = (&self.told, self.dates());
        let advice = "put the CA's newer certificate in its place, or reissue the leaf";
        if until.is_before(now) {
            Some(Finding::warning(
                Reason::IssuerExpired,
                format!("{told} expired on {until}, and clients refuse the chain: {advice}"),
            ))
        } else if from.is_after(now) {
            Some(Finding::warning(
                Reason::IssuerNotYetValid,
                format!(
                    "{told} is not valid before {from}, and clients refuse the chain until then"
                ),
            ))
        } else if soon.is_before(now) {
            Some(Finding::warning(
                Reason::IssuerExpiresSoon,
                format!("{told} expires on {until}, and with it the whole chain: {advice}"),
            ))
        } else {
            None
        }
    }
}
