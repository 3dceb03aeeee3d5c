//! Validity periods of the certificates in a chain: not yet valid, expiring soon, expired.
//!
//! It must not read a clock.

use super::chain::Link;
use super::date::Date;
use super::finding::{Finding, Reason};

/// Validity period of an issuer.
#[derive(Clone, Debug)]
pub(super) struct Term {
    /// The certificate, described in full.
    described: String,
    not_before: Date,
    not_after: Date,
}

/// Maximum time between the first warning and the expiry of a certificate, in seconds: 30 days, enough to get a new one.
const SOON_MAX: i64 = 30 * 86_400;

/// The share of the life of a short-lived issuer, in thousandths, that counts as "soon": a sixth.
const ISSUER_SOON: i64 = 167;

/// The same of a leaf. cert-manager renews when a third is left, and other clients of ACME when a sixth is. The alert
/// MqttTlsCertificateNotRenewed has the same share.
const LEAF_SOON: i64 = 150;

/// Returns from when on a leaf with this validity period should have been renewed.
pub(super) fn renewal(not_before: Date, not_after: Date) -> Date {
    soon(not_before, not_after, LEAF_SOON)
}

fn soon(not_before: Date, not_after: Date, thousandths: i64) -> Date {
    let (from, until) = (not_before.as_second(), not_after.as_second());
    let last = until.saturating_sub(from).saturating_mul(thousandths) / 1000;
    Date::from_second(until.saturating_sub(last.clamp(0, SOON_MAX)))
}

impl Term {
    pub(super) fn of(issuer: &Link<'_>) -> Self {
        Self {
            described: issuer.describe(),
            not_before: issuer.facts.not_before,
            not_after: issuer.facts.not_after,
        }
    }

    /// Returns the times at which the finding changes.
    pub(super) fn dates(&self) -> [Date; 3] {
        let soon = soon(self.not_before, self.not_after, ISSUER_SOON);
        [self.not_before, soon, self.not_after]
    }

    pub(super) fn finding(&self, now: jiff::Timestamp) -> Option<Finding> {
        let (described, [from, soon, until]) = (&self.described, self.dates());
        let advice = "replace it with the CA's newer certificate, or reissue the leaf";
        if until.is_before(now) {
            Some(Finding::warning(
                Reason::IssuerExpired,
                format!("{described} expired on {until}, and clients reject the chain: {advice}"),
            ))
        } else if from.is_after(now) {
            Some(Finding::warning(
                Reason::IssuerNotYetValid,
                format!(
                    "{described} is not valid before {from}, and clients reject the chain until then"
                ),
            ))
        } else if soon.is_before(now) {
            Some(Finding::warning(
                Reason::IssuerExpiresSoon,
                format!("{described} expires on {until}, and with it the whole chain: {advice}"),
            ))
        } else {
            None
        }
    }
}
