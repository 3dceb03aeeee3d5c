//! Revocation lists by URL: when each is fetched. They are spread, so that a hundred pods do not ask at once, and one answer at a
//! time is in memory.
//!
//! It must not block the control thread, on which it runs. What is removed from the configuration is not asked any more.

pub(crate) mod attempt;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use mqtt_tls_config::CrlUrl;
use mqtt_tls_judge::Date;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::{Pool, Source};
use crate::fetch::place::Place;
use crate::tls::client::Client;
use attempt::{Asking, Came};

/// Time until the first retry; it doubles each time.
const RETRY: Duration = Duration::from_secs(5);

/// Maximum time until a retry, if nothing came. What is refused is fetched no more often than what is good, in the end.
const RETRY_MAX: Duration = Duration::from_secs(300);

/// How long before a list is outdated it is fetched again at the latest, at most; half of it at least.
const MARGIN: Duration = Duration::from_secs(300);

/// Minimum time until a list is fetched again because it is about to be outdated.
const SOONEST: Duration = Duration::from_secs(60);

/// How long a terminator that starts is not ready because URLs have not answered.
const FIRST_WAIT: Duration = Duration::from_secs(20);

/// Interval at which it looks whether they have.
const LOOK: Duration = Duration::from_millis(50);

/// A URL with lists, ready to be asked.
#[derive(Clone)]
pub(crate) struct Url {
    /// As the configuration has it.
    pub(crate) written: CrlUrl,
    pub(crate) place: Place,
    /// Verifies the server; `None` for HTTP.
    pub(crate) client: Option<Client>,
}

impl Pool {
    /// Reports whether a URL was not asked yet.
    fn awaits_urls(&self) -> bool {
        let book = self.lock();
        let mut urls = book.sources.iter();
        urls.any(|kept| {
            let is_url = matches!(kept.source, Source::Url(_));
            is_url && kept.loaded_at.is_none() && kept.failure.is_none()
        })
    }

    /// Returns by when each list of a source is to be replaced, in Unix time.
    fn next_updates(&self, source: &Source) -> Vec<i64> {
        let book = self.lock();
        let lists = book.place(source).map(|index| &book.sources[index].lists);
        let dates = lists.into_iter().flatten().map(|list| list.next_update());
        dates.map(Date::as_second).collect()
    }

    /// Takes note that a URL still has what was good before.
    fn confirm(&self, source: &Source, now: Timestamp) {
        let mut book = self.lock();
        if let Some(index) = book.place(source) {
            book.sources[index].loaded_at = Some(now);
        }
    }
}

/// The URLs that are asked.
pub(crate) struct Urls {
    pool: Arc<Pool>,
    running: BTreeMap<String, Running>,
    /// Notified when all are to be asked now; true if only those that have failed.
    now: watch::Sender<bool>,
    turn: Arc<Semaphore>,
}

