//! Asks the connections of a thread, one after another, to judge their clients again. It must not judge by itself.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use mqtt_tls_judge::Date;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until};

use super::{Answer, Recheck};
use crate::clients::Due;
use crate::crls::Pool;
use crate::state::Worker;

/// The part of the thread's time that judging may take: one of so many.
const SHARE: u32 = 20;

/// How long the thread judges at most before it does nothing else than serve: the share of this.
const TURN: Duration = Duration::from_millis(20);

/// How long an expiry may go unnoticed after the clock was stepped.
const LOOK: Duration = Duration::from_secs(10);

/// Asks connections for ever.
pub(crate) async fn walk(worker: Arc<Worker>, pool: Arc<Pool>) {
    let recheck = &worker.clients.recheck;
    let mut pace = Pace::default();
    let mut lists = pool.generations();
    loop {
        let generation = *lists.borrow_and_update();
        let now = Timestamp::now().as_second();
        recheck.begin_pass(generation, next_date(recheck, &pool, now), now);
        let next = pass(&worker, &mut pace).await;
        recheck.end_pass(next);
        let wait = recheck.next_look() - Timestamp::now().as_second();
        let wait = Duration::from_secs(u64::try_from(wait).unwrap_or_default());
        tokio::select! {
            () = sleep(wait.min(LOOK)) => {}
            () = recheck.wake.notified() => {}
            Ok(()) = lists.changed() => {}
        }
    }
}

/// Returns the next time at which a list becomes outdated, where that matters; Unix time in seconds.
fn next_date(recheck: &Recheck, pool: &Pool, now: i64) -> Option<i64> {
    let settings = recheck.settings()?;
    let mut hosts = settings.hosts.all();
    if !hosts.any(|host| host.trust.refuses_outdated()) {
        return None;
    }
    let lists = pool.lists();
    let dates = lists.dates().map(Date::as_second);
    dates.filter(|date| *date >= now).min()
}

/// Asks each connection that must judge its client; returns when the next certificate expires.
async fn pass(worker: &Worker, pace: &mut Pace) -> u32 {
    let clients = &worker.clients;
    let (mut from, mut next) = (0, u32::MAX);
    clients.recheck.begin_count(clients.count_due(now()));
    loop {
        let now = now();
        from = match clients.due(from, now, &mut next) {
            Due::End => return next,
            Due::More(key) => {
                yield_now().await;
                key
            }
            Due::One(key) => {
                pace.await_close(worker).await;
                let answer = clients.ask(key).await;
                clients.recheck.count_down();
                pace.follow(&answer).await;
                key + 1
            }
        };
    }
}

/// Returns the time as connections have it.
fn now() -> u32 {
    u32::try_from(Timestamp::now().as_second()).unwrap_or_default()
}

/// How fast clients are judged and closed.
#[derive(Default)]
struct Pace {
    /// Whether a time for closing has been awaited and not used.
    may_close: bool,
    /// How long the thread has to do other things.
    rest: Duration,
}

impl Pace {
    /// Waits until a connection may be closed.
    async fn await_close(&mut self, worker: &Worker) {
        if self.may_close {
            return;
        }
        let a_second = worker.clients.recheck.closes_a_second();
        sleep_until(worker.state.closes.take(a_second, Instant::now())).await;
        self.may_close = true;
    }

    /// Waits after an answer, so that judging keeps to its share.
    async fn follow(&mut self, answer: &Answer) {
        match answer {
            Answer::Good { took, .. } => self.rest += *took * (SHARE - 1),
            Answer::Refused { took } => {
                self.may_close = false;
                self.rest += *took * (SHARE - 1);
            }
            Answer::Gone => {}
        }
        if self.rest >= TURN {
            sleep(std::mem::take(&mut self.rest)).await;
        }
    }
}
