//! When connections may be closed whose clients are refused: so many a second, by all threads together, so that a fleet whose CA
//! was removed does not reconnect at once. It must not know what is closed.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How much of the time that has passed unused may be made up for: timers are no more precise than that.
const GRACE: Duration = Duration::from_millis(10);

/// Times for closing, each once.
#[derive(Debug, Default)]
pub(crate) struct Closes {
    next: Mutex<Option<Instant>>,
}

impl Closes {
    /// Takes the next time at which a connection may be closed.
    pub(crate) fn take(&self, a_second: u32, now: Instant) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = now.checked_sub(GRACE).unwrap_or(now);
        let time = next.map_or(now, |next| next.max(earliest));
        *next = Some(time + Duration::from_secs(1) / a_second.max(1));
        time
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Closes, GRACE};

    #[test]
    fn so_many_are_closed_in_a_second_by_all_threads() {
        for a_second in [1, 100, 10_000] {
            let (closes, begin) = (Closes::default(), Instant::now());
            let mut times = Vec::new();
            let mut now = begin;
            // Two threads, each of which sleeps until its time, and a timer that is late.
            for _ in 0..500 {
                let (one, other) = (closes.take(a_second, now), closes.take(a_second, now));
                times.extend([one, other]);
                now = now.max(other) + Duration::from_millis(1);
            }
            let step = Duration::from_secs(1) / a_second;
            for (index, pair) in times.windows(2).enumerate() {
                assert!(pair[1] - pair[0] >= step, "{index} of {a_second}");
            }
            // Lateness is made up for.
            let most = u32::try_from(times.len()).unwrap() * step.max(Duration::from_micros(500));
            assert!(times[times.len() - 1] - begin <= most + GRACE, "{a_second}");
        }
    }

    #[test]
    fn rest_is_not_saved_up() {
        let (closes, begin) = (Closes::default(), Instant::now());
        closes.take(100, begin);
        let later = begin + Duration::from_secs(60);
        let times: Vec<Instant> = (0..4).map(|_| closes.take(100, later)).collect();
        assert!(times[0] + GRACE >= later);
        assert_eq!(times[3] - times[0], Duration::from_millis(30));
    }
}
