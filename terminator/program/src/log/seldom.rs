//! Lines that anyone outside can cause: at most one in a while. It does not write them.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often such a line may be written.
const EVERY: Duration = Duration::from_secs(60);

/// One kind of line that anyone outside can cause, such as "these are not TLS".
///
/// ```
/// # use std::time::Instant;
/// # use mqtt_tls_program::log::Seldom;
/// static NOT_TLS: Seldom = Seldom::new();
/// if let Some(left_out) = NOT_TLS.due(Instant::now()) {
///     tracing::warn!(left_out, "what arrives is not TLS");
/// }
/// ```
#[derive(Debug, Default)]
pub struct Seldom(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    told: Option<Instant>,
    left_out: u64,
}

impl Seldom {
    /// Of which none was written yet.
    pub const fn new() -> Self {
        Self(Mutex::new(State {
            told: None,
            left_out: 0,
        }))
    }

    /// Whether the line is to be written now, and how many were left out since the last one. Called once
    /// for each time that there is something to tell.
    pub fn due(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = state
            .told
            .is_none_or(|told| now.saturating_duration_since(told) >= EVERY);
        if !is_due {
            state.left_out = state.left_out.saturating_add(1);
            return None;
        }
        state.told = Some(now);
        Some(std::mem::take(&mut state.left_out))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{EVERY, Seldom};

    #[test]
    fn one_in_a_while_is_written_and_the_others_are_counted() {
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