/// A URL that is asked, until this is dropped.
struct Running {
    written: CrlUrl,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Urls {
    /// Asks none yet.
    pub(crate) fn new(pool: &Arc<Pool>) -> Self {
        Self {
            pool: Arc::clone(pool),
            running: BTreeMap::new(),
            now: watch::Sender::new(false),
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// Asks these URLs from now on. One that is new, or whose server or interval has changed, is asked at once; one that stays is
    /// not asked before its time.
    pub(crate) fn follow(&mut self, urls: &[Url]) {
        self.running.retain(|_, running| {
            let mut urls = urls.iter();
            urls.any(|url| url.written == running.written)
        });
        for url in urls {
            if !self.running.contains_key(&url.written.url) {
                let asking = Asking::new(url.clone(), &self.pool, &self.turn);
                let running = Running {
                    written: url.written.clone(),
                    task: tokio::spawn(ask(asking, self.now.subscribe())),
                };
                self.running.insert(url.written.url.clone(), running);
            }
        }
    }

    /// Asks all of them now, or those that have failed.
    pub(crate) fn ask_now(&self, failed_only: bool) {
        self.now.send_replace(failed_only);
    }
}

/// Waits until each URL was asked once, but not for long.
pub(crate) async fn first_answers(pool: &Pool) {
    let asked = async {
        while pool.awaits_urls() {
            sleep(LOOK).await;
        }
    };
    // The pool says that lists are missing.
    let _ = timeout(FIRST_WAIT, asked).await;
}

/// Asks a URL for ever.
async fn ask(mut asking: Asking, mut now: watch::Receiver<bool>) {
    let mut failures = 0;
    loop {
        now.mark_unchanged();
        let came = asking.attempt().await;
        failures = if came == Came::Good { 0 } else { failures + 1 };
        let (refresh, until) = (asking.url.written.refresh, asking.until());
        let wait = wait(came, failures, (refresh, until), fastrand::f64());
        let asked_now = async {
            // The sender lives as long as this task.
            while now.changed().await.is_ok() {
                if !*now.borrow_and_update() || came != Came::Good {
                    return;
                }
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = sleep(wait) => {}
            () = asked_now => {}
        }
    }
}

/// Returns the time until the next attempt, after a number of failures. A list is outdated after `until` seconds. `chance`
/// spreads it, from 0 to 1.
fn wait(
    came: Came,
    failures: u32,
    (refresh, until): (Duration, Option<i64>),
    chance: f64,
) -> Duration {
    let renewal = until.map_or(Duration::MAX, |until| renewal(until, chance));
    let longest = match came {
        // Not later than it should be.
        Came::Good => return refresh.mul_f64(1.0 - 0.2 * chance).min(renewal),
        Came::Nothing => RETRY_MAX.min(refresh),
        Came::Refused => refresh.min(renewal),
    };
    let longer = RETRY.saturating_mul(1 << failures.saturating_sub(1).min(16));
    longer.min(longest).mul_f64(1.0 - 0.5 * chance)
}

/// Returns the time after which a list is fetched that is outdated after so many seconds, or since then.
fn renewal(until: i64, chance: f64) -> Duration {
    match u64::try_from(until) {
        Ok(left) => Duration::from_secs(left)
            .saturating_sub(MARGIN.mul_f64(1.0 - 0.5 * chance))
            .max(SOONEST),
        Err(_) => RETRY_MAX,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Came, wait};

    #[test]
    fn retries_become_rare_and_all_are_spread() {
        for (came, failures, refresh, earliest, latest) in [
            (Came::Good, 0, 3600, 2880, 3600),
            (Came::Nothing, 1, 3600, 2, 5),
            (Came::Nothing, 2, 3600, 5, 10),
            (Came::Nothing, 4, 3600, 20, 40),
            (Came::Nothing, 7, 3600, 150, 300),
            (Came::Nothing, u32::MAX, 3600, 150, 300),
            (Came::Nothing, u32::MAX, 60, 30, 60),
            (Came::Refused, 1, 3600, 2, 5),
            (Came::Refused, u32::MAX, 3600, 1800, 3600),
        ] {
            let refresh = Duration::from_secs(refresh);
            let wait = |chance| wait(came, failures, (refresh, None), chance);
            assert_eq!(wait(0.0).as_secs(), latest, "{came:?} {failures}");
            assert_eq!(wait(1.0).as_secs(), earliest, "{came:?} {failures}");
        }
    }

    #[test]
    fn a_list_is_fetched_before_it_is_outdated() {
        for (came, until, refresh, expected) in [
            (Came::Good, 7200, 3600, 3600),
            (Came::Good, 1800, 3600, 1500),
            (Came::Refused, 1800, 3600, 1500),
            (Came::Good, 200, 3600, 60),
            (Came::Good, 0, 3600, 60),
            (Came::Good, -1, 3600, 300),
            (Came::Good, -1, 60, 60),
            (Came::Nothing, 200, 3600, 300),
        ] {
            let refresh = Duration::from_secs(refresh);
            let wait = wait(came, u32::MAX, (refresh, Some(until)), 0.0);
            assert_eq!(wait.as_secs(), expected, "{came:?} {until}");
        }
        let refresh = Duration::from_secs(3600);
        let spread = wait(Came::Good, 0, (refresh, Some(1800)), 1.0);
        assert_eq!(spread.as_secs(), 1650);
    }
}
