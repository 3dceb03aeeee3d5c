//! Whether the backend is reachable, as the last attempts to connect show: for the log, which reports only when an
//! outage starts and ends, and for `/status`.
//!
//! It must not log each failure: devices reconnect by the thousand.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Minimum time between two log lines about outages.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// How long the result of an attempt counts. `/status` makes an attempt if no client has caused one since.
const RESULT_AGE_MAX: Duration = Duration::from_secs(15);

/// Whether the backend is reachable.
#[derive(Debug)]
pub(crate) struct Health {
    is_out: AtomicBool,
    /// Time of the last result in milliseconds after `began`; 0 before the first.
    tried: AtomicU64,
    began: Instant,
    outage: Mutex<Outage>,
}

/// The current outage, or the last one.
#[derive(Debug, Default)]
struct Outage {
    since: Option<Instant>,
    error: String,
    logged: Option<Instant>,
}

/// What the last attempts to connect show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// No attempt has ended yet.
    Nothing,
    /// The last attempt succeeded.
    Reachable,
    /// All attempts failed for this long; the error of the last one.
    Unreachable(Duration, String),
}

impl Default for Health {
    fn default() -> Self {
        Self {
            is_out: AtomicBool::default(),
            tried: AtomicU64::default(),
            began: Instant::now(),
            outage: Mutex::default(),
        }
    }
}

impl Health {
    /// Records a failure; reports whether to log it.
    pub(crate) fn begin(&self, error: impl FnOnce() -> String) -> bool {
        self.stamp();
        let mut outage = self.lock();
        if !self.is_out.swap(true, Ordering::Relaxed) {
            outage.since = Some(Instant::now());
        }
        outage.error = error();
        let logged = outage.logged;
        let is_due = logged.is_none_or(|logged| logged.elapsed() >= LOG_EVERY);
        if is_due {
            outage.logged = Some(Instant::now());
        }
        is_due
    }

    /// Records a success; reports whether to log it.
    pub(crate) fn end(&self) -> bool {
        self.stamp();
        // Usually only a relaxed load.
        if !self.is_out.load(Ordering::Relaxed) || !self.is_out.swap(false, Ordering::Relaxed) {
            return false;
        }
        // An outage was logged recently, so log its end too.
        let logged = self.lock().logged;
        logged.is_some_and(|logged| logged.elapsed() < LOG_EVERY)
    }

    /// Forgets everything, because the backend is another one.
    pub(crate) fn reset(&self) {
        let mut outage = self.lock();
        *outage = Outage::default();
        self.is_out.store(false, Ordering::Relaxed);
        self.tried.store(0, Ordering::Relaxed);
    }

    /// Reports whether the last result is too old to count.
    pub(crate) fn is_stale(&self) -> bool {
        let tried = self.tried.load(Ordering::Relaxed);
        tried == 0 || self.now() > tried.saturating_add(milliseconds(RESULT_AGE_MAX))
    }

    /// Returns what the last attempts show.
    pub(crate) fn seen(&self) -> Seen {
        if self.tried.load(Ordering::Relaxed) == 0 {
            return Seen::Nothing;
        }
        let outage = self.lock();
        match outage.since.filter(|_| self.is_out.load(Ordering::Relaxed)) {
            Some(since) => Seen::Unreachable(since.elapsed(), outage.error.clone()),
            None => Seen::Reachable,
        }
    }

    fn stamp(&self) {
        self.tried.store(self.now(), Ordering::Relaxed);
    }

    /// Returns the time in milliseconds after `began`, at least 1.
    fn now(&self) -> u64 {
        milliseconds(self.began.elapsed()).max(1)
    }

    fn lock(&self) -> MutexGuard<'_, Outage> {
        // An outage is consistent even if a holder panicked.
        self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Health, Seen};

    fn error(seen: &Seen) -> Option<&str> {
        match seen {
            Seen::Unreachable(_, error) => Some(error),
            Seen::Nothing | Seen::Reachable => None,
        }
    }

    #[test]
    fn the_last_attempt_counts() {
        let health = Health::default();
        assert_eq!((health.seen(), health.is_stale()), (Seen::Nothing, true));
        assert!(health.begin(|| "one".to_owned()));
        assert!(!health.begin(|| "two".to_owned()), "logged just now");
        assert_eq!(error(&health.seen()), Some("two"));
        assert!(!health.is_stale());
        assert!(health.end(), "its start was logged");
        assert_eq!(health.seen(), Seen::Reachable);
        assert!(!health.end(), "there is no outage");
        health.begin(|| "three".to_owned());
        health.reset();
        assert_eq!((health.seen(), health.is_stale()), (Seen::Nothing, true));
    }
}
