//! Slows down while what is written is changed back again and again, as by a second operator or a policy: otherwise both
//! would write at the pace of the events. It must not know what was written.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::plan::names::Name;

/// Number of reconciliations in a row that may write children without a rest. A user who changes a listener and its
/// Secrets many times reaches it, too.
const FREE: u32 = 10;

/// The first rest; it doubles with each further reconciliation that writes.
const FIRST: Duration = Duration::from_millis(200);

/// The longest rest. A user's last change takes effect after it.
const MAX: Duration = Duration::from_secs(5);

/// Listeners whose children have been written by the last reconciliation.
#[derive(Debug, Default)]
pub(super) struct Undone(Mutex<HashMap<Name, Row>>);

#[derive(Clone, Copy, Debug)]
struct Row {
    /// Reconciliations in a row that have written.
    writing: u32,
    /// Until when nothing is done.
    rest: Instant,
}

impl Undone {
    /// Returns the time that is left of a listener's rest.
    pub(super) fn rest(&self, listener: &Name, now: Instant) -> Option<Duration> {
        let row = self.lock().get(listener).copied()?;
        let left = row.rest.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// Ends a reconciliation that succeeded, and reports whether the first rest begins.
    pub(super) fn end(&self, listener: &Name, has_written: bool, now: Instant) -> bool {
        let mut rows = self.lock();
        if !has_written {
            rows.remove(listener);
            return false;
        }
        let writing = rows.get(listener).map_or(0, |row| row.writing);
        let writing = writing.saturating_add(1);
        let rest = now + rest_after(writing);
        rows.insert(listener.clone(), Row { writing, rest });
        writing == FREE + 1
    }

    /// Forgets a listener that was deleted.
    pub(super) fn forget(&self, listener: &Name) {
        self.lock().remove(listener);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Row>> {
        // Each change is atomic, so the map stays valid after a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn rest_after(writing: u32) -> Duration {
    let Some(more) = writing.checked_sub(FREE + 1) else {
        return Duration::ZERO;
    };
    FIRST.saturating_mul(2_u32.saturating_pow(more)).min(MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{FREE, Instant, Name, Undone, rest_after};

    #[test]
    fn the_rest_doubles_up_to_its_maximum() {
        let rests =
            [0, 1, 10, 11, 12, 13, 16, u32::MAX].map(|writing| rest_after(writing).as_millis());
        assert_eq!(rests, [0, 0, 0, 200, 400, 800, 5000, 5000]);
    }

    #[test]
    fn only_writes_in_a_row_cause_a_rest() {
        let (undone, name, now) = (Undone::default(), Name::new("iot", "edge"), Instant::now());
        for _ in 0..3 {
            for _ in 0..FREE {
                assert!(!undone.end(&name, true, now));
                assert_eq!(undone.rest(&name, now), None);
            }
            assert!(!undone.end(&name, false, now));
        }
        for _ in 0..FREE {
            undone.end(&name, true, now);
        }
        assert!(undone.end(&name, true, now), "it is reported once");
        assert_eq!(undone.rest(&name, now), Some(Duration::from_millis(200)));
        assert_eq!(undone.rest(&Name::new("iot", "other"), now), None);
        let later = now + Duration::from_millis(200);
        assert_eq!(undone.rest(&name, later), None);
        assert!(!undone.end(&name, true, later));
        assert_eq!(undone.rest(&name, later), Some(Duration::from_millis(400)));
        undone.forget(&name);
        assert_eq!(undone.rest(&name, later), None);
    }
}
