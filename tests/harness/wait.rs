//! Waits for a condition, with a deadline and a description. It must not replace a condition by a fixed delay.

use std::fmt::Debug;
use std::future::Future;
use std::time::{Duration, Instant};

/// Interval between two polls: short compared to what tests wait for, long enough to be cheap.
const PAUSE: Duration = Duration::from_millis(20);

/// Returns the pause after a poll of this duration: a poll that starts a program must not keep a core busy.
pub(crate) fn pause_after(look: Duration) -> Duration {
    PAUSE.max(2 * look).min(Duration::from_secs(1))
}

/// Calls `look` until it returns a value, and returns that. Panics with `what` after `within`.
#[track_caller]
pub fn eventually<T>(within: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        let before = Instant::now();
        if let Some(found) = look() {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "timed out after {within:?} waiting for: {what}"
        );
        std::thread::sleep(pause_after(before.elapsed()));
    }
}

/// Like [`eventually`], for a poll that can fail: the panic's message contains the last error.
#[track_caller]
pub fn eventually_ok<T, E: Debug>(
    within: Duration,
    what: &str,
    mut look: impl FnMut() -> Result<T, E>,
) -> T {
    let deadline = Instant::now() + within;
    loop {
        let before = Instant::now();
        match look() {
            Ok(found) => return found,
            Err(error) => {
                assert!(
                    Instant::now() < deadline,
                    "timed out after {within:?} waiting for: {what}: {error:?}"
                );
            }
        }
        std::thread::sleep(pause_after(before.elapsed()));
    }
}

/// Like [`eventually`], in a tokio task. The deadline also ends a poll that hangs.
pub async fn eventually_async<T, F: Future<Output = Option<T>>>(
    within: Duration,
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let polled = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    let found = tokio::time::timeout(within, polled).await;
    found.unwrap_or_else(|_| panic!("timed out after {within:?} waiting for: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_what_was_found() {
        let mut looks = 0;
        let found = eventually(Duration::from_secs(5), "three looks", || {
            looks += 1;
            (looks == 3).then_some(looks)
        });
        assert_eq!(found, 3);
    }

    #[test]
    #[should_panic(expected = "waiting for: the impossible: \"no\"")]
    fn the_panic_names_what_did_not_happen() {
        eventually_ok::<(), _>(Duration::from_millis(1), "the impossible", || Err("no"));
    }

    #[tokio::test]
    #[should_panic(expected = "waiting for: an end")]
    async fn a_poll_that_hangs_times_out() {
        eventually_async(
            Duration::from_millis(50),
            "an end",
            std::future::pending::<Option<()>>,
        )
        .await;
    }
}
