//! When a listener is reconciled without an event: after a failure with exponential backoff, otherwise after the usual
//! interval. It must not know what failed.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::plan::names::Name;
use crate::plan::report::LOOK_AGAIN;

/// Backoff after the first failure; it doubles with each further one.
const FIRST: Duration = Duration::from_millis(500);

/// Maximum backoff.
const MAX: Duration = Duration::from_secs(300);

/// How much earlier than noted the backoff's own try may fail.
const EARLY: Duration = Duration::from_millis(20);

/// Consecutive failures of each listener.
#[derive(Debug, Default)]
pub struct Failures(Mutex<HashMap<Name, Failing>>);

/// A listener that failed.
#[derive(Clone, Copy, Debug)]
struct Failing {
    /// Consecutive failures of the first try and of those that the backoff caused.
    failures: u32,
    /// When the backoff causes the next try.
    due: Instant,
}

impl Failures {
    /// Returns the number of consecutive failures of a listener.
    pub fn of(&self, listener: &Name) -> u32 {
        self.lock().get(listener).map_or(0, |one| one.failures)
    }

    /// Counts a failure. Returns the number of consecutive failures and the time until the next try.
    ///
    /// A try that an event caused before its time is not counted, and the time stays: otherwise a burst of events would
    /// raise the backoff, and the end of the cause would be noticed late.
    pub fn more(&self, listener: &Name, now: Instant) -> (u32, Duration) {
        let mut all = self.lock();
        let failing = all.get(listener).copied();
        if let Some(failing) = failing.filter(|failing| failing.due > now + EARLY) {
            return (failing.failures, failing.due.duration_since(now));
        }
        let failures = failing.map_or(0, |failing| failing.failures);
        let failures = failures.saturating_add(1);
        let wait = back_off(failures);
        let due = now + wait;
        all.insert(listener.clone(), Failing { failures, due });
        (failures, wait)
    }

    /// Resets a listener that succeeded or was deleted.
    pub fn forget(&self, listener: &Name) {
        self.lock().remove(listener);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Failing>> {
        // Counters stay valid after a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the backoff after so many consecutive failures.
fn back_off(failures: u32) -> Duration {
    let factor = 2_u32.saturating_pow(failures.saturating_sub(1));
    FIRST.saturating_mul(factor).min(MAX)
}

/// Number of times from which the least crowded one is chosen. With one, some second would get twice its share.
const CHOICES: usize = 4;

/// The seconds in which listeners are reconciled without an event.
#[derive(Debug)]
pub struct Spread {
    begun: Instant,
    /// The number of listeners in each second since the start, from the current one on.
    planned: Mutex<BTreeMap<u64, u32>>,
}

impl Default for Spread {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            planned: Mutex::default(),
        }
    }
}

impl Spread {
    /// Returns the time until the next reconciliation without events. The usual interval is spread from a third to the whole of
    /// it, because after a start all listeners were reconciled at the same time; a certificate's date is never passed.
    pub fn wait(&self, look_again: Duration, now: Instant) -> Duration {
        if look_again < LOOK_AGAIN {
            return look_again;
        }
        let elapsed = now.duration_since(self.begun);
        // Counters stay valid after a panic.
        let mut planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
        *planned = planned.split_off(&elapsed.as_secs());
        let second = |wait: Duration| elapsed.saturating_add(wait).as_secs();
        let waits = [(); CHOICES].map(|()| look_again.mul_f64((1.0 + 2.0 * fastrand::f64()) / 3.0));
        let crowd = |wait: &Duration| planned.get(&second(*wait)).copied().unwrap_or(0);
        let wait = waits.into_iter().min_by_key(crowd).unwrap_or(look_again);
        *planned.entry(second(wait)).or_default() += 1;
        wait
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Failures, Instant, LOOK_AGAIN, Spread, back_off};
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
        let (now, wait) = (Instant::now(), Duration::from_millis(500));
        assert_eq!(failures.more(&name, now), (1, wait));
        let again = failures.more(&name, now + wait);
        assert_eq!(again, (2, Duration::from_secs(1)));
        assert_eq!(failures.of(&Name::new("iot", "other")), 0);
        failures.forget(&name);
        assert_eq!(failures.of(&name), 0);
    }

    #[test]
    fn tries_that_events_cause_are_not_counted() {
        let (failures, name) = (Failures::default(), Name::new("iot", "edge"));
        let begun = Instant::now();
        failures.more(&name, begun);
        for millis in 0..480 {
            let now = begun + Duration::from_millis(millis);
            let left = Duration::from_millis(500 - millis);
            assert_eq!(failures.more(&name, now), (1, left));
        }
        let due = begun + Duration::from_millis(500);
        assert_eq!(failures.more(&name, due), (2, Duration::from_secs(1)));
    }

    /// 5,000 listeners that were reconciled at once, with eight reads each.
    #[test]
    fn listeners_are_not_looked_at_again_at_the_same_time() {
        let index = |time: Duration| usize::try_from(time.as_secs()).unwrap();
        let mut seconds = vec![0_u32; index(2 * LOOK_AGAIN)];
        let (spread, now) = (Spread::default(), Instant::now());
        for _ in 0..5000 {
            seconds[index(spread.wait(LOOK_AGAIN, now))] += 8;
        }
        let third = index(LOOK_AGAIN / 3);
        assert!(seconds[..third].iter().all(|reads| *reads == 0));
        assert!(seconds.iter().all(|reads| *reads <= 100), "{seconds:?}");
        let date = Duration::from_secs(61);
        assert_eq!(spread.wait(date, now), date);
    }

    #[test]
    fn seconds_that_have_passed_are_forgotten() {
        let (spread, now) = (Spread::default(), Instant::now());
        for minutes in 0..600 {
            spread.wait(LOOK_AGAIN, now + Duration::from_secs(60 * minutes));
        }
        assert!(spread.planned.lock().unwrap().len() <= 16);
    }
}
