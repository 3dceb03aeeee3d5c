//! Which versions of objects a listener's last reconciliation has taken into account: read, or written itself. An event
//! about one of them, most often the echo of an own write, needs no other reconciliation.
//!
//! A result counts for the next process once the echoes of all own writes have come with nothing else before them:
//! the version of an own write may hide another's edit, which only an event shows.
//!
//! It must not be used to decide what is written, and a doubt means that an event counts.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::records::{Record, Salt};
use crate::kinds::Version;
use crate::plan::names::Name;

/// Maximum number of causes that are kept for a listener; with more, it is reconciled in any case.
const CAUSES_MAX: usize = 256;

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
    /// Whether a referenced Secret has changed since the last reconciliation began.
    is_renewed: bool,
    /// The last result, if it may be kept for the next process.
    record: Option<Record>,
    /// Own writes of that result whose echoes have not come.
    unechoed: Vec<Version>,
}

/// What a reconciliation that succeeded leaves behind.
pub struct Ended {
    /// The versions that it has taken into account: read, or written itself.
    pub seen: Vec<Version>,
    /// Those of them that it has written.
    pub written: Vec<Version>,
    /// When the next one is due.
    pub due: Instant,
    /// Its result, if it may be kept for the next process.
    pub record: Option<Record>,
}

impl Sight {
    fn has_seen(&self, version: Version) -> bool {
        self.seen.binary_search(&version).is_ok()
    }

    /// Takes an event into account that came after the result.
    fn confirm(&mut self, cause: Option<Version>) {
        if self.unechoed.is_empty() {
            return;
        }
        if cause.is_some_and(|cause| self.has_seen(cause)) {
            self.unechoed.retain(|version| Some(*version) != cause);
        } else {
            self.record = None;
            self.unechoed = Vec::new();
        }
    }
}

impl Sights {
    /// Records an event for a listener: the version of an object, or something that must be looked at.
    pub fn note(&self, listener: &Name, cause: Option<Version>) {
        let mut sights = self.lock();
        let sight = sights.entry(listener.clone()).or_default();
        sight.confirm(cause);
        match cause {
            Some(version) if sight.causes.len() < CAUSES_MAX => sight.causes.push(version),
            Some(_) | None => sight.is_doubtful = true,
        }
    }

    /// Records that a Secret that a listener references has changed.
    pub fn note_renewal(&self, listener: &Name) {
        self.lock().entry(listener.clone()).or_default().is_renewed = true;
    }

    /// Reports whether a referenced Secret has changed since this was last asked.
    pub fn take_renewal(&self, listener: &Name) -> bool {
        let mut sights = self.lock();
        let sight = sights.get_mut(listener);
        sight.is_some_and(|sight| std::mem::take(&mut sight.is_renewed))
    }

    /// Begins a reconciliation. Returns the time until the next one if everything that caused this one has been taken
    /// into account already, as when an earlier one has taken its causes. Otherwise, and at its time, it is due, and
    /// what was seen before is forgotten.
    pub fn begin(&self, listener: &Name, now: Instant) -> Option<Duration> {
        let mut sights = self.lock();
        let sight = sights.get_mut(listener)?;
        let causes = std::mem::take(&mut sight.causes);
        let is_doubtful = std::mem::take(&mut sight.is_doubtful);
        let is_echo = !is_doubtful && causes.iter().all(|cause| sight.has_seen(*cause));
        let due = sight.due.filter(|due| is_echo && *due > now);
        if due.is_none() {
            (sight.seen, sight.due) = (Vec::new(), None);
            if !sight.unechoed.is_empty() {
                (sight.record, sight.unechoed) = (None, Vec::new());
            }
        }
        due.map(|due| due.duration_since(now))
    }

    /// Ends a reconciliation that succeeded.
    pub fn end(&self, listener: &Name, ended: Ended) {
        let mut sights = self.lock();
        let sight = sights.entry(listener.clone()).or_default();
        sight.seen = ended.seen;
        sight.seen.sort_unstable();
        sight.seen.dedup();
        sight.seen.shrink_to_fit();
        (sight.due, sight.record, sight.unechoed) = (Some(ended.due), ended.record, ended.written);
        // Events that came since it began.
        for cause in sight.causes.clone() {
            sight.confirm(Some(cause));
        }
        if sight.is_doubtful {
            sight.confirm(None);
        }
    }

    /// Drops the results whose echoes have not come: a watch has begun again, and its list may have the echo without what
    /// was before it.
    pub fn drop_unechoed(&self) {
        for sight in self.lock().values_mut() {
            sight.confirm(None);
        }
    }

    /// Returns the results for the next process. They stay true whatever happens later: what has changed since has
    /// another version.
    pub fn records(&self) -> Vec<Record> {
        let sights = self.lock();
        let sights = sights.values();
        let confirmed = sights.filter(|sight| sight.unechoed.is_empty());
        confirmed.filter_map(|sight| sight.record.clone()).collect()
    }

