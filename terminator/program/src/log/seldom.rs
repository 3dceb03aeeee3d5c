//! Rate limit for log lines that clients can cause. It does not write them.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Minimum time between two lines of a kind.
const EVERY: Duration = Duration::from_secs(60);

/// Rate limit for one kind of line that clients can cause, such as "received data that is not TLS".
///
/// ```
/// # use std::time::Instant;
/// # use mqtt_tls_program::log::Seldom;
/// static NOT_TLS: Seldom = Seldom::new();
/// if let Some(suppressed) = NOT_TLS.due(Instant::now()) {
///     tracing::warn!(suppressed, "received data that is not TLS");
/// }
/// ```
#[derive(Debug, Default)]
pub struct Seldom(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    written: Option<Instant>,
    suppressed: u64,
}

impl Seldom {
    /// Makes a limit for a line that has not been written yet.
    pub const fn new() -> Self {
        Self(Mutex::new(State {
            written: None,
            suppressed: 0,
        }))
    }

    /// Returns the number of lines suppressed since the last one if the line is due now, and `None` otherwise.
    /// Call it once for each line.
    pub fn due(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = state
            .written
            .is_none_or(|written| now.saturating_duration_since(written) >= EVERY);
        if !is_due {
            state.suppressed = state.suppressed.saturating_add(1);
            return None;
        }
        state.written = Some(now);
        Some(std::mem::take(&mut state.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{EVERY, Seldom};

    #[test]
    fn lines_are_limited_and_the_suppressed_ones_are_counted() {
        let (seldom, start) = (Seldom::new(), Instant::now());
        assert_eq!(seldom.due(start), Some(0));
        let soon = start + EVERY.mul_f32(0.9);
        for _ in 0..3 {
            assert_eq!(seldom.due(soon), None);
        }
        assert_eq!(seldom.due(start + EVERY), Some(3));
        assert_eq!(seldom.due(start + EVERY), None);
        assert_eq!(seldom.due(start + 2 * EVERY), Some(1));
        assert_eq!(seldom.due(start + 3 * EVERY), Some(0));
    }
}
