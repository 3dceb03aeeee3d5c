//! What a candidate has observed of a Lease. Pure: the caller passes the time, and it must not use any clock but
//! this process' own.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use tokio::time::Instant;

/// Upper bound of a Lease's duration, whatever its spec says.
const DURATION_MAX: Duration = Duration::from_secs(600);

/// The name of the holder in logs if a Lease has none.
pub(super) const NO_HOLDER: &str = "no one";

/// The last observed spec of a Lease, and when it was first observed.
pub(super) struct Seen {
    spec: LeaseSpec,
    since: Instant,
}

/// Returns the holder of a Lease, if it has one.
pub(super) fn holder(lease: &Lease) -> Option<&str> {
    let holder = lease.spec.as_ref()?.holder_identity.as_deref()?;
    Some(holder).filter(|holder| !holder.is_empty())
}

/// Updates the observation. A deleted Lease counts as last observed: its holder may not know of the deletion.
pub(super) fn look(before: Option<Seen>, found: Option<&Lease>, now: Instant) -> Option<Seen> {
    let Some(found) = found else {
        return before;
    };
    // Only the spec is compared: a new label does not show that the holder is alive.
    let spec = found.spec.clone().unwrap_or_default();
    match before {
        Some(before) if before.spec == spec => Some(before),
        Some(_) | None => Some(Seen { spec, since: now }),
    }
}

impl Seen {
    /// Returns the current or last holder.
    pub(super) fn holder(&self) -> &str {
        self.spec.holder_identity.as_deref().unwrap_or(NO_HOLDER)
    }

    /// Reports whether another candidate may still hold the Lease. If this one holds it, the response to its claim
    /// was lost.
    pub(super) fn is_held_from(&self, own: &str, now: Instant, own_duration: Duration) -> bool {
        let holder = self.spec.holder_identity.as_deref();
        let seconds = self.spec.lease_duration_seconds;
        let duration = seconds
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
    fn a_lease_expires_if_it_does_not_change() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        // The times in the Lease are ignored; these are decades old.
        let seen = look(None, Some(&lease("they", 10, 0)), start);
        let seen = look(seen, Some(&lease("they", 10, 0)), after(9));
        assert!(is_held(seen.as_ref(), after(9)));
        assert!(!is_held(seen.as_ref(), after(10)));
        let seen = look(seen, Some(&lease("they", 10, 1)), after(10));
        assert!(is_held(seen.as_ref(), after(19)));
        assert!(!is_held(seen.as_ref(), after(20)));
    }

    #[test]
    fn a_label_does_not_renew_a_lease() {
        let start = Instant::now();
        let seen = look(None, Some(&lease("they", 10, 0)), start);
        let mut labelled = lease("they", 10, 0);
        labelled.metadata.resource_version = Some("2".to_owned());
        let later = start + Duration::from_secs(10);
        let seen = look(seen, Some(&labelled), later);
        assert!(!is_held(seen.as_ref(), later));
    }

    #[test]
    fn a_released_or_own_lease_is_free() {
        let now = Instant::now();
        for free in [lease("", 15, 0), lease("me", 15, 0), Lease::default()] {
            let seen = look(None, Some(&free), now);
            assert!(!is_held(seen.as_ref(), now));
        }
        assert!(!is_held(look(None, None, now).as_ref(), now));
    }

    #[test]
    fn a_deleted_lease_is_held_until_it_expires() {
        let start = Instant::now();
        let seen = look(None, Some(&lease("they", 10, 0)), start);
        let seen = look(seen, None, start + Duration::from_secs(5));
        assert!(is_held(seen.as_ref(), start + Duration::from_secs(9)));
        assert!(!is_held(seen.as_ref(), start + Duration::from_secs(10)));
    }

    #[test]
    fn invalid_durations_are_bounded() {
        let start = Instant::now();
        let seen = look(None, Some(&lease("they", i32::MAX, 0)), start);
        assert!(!is_held(seen.as_ref(), start + Duration::from_secs(600)));
        let seen = look(None, Some(&lease("they", -1, 0)), start);
        assert!(is_held(seen.as_ref(), start + Duration::from_secs(14)));
        assert!(!is_held(seen.as_ref(), start + OWN));
    }
}
