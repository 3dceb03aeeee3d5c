//! Whether the backend is reachable, so that the log shows when an outage starts and ends.
//!
//! It must not log each failure: devices reconnect by the thousand.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Minimum time between two log lines about outages.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// Whether the backend is reachable, to log only changes.
#[derive(Debug, Default)]
pub(crate) struct Outages {
    is_out: AtomicBool,
    logged: Mutex<Option<std::time::Instant>>,
}

impl Outages {
    /// Records a failure; reports whether to log it.
    pub(crate) fn begin(&self) -> bool {
        self.is_out.store(true, Ordering::Relaxed);
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = logged.is_none_or(|logged| logged.elapsed() >= LOG_EVERY);
        if is_due {
            *logged = Some(std::time::Instant::now());
        }
        is_due
    }

    /// Records a success; reports whether to log it.
    pub(crate) fn end(&self) -> bool {
        // Usually only a relaxed load.
        if !self.is_out.load(Ordering::Relaxed) || !self.is_out.swap(false, Ordering::Relaxed) {
            return false;
        }
        // An outage was logged recently, so log its end too.
        let logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        logged.is_some_and(|logged| logged.elapsed() < LOG_EVERY)
    }
}
