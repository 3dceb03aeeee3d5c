//! Judges clients' certificates again while their connections live: when what they were judged by changes (CA certificates,
//! rules, purpose, mode, revocation lists), and when a date passes.
//!
//! Each connection judges its own client, because it has the chain; a task of the thread asks one after another ([`walk`]). It
//! must not take more than a small share of the thread's time, nor close more connections in a second than the configuration
//! says.

pub(crate) mod closes;
mod verdict;
mod walk;

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::settings::Settings;
pub(crate) use verdict::judge;
pub(crate) use walk::walk;

/// What came of judging a client again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It may stay until then, Unix time in seconds; judging took so long.
    Good { expires: NonZeroU32, took: Duration },
    /// It is refused, and its connection ends; judging took so long.
    Refused { took: Duration },
    /// The connection has ended.
    Gone,
}

/// What the clients of a thread are judged by, and the connection that is asked to judge its own.
#[derive(Debug)]
pub(crate) struct Recheck {
    by: Mutex<By>,
    /// Raised whenever clients must be judged again.
    generation: AtomicU32,
    /// When the first certificate expires, as far as is known; Unix time in seconds.
    next: AtomicU32,
    /// The key of the connection that is asked, and one; 0 for none.
    asked: AtomicUsize,
    answer: Mutex<Option<Answer>>,
    answered: Notify,
    /// Notified when a client may have to be judged.
    wake: Notify,
    /// Number of clients that are still to be judged in this pass.
    left: AtomicUsize,
}

/// What clients are judged by.
#[derive(Debug, Default)]
struct By {
    settings: Option<Arc<Settings>>,
    /// Generation of the pool of revocation lists.
    lists: u64,
    /// When the status of a list changes next, Unix time in seconds.
    date: Option<i64>,
}

impl Default for Recheck {
    fn default() -> Self {
        Self {
            by: Mutex::default(),
            generation: AtomicU32::new(NonZeroU32::MIN.get()),
            next: AtomicU32::new(u32::MAX),
            asked: AtomicUsize::new(0),
            answer: Mutex::default(),
            answered: Notify::new(),
            wake: Notify::new(),
            left: AtomicUsize::new(0),
        }
    }
}

impl Recheck {
    /// Takes the settings that are served from now on.
    pub(crate) fn follow(&self, settings: &Arc<Settings>) {
        let mut by = lock(&self.by);
        let before = by.settings.replace(Arc::clone(settings));
        if before.is_some_and(|before| !before.hosts.judge_as(&settings.hosts)) {
            self.begin_generation();
        }
    }

    /// Returns the generation by which clients must be judged.
    pub(crate) fn generation(&self) -> NonZeroU32 {
        let generation = self.generation.load(Ordering::Relaxed);
        NonZeroU32::new(generation).unwrap_or(NonZeroU32::MIN)
    }

    /// Returns the number of clients that are still to be judged.
    pub(crate) fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }

    /// Returns what clients are judged by, once it is known.
    pub(crate) fn settings(&self) -> Option<Arc<Settings>> {
        lock(&self.by).settings.clone()
    }

    /// Looks whether the lists have changed, or the status of one has. Call it from any thread.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Expects a client that was judged by a generation, and whose certificate expires then.
    pub(crate) fn expect(&self, judged: NonZeroU32, expires: NonZeroU32) {
        let expires = expires.get();
        let is_first = expires < self.next.fetch_min(expires, Ordering::Relaxed);
        if is_first || judged != self.generation() {
            self.wake();
        }
    }

    /// Reports whether a connection is asked to judge its client.
    pub(crate) fn is_asked(&self, key: usize) -> bool {
        self.asked.load(Ordering::Relaxed) == key + 1
    }

    /// Takes the answer of a connection, if it is the one that is asked.
    pub(crate) fn answer(&self, key: usize, answer: Answer) {
        if self.is_asked(key) {
            self.asked.store(0, Ordering::Relaxed);
            *lock(&self.answer) = Some(answer);
            self.answered.notify_one();
        }
    }

    /// Asks a connection.
    pub(crate) fn ask(&self, key: usize) {
        self.asked.store(key + 1, Ordering::Relaxed);
    }

    /// Waits for the answer of the connection that is asked.
    pub(crate) async fn answered(&self) -> Answer {
        loop {
            if let Some(answer) = lock(&self.answer).take() {
                return answer;
            }
            self.answered.notified().await;
        }
    }

    /// Raises the generation.
    fn begin_generation(&self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
        self.wake();
    }

    fn begin_count(&self, left: usize) {
        self.left.store(left, Ordering::Relaxed);
    }

    /// Takes note that a client was judged. The count is not exact: clients come and go meanwhile.
    fn count_down(&self) {
        let left = self.left.load(Ordering::Relaxed).saturating_sub(1);
        self.left.store(left, Ordering::Relaxed);
    }

    /// Ends it; the next certificate expires then.
    fn end_pass(&self, next: u32) {
        self.next.fetch_min(next, Ordering::Relaxed);
        self.left.store(0, Ordering::Relaxed);
    }

    /// Returns when to look again, in Unix time, unless it is woken before.
    fn next_look(&self) -> i64 {
        // In the second after that date.
        let date = lock(&self.by).date.map(|date| date.saturating_add(1));
        let expiry = i64::from(self.next.load(Ordering::Relaxed));
        date.map_or(expiry, |date| date.min(expiry))
    }

    /// Returns how many connections may be closed in a second.
    fn closes_a_second(&self) -> u32 {
        let by = lock(&self.by);
        by.settings
            .as_ref()
            .map_or(1, |settings| settings.limits.recheck_closes)
    }

    /// Begins to look for clients that must be judged: by a new generation, if lists have changed since the last time, or a date
    /// has passed at which one of them is outdated.
    fn begin_pass(&self, lists: u64, date: Option<i64>, now: i64) {
        let mut by = lock(&self.by);
        let has_passed = by.date.is_some_and(|date| date < now);
        let has_changed = std::mem::replace(&mut by.lists, lists) != lists;
        by.date = date;
        self.next.store(u32::MAX, Ordering::Relaxed);
        if has_passed || has_changed {
            self.generation.fetch_add(1, Ordering::Relaxed);
        }
    }
}

// Each is consistent even if a holder panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
