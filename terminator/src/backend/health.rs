//! Whether the backend is reachable, as the last attempts to connect show: for the log, which reports only when an outage
//! starts and ends, and for `/status`; and, for `/status`, whether it answers the connections that it accepts.
//!
//! It must not log each failure: devices reconnect by the thousand.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Minimum time between two log lines about outages.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// How long the result of an attempt counts. `/status` makes an attempt if no client has caused one since.
const RESULT_AGE_MAX: Duration = Duration::from_secs(15);

/// Number of connections that end without an answer, and none with one, before the backend counts as silent. A few
/// clients that it rejects without a word prove nothing.
const SILENCE_MIN: u32 = 10;

/// Maximum time between two connections without an answer that count together. Devices back off for minutes.
const SILENCE_PAUSE_MAX: Duration = Duration::from_secs(300);

/// Whether the backend is reachable.
#[derive(Debug)]
pub(crate) struct Health {
    is_out: AtomicBool,
    unanswered: Unanswered,
    silence: Mutex<Silence>,
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

/// Number of connections that ended without an answer since the backend last sent MQTT. Each read from the backend loads it,
/// so it shares no cache line with what each attempt to connect stores.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Unanswered(AtomicU32);

/// The connections that ended without an answer.
#[derive(Debug, Default)]
struct Silence {
    first: Option<Instant>,
    last: Option<Instant>,
    what: &'static str,
}

/// What the last attempts to connect show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// No attempt has ended yet.
    Nothing,
    /// The last attempt succeeded.
    Reachable,
    /// All attempts failed, or were not answered, for this long; the error of the last one.
    Unreachable(Duration, String),
}

impl Default for Health {
    fn default() -> Self {
        Self {
            is_out: AtomicBool::default(),
            unanswered: Unanswered::default(),
            silence: Mutex::default(),
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
        // Perhaps the broker was restarted because it did not answer.
        self.unanswered.0.store(0, Ordering::Relaxed);
        // An outage was logged recently, so log its end too.
        let logged = self.lock().logged;
        logged.is_some_and(|logged| logged.elapsed() < LOG_EVERY)
    }

    /// Records a connection that the backend accepted and did not answer with MQTT; `what` happened to it.
    pub(crate) fn unanswered(&self, what: &'static str, now: Instant) {
        let mut silence = self.silence();
        let count = self.unanswered.0.load(Ordering::Relaxed);
        let pause = silence.last.map(|last| now.duration_since(last));
        let is_apart = pause.is_none_or(|pause| pause >= SILENCE_PAUSE_MAX);
        if count == 0 || count < SILENCE_MIN && is_apart {
            silence.first = Some(now);
            self.unanswered.0.store(1, Ordering::Relaxed);
        } else {
            self.unanswered.0.fetch_add(1, Ordering::Relaxed);
        }
        silence.last = Some(now);
        silence.what = what;
    }

    /// Records that the backend sent MQTT. Usually only a relaxed load.
    pub(crate) fn answered(&self) {
        if self.unanswered.0.load(Ordering::Relaxed) != 0 {
            self.unanswered.0.store(0, Ordering::Relaxed);
        }
    }

    /// Reports whether the last result is too old to count.
    pub(crate) fn is_stale(&self) -> bool {
        !self.is_within(RESULT_AGE_MAX)
    }

    /// Reports whether there was a result within this time.
    pub(crate) fn is_within(&self, age: Duration) -> bool {
        let tried = self.tried.load(Ordering::Relaxed);
        tried != 0 && self.now() <= tried.saturating_add(milliseconds(age))
    }

    /// Returns what the last attempts show.
    pub(crate) fn seen(&self) -> Seen {
        if self.tried.load(Ordering::Relaxed) == 0 {
            return Seen::Nothing;
        }
        let outage = self.lock();
        match outage.since.filter(|_| self.is_out.load(Ordering::Relaxed)) {
            Some(since) => Seen::Unreachable(since.elapsed(), outage.error.clone()),
            None => self.silent().unwrap_or(Seen::Reachable),
        }
    }

    /// Returns for how long the backend has accepted connections without answering one, if there were enough of them.
    fn silent(&self) -> Option<Seen> {
        let silence = self.silence();
        let first = silence.first?;
        let is_silent = self.unanswered.0.load(Ordering::Relaxed) >= SILENCE_MIN;
        is_silent.then(|| Seen::Unreachable(first.elapsed(), silence.what.to_owned()))
    }

    fn stamp(&self) {
        self.tried.store(self.now(), Ordering::Relaxed);
    }

    /// Returns the time in milliseconds after `began`, at least 1.
    fn now(&self) -> u64 {
        milliseconds(self.began.elapsed()).max(1)
    }

    fn silence(&self) -> MutexGuard<'_, Silence> {
        // A silence is consistent even if a holder panicked.
        self.silence.lock().unwrap_or_else(PoisonError::into_inner)
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
    use super::{Health, Instant, SILENCE_MIN, SILENCE_PAUSE_MAX, Seen};

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
    }

    #[test]
    fn a_backend_is_silent_after_some_connections_without_an_answer() {
        let (health, now) = (Health::default(), Instant::now());
        let rejects = |what, count| (0..count).for_each(|_| health.unanswered(what, now));
        health.end();
        rejects("closed", SILENCE_MIN - 1);
        assert_eq!(health.seen(), Seen::Reachable, "a few prove nothing");
        health.answered();
        rejects("closed", 1);
        assert_eq!(health.seen(), Seen::Reachable, "one has been answered");
        rejects("gave up", SILENCE_MIN - 1);
        assert_eq!(error(&health.seen()), Some("gave up"));
        health.end();
        assert_eq!(error(&health.seen()), Some("gave up"), "it only connects");
        health.answered();
        assert_eq!(health.seen(), Seen::Reachable);
    }

    #[test]
    fn connections_without_an_answer_that_are_far_apart_do_not_count_together() {
        let (health, mut now) = (Health::default(), Instant::now());
        health.end();
        for _ in 0..2 * SILENCE_MIN {
            health.unanswered("closed", now);
            now += SILENCE_PAUSE_MAX;
        }
        assert_eq!(health.seen(), Seen::Reachable);
        for _ in 0..SILENCE_MIN {
            health.unanswered("closed", now);
        }
        assert_eq!(error(&health.seen()), Some("closed"));
        health.unanswered("closed", now + SILENCE_PAUSE_MAX);
        assert_eq!(error(&health.seen()), Some("closed"), "none was answered");
    }

    #[test]
    fn a_silence_ends_with_an_outage() {
        let (health, now) = (Health::default(), Instant::now());
        health.end();
        (0..SILENCE_MIN).for_each(|_| health.unanswered("closed", now));
        health.begin(|| "refused".to_owned());
        assert!(health.end());
        assert_eq!(health.seen(), Seen::Reachable, "perhaps it was restarted");
    }
}
