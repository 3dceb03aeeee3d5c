//! What is known of a Lease by having looked at it. Pure: time is handed in, and no clock but this process' own
//! counts.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use tokio::time::Instant;

/// The longest that a Lease is waited for, whatever someone wrote into it.
const DURATION_MAX: Duration = Duration::from_secs(600);

/// What a Lease said, and since when it has said that.
pub(super) struct Seen {
    spec: LeaseSpec,
    since: Instant,
}

/// Who holds a Lease, if anyone does.
pub(super) fn holder(lease: &Lease) -> Option<&str> {
    let holder = lease.spec.as_ref()?.holder_identity.as_deref()?;
    Some(holder).filter(|holder| !holder.is_empty())
}

/// What is known after a look. A Lease that is gone counts as it was seen last: its holder does not know yet.
pub(super) fn look(before: Option<Seen>, found: Option<&Lease>, now: Instant) -> Option<Seen> {
    let Some(found) = found else {
        return before;
    };
    // What is compared is what it says: a label that someone put on it is no sign of life.
    let spec = found.spec.clone().unwrap_or_default();
    match before {
        Some(before) if before.spec == spec => Some(before),
        Some(_) | None => Some(Seen { spec, since: now }),
    }
}

impl Seen {
    /// Whoever holds it, or held it last.
    pub(super) fn holder(&self) -> &str {
        self.spec.holder_identity.as_deref().unwrap_or("nobody")
    }

    /// Whether someone else may still work under it. Who finds it held by itself has not heard of that yet.
    pub(super) fn is_held_from(&self, own: &str, now: Instant, own_duration: Duration) -> bool {
        let holder = self.spec.holder_identity.as_deref();
        let said = self.spec.lease_duration_seconds;
        let duration = said
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map_or(own_duration, Duration::from_secs)
            .min(DURATION_MAX);
        let is_other = holder.is_some_and(|holder| !holder.is_empty() && holder != own);
        is_other && now < self.since + duration
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
    use tokio::time::Instant;

    use super::{Seen, look};

    const OWN: Duration = Duration::from_secs(15);

    fn lease(holder: &str, seconds: i32, renewed: i64) -> Lease {
        let renewed = jiff::Timestamp::from_second(renewed).unwrap();
        Lease {
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.to_owned()),
                lease_duration_seconds: Some(seconds),
                renew_time: Some(MicroTime(renewed)),
                ..LeaseSpec::default()
            }),
            ..Lease::default()
        }
    }

    fn is_held(seen: Option<&Seen>, now: Instant) -> bool {
        seen.is_some_and(|seen| seen.is_held_from("me", now, OWN))
    }

    #[test]
    fn a_lease_ends_when_it_was_not_changed_for_long_enough() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        // Its times may be those of another century: they are not looked at.
        let seen = look(None, Some(&lease("they", 10, 0)), start);
        let seen = look(seen, Some(&lease("they", 10, 0)), after(9));
        assert!(is_held(seen.as_ref(), after(9)));
        assert!(!is_held(seen.as_ref(), after(10)));
        let seen = look(seen, Some(&lease("they", 10, 1)), after(10));
        assert!(is_held(seen.as_ref(), after(19)));
        assert!(!is_held(seen.as_ref(), after(20)));
    }

    #[test]
    fn a_label_is_no_sign_of_life() {
        let start = Instant::now();
        let seen = look(None, Some(&lease("they", 10, 0)), start);
        let mut labelled = lease("they", 10, 0);
        labelled.metadata.resource_version = Some("2".to_owned());
        let later = start + Duration::from_secs(10);
        let seen = look(seen, Some(&labelled), later);
        assert!(!is_held(seen.as_ref(), later));
    }

    #[test]
    fn one_that_was_given_back_or_is_ones_own_is_free() {
        let now = Instant::now();
        for free in [lease("", 15, 0), lease("me", 15, 0), Lease::default()] {
            let seen = look(None, Some(&free), now);
            assert!(!is_held(seen.as_ref(), now));
        }
        assert!(!is_held(look(None, None, now).as_ref(), now));
    }

    #[test]
    fn one_that_is_gone_is_held_until_its_end() {
        let start = Instant::now();
        let seen = look(None, Some(&lease("they", 10, 0)), start);
        let seen = look(seen, None, start + Duration::from_secs(5));
        assert!(is_held(seen.as_ref(), start + Duration::from_secs(9)));
        assert!(!is_held(seen.as_ref(), start + Duration::from_secs(10)));
    }

    #[test]
    fn nonsense_has_an_end() {
        let start = Instant::now();
        let seen = look(None, Some(&lease("they", i32::MAX, 0)), start);
        assert!(!is_held(seen.as_ref(), start + Duration::from_secs(600)));
        let seen = look(None, Some(&lease("they", -1, 0)), start);
        assert!(is_held(seen.as_ref(), start + Duration::from_secs(14)));
        assert!(!is_held(seen.as_ref(), start + OWN));
    }
}
