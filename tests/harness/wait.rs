//! Waiting for a condition, with a deadline. The only place of the harness that sleeps, and never as a guess
//! that something will have happened by then: a test that waits says what for.

use std::fmt::Debug;
use std::future::Future;
use std::time::{Duration, Instant};

/// Between two looks. Short beside what tests wait for, long enough to cost nothing.
const PAUSE: Duration = Duration::from_millis(20);

/// After a look that has taken so long: one that starts a program must not keep a core busy.
pub(crate) fn pause_after(look: Duration) -> Duration {
    PAUSE.max(2 * look).min(Duration::from_secs(1))
}

/// Looks until `look` yields a value, and hands it back. Panics with `what` when `within` is over.
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

/// As [`eventually`], for a look that can fail: the last error is part of the panic's text.
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

/// As [`eventually`], in a tokio task. A look that hangs is cut off by the deadline too.
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
    fn yields_what_was_found() {
        let mut looks = 0;
        let found = eventually(Duration::from_secs(5), "three looks", || {
            looks += 1;
            (looks == 3).then_some(looks)
        });
        assert_eq!(found, 3);
    }

    #[test]
    #[should_panic(expected = "waiting for: the impossible: \"no\"")]
    fn says_what_did_not_happen() {
        eventually_ok::<(), _>(Duration::from_millis(1), "the impossible", || Err("no"));
    }

    #[tokio::test]
    #[should_panic(expected = "waiting for: an end")]
    async fn a_look_that_hangs_is_cut_off() {
        eventually_async(
            Duration::from_millis(50),
            "an end",
            std::future::pending::<Option<()>>,
        )
        .await;
    }
}
