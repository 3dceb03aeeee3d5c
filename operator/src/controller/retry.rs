//! Exponential backoff per listener. It must not know what failed.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::plan::names::Name;

/// Backoff after the first failure; it doubles with each further one.
const FIRST: Duration = Duration::from_millis(500);

/// Maximum backoff.
const MAX: Duration = Duration::from_secs(300);

/// Consecutive failures of each listener.
#[derive(Debug, Default)]
pub struct Failures(Mutex<HashMap<Name, u32>>);

impl Failures {
    /// Returns the number of consecutive failures of a listener.
    pub fn of(&self, listener: &Name) -> u32 {
        self.lock().get(listener).copied().unwrap_or(0)
    }

    /// Counts a failure. Returns the number of consecutive failures and the backoff.
    pub fn more(&self, listener: &Name) -> (u32, Duration) {
        let mut failures = self.lock();
        let failures = failures.entry(listener.clone()).or_default();
        *failures = failures.saturating_add(1);
        (*failures, back_off(*failures))
    }

    /// Resets a listener that succeeded or was deleted.
    pub fn forget(&self, listener: &Name) {
        self.lock().remove(listener);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, u32>> {
        // Counters stay valid after a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the backoff after so many consecutive failures.
fn back_off(failures: u32) -> Duration {
    let factor = 2_u32.saturating_pow(failures.saturating_sub(1));
    FIRST.saturating_mul(factor).min(MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Failures, back_off};
    use crate::plan::names::Name;

    #[test]
    fn the_backoff_doubles_up_to_its_maximum() {
        let waits: Vec<u128> = [1, 2, 3, 10, 11, u32::MAX]
            .into_iter()
            .map(|failures| back_off(failures).as_millis())
            .collect();
        assert_eq!(waits, [500, 1000, 2000, 256_000, 300_000, 300_000]);
        assert_eq!(back_off(0), Duration::from_millis(500));
    }

    #[test]
    fn success_resets_the_failures() {
        let (failures, name) = (Failures::default(), Name::new("iot", "edge"));
        assert_eq!(failures.more(&name).0, 1);
        assert_eq!(failures.more(&name).0, 2);
        assert_eq!(failures.of(&Name::new("iot", "other")), 0);
        failures.forget(&name);
        assert_eq!(failures.of(&name), 0);
    }
}
