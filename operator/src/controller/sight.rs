//! Which versions of objects a listener's last reconciliation has taken into account: read, or written itself. An event
//! about one of them, most often the echo of an own write, needs no other reconciliation.
//!
//! It must not be used to decide what is written, and a doubt means that an event counts.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::kinds::Version;
use crate::plan::names::Name;

/// Maximum number of causes that are kept for a listener; with more, it is reconciled in any case.
const CAUSES_MAX: usize = 64;

/// What the last reconciliation of each listener has taken into account.
#[derive(Debug, Default)]
pub struct Sights(Mutex<HashMap<Name, Sight>>);

#[derive(Debug, Default)]
struct Sight {
    /// Sorted.
    seen: Vec<Version>,
    /// When the next reconciliation without an event is due.
    due: Option<Instant>,
    /// The versions in events since the last reconciliation began.
    causes: Vec<Version>,
    /// Whether there was something else.
    is_doubtful: bool,
}

impl Sights {
    /// Records an event for a listener: the version of an object, or something that must be looked at.
    pub fn note(&self, listener: &Name, cause: Option<Version>) {
        let mut sights = self.lock();
        let sight = sights.entry(listener.clone()).or_default();
        match cause {
            Some(version) if sight.causes.len() < CAUSES_MAX => sight.causes.push(version),
            Some(_) | None => sight.is_doubtful = true,
        }
    }

    /// Begins a reconciliation. Returns the time until the next one if everything that caused this one has been taken
    /// into account already, as when an earlier one has taken its causes. Otherwise, and at its time, it is due, and
    /// what was seen before is forgotten.
    pub fn begin(&self, listener: &Name, now: Instant) -> Option<Duration> {
        let mut sights = self.lock();
        let sight = sights.get_mut(listener)?;
        let causes = std::mem::take(&mut sight.causes);
        let is_doubtful = std::mem::take(&mut sight.is_doubtful);
        let is_seen = |cause: &Version| sight.seen.binary_search(cause).is_ok();
        let is_echo = !is_doubtful && causes.iter().all(is_seen);
        let due = sight.due.filter(|due| is_echo && *due > now);
        if due.is_none() {
            (sight.seen, sight.due) = (Vec::new(), None);
        }
        due.map(|due| due.duration_since(now))
    }

    /// Ends a reconciliation that succeeded: what it has taken into account, and when the next one is due.
    pub fn end(&self, listener: &Name, mut seen: Vec<Version>, due: Instant) {
        seen.sort_unstable();
        let mut sights = self.lock();
        let sight = sights.entry(listener.clone()).or_default();
        sight.seen = seen;
        sight.due = Some(due);
    }

    /// Forgets a listener that was deleted.
    pub fn forget(&self, listener: &Name) {
        self.lock().remove(listener);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Sight>> {
        // Each change is atomic, so the map stays valid after a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    use super::{CAUSES_MAX, Instant, Sights};
    use crate::kinds::{Kind, Version};
    use crate::plan::names::Name;

    fn version(resource_version: &str) -> Option<Version> {
        let metadata = ObjectMeta {
            name: Some("edge".to_owned()),
            namespace: Some("iot".to_owned()),
            resource_version: Some(resource_version.to_owned()),
            ..ObjectMeta::default()
        };
        Version::of(Kind::Secret, &metadata)
    }

    #[test]
    fn only_echoes_of_what_was_seen_need_no_look() {
        let (sights, edge, now) = (Sights::default(), Name::new("iot", "edge"), Instant::now());
        let minute = Duration::from_secs(60);
        let begin = || sights.begin(&edge, now);
        // Before the first reconciliation.
        sights.note(&edge, version("1"));
        assert_eq!(begin(), None);
        let seen = || [version("2"), version("1")].into_iter().flatten().collect();
        sights.end(&edge, seen(), now + minute);
        sights.note(&edge, version("1"));
        sights.note(&edge, version("2"));
        assert_eq!(begin(), Some(minute));
        // An event whose cause was taken with another one's.
        assert_eq!(begin(), Some(minute));
        for other in [version("3"), None] {
            sights.end(&edge, seen(), now + minute);
            sights.note(&edge, version("1"));
            sights.note(&edge, other);
            assert_eq!(begin(), None);
        }
        // It failed: nothing is known.
        sights.note(&edge, version("1"));
        assert_eq!(begin(), None);
        sights.end(&edge, seen(), now + minute);
        for _ in 0..=CAUSES_MAX {
            sights.note(&edge, version("1"));
        }
        assert_eq!(begin(), None);
        sights.end(&edge, seen(), now + minute);
        sights.note(&edge, version("1"));
        assert_eq!(sights.begin(&edge, now + minute), None, "it is due");
    }
}