    /// Takes over the results of an earlier process for the listeners of which the watches have found exactly the versions
    /// that those rest on. `due` returns when such a listener is due, or `None` if it must be reconciled.
    pub fn restore(
        &self,
        salt: Salt,
        records: &HashMap<u64, Record>,
        mut due: impl FnMut(&Name, &Record) -> Option<Instant>,
    ) {
        for (listener, sight) in self.lock().iter_mut() {
            if sight.is_doubtful || sight.causes.is_empty() || sight.due.is_some() {
                continue;
            }
            let Some(record) = records.get(&salt.digest(&sight.causes)) else {
                continue;
            };
            sight.due = due(listener, record);
            if sight.due.is_some() {
                sight.seen = std::mem::take(&mut sight.causes);
                sight.seen.sort_unstable();
                sight.seen.dedup();
                sight.record = Some(record.clone());
            }
        }
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

    use super::{CAUSES_MAX, Ended, Instant, Record, Salt, Sights};
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
        let ended = || Ended {
            seen: [version("2"), version("1")].into_iter().flatten().collect(),
            written: Vec::new(),
            due: now + minute,
            record: None,
        };
        sights.end(&edge, ended());
        sights.note(&edge, version("1"));
        sights.note(&edge, version("2"));
        assert_eq!(begin(), Some(minute));
        // An event whose cause was taken with another one's.
        assert_eq!(begin(), Some(minute));
        for other in [version("3"), None] {
            sights.end(&edge, ended());
            sights.note(&edge, version("1"));
            sights.note(&edge, other);
            assert_eq!(begin(), None);
        }
        // It failed: nothing is known.
        sights.note(&edge, version("1"));
        assert_eq!(begin(), None);
        sights.end(&edge, ended());
        for _ in 0..=CAUSES_MAX {
            sights.note(&edge, version("1"));
        }
        assert_eq!(begin(), None);
        sights.end(&edge, ended());
        sights.note(&edge, version("1"));
        assert_eq!(sights.begin(&edge, now + minute), None, "it is due");
    }
    fn record(digest: u64) -> Record {
        Record {
            digest,
            until: None,
            is_asked: false,
            warnings: Vec::new(),
        }
    }

    /// Ends a reconciliation that has read version 1 and written version 2.
    fn end(sights: &Sights, edge: &Name) {
        let ended = Ended {
            seen: [version("1"), version("2")].into_iter().flatten().collect(),
            written: version("2").into_iter().collect(),
            due: Instant::now() + Duration::from_secs(60),
            record: Some(record(7)),
        };
        sights.end(edge, ended);
    }

    #[test]
    fn a_result_is_kept_once_own_writes_have_been_echoed() {
        let edge = Name::new("iot", "edge");
        let kept = |events: &[Option<&str>], later: &[Option<&str>]| {
            let sights = Sights::default();
            let note = |event: Option<&str>| sights.note(&edge, event.and_then(version));
            events.iter().copied().for_each(note);
            end(&sights, &edge);
            later.iter().copied().for_each(note);
            sights.records().len()
        };
        assert_eq!(kept(&[], &[]), 0, "another's edit may come before the echo");
        assert_eq!(kept(&[], &[Some("1")]), 0);
        for (before, later) in [
            (&[Some("2")][..], &[][..]),
            (&[], &[Some("2")]),
            // It was true, and the next process finds another version.
            (&[], &[Some("2"), Some("3")]),
            (&[], &[Some("2"), None]),
        ] {
            assert_eq!(kept(before, later), 1, "{before:?} {later:?}");
        }
        for (before, later) in [
            (&[Some("3"), Some("2")][..], &[][..]),
            (&[], &[Some("3"), Some("2")]),
            (&[], &[None, Some("2")]),
            (&[None], &[Some("2")]),
        ] {
            assert_eq!(kept(before, later), 0, "{before:?} {later:?}");
        }
    }

    #[test]
    fn an_echo_in_a_list_confirms_nothing() {
        let (sights, edge) = (Sights::default(), Name::new("iot", "edge"));
        end(&sights, &edge);
        sights.drop_unechoed();
        sights.note(&edge, version("2"));
        assert_eq!(sights.records(), []);
        end(&sights, &edge);
        sights.note(&edge, version("2"));
        sights.drop_unechoed();
        assert_eq!(sights.records(), [record(7)]);
    }

    #[test]
    fn a_result_outlives_the_look_that_finds_the_same() {
        let (sights, edge) = (Sights::default(), Name::new("iot", "edge"));
        end(&sights, &edge);
        sights.note(&edge, version("2"));
        let due = Instant::now() + Duration::from_secs(60);
        assert_eq!(sights.begin(&edge, due), None);
        assert_eq!(sights.records(), [record(7)], "while it is in progress");
        sights.forget(&edge);
        assert_eq!(sights.records(), []);
    }

    #[test]
    fn only_exactly_the_same_versions_need_no_look_after_a_restart() {
        let (edge, salt) = (Name::new("iot", "edge"), Salt::of(1, ""));
        let of = |versions: &[&str]| {
            let versions = versions.iter().filter_map(|one| version(one));
            salt.digest(&versions.collect::<Vec<_>>())
        };
        let records = [(of(&["1", "2"]), record(of(&["1", "2"])))].into();
        let now = Instant::now();
        let left = |listed: &[Option<&str>], due: Option<Instant>| {
            let sights = Sights::default();
            for event in listed {
                sights.note(&edge, event.and_then(version));
            }
            sights.restore(salt, &records, |_, _| due);
            (sights.begin(&edge, now), sights.records().len())
        };
        let minute = Duration::from_secs(60);
        let (one, two) = (Some("1"), Some("2"));
        let later = Some(now + minute);
        assert_eq!(left(&[two, one], later), (Some(minute), 1));
        assert_eq!(left(&[two, one, one], later), (Some(minute), 1));
        for changed in [&[one][..], &[one, two, Some("3")], &[one, two, None], &[]] {
            assert_eq!(left(changed, later), (None, 0), "{changed:?}");
        }
        assert_eq!(left(&[two, one], None), (None, 0), "a date has passed");
    }
}
