//! Registry of a thread's connections, from accept to close. A drain closes them spread over time, so that
//! clients do not reconnect all at once.
//!
//! It must not know what its members do: dropping a [`Membership`] means that the connection has ended.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::Duration;

use slab::Slab;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};

use crate::roster::{Entry, Roster};

/// Fraction of the drain deadline over which closes are spread; the rest is for connections to finish.
const SPREAD: f64 = 0.75;

/// The connections of one thread.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    /// Wakers of the connections that listen.
    members: Mutex<Slab<Option<Waker>>>,
    /// End of the drain, once it has begun.
    deadline: OnceLock<Instant>,
    /// Notified when the last connection ends.
    is_empty: Notify,
    /// Who is behind the connections, as far as that is kept.
    pub(crate) roster: Roster,
}

impl Clients {
    /// Asks all connections to end, and waits for them until the deadline. Connections that are left then end with
    /// their thread.
    pub(crate) async fn drain(&self, within: Duration) {
        let deadline = *self.deadline.get_or_init(|| Instant::now() + within);
        for waker in self.lock().iter().filter_map(|(_, waker)| waker.as_ref()) {
            waker.wake_by_ref();
        }
        let gone = async {
            while !self.lock().is_empty() {
                self.is_empty.notified().await;
            }
        };
        let _ = timeout_at(deadline, gone).await;
    }

    // Never contended: only a thread's own connections use it. A set of wakers stays consistent after a panic.
    fn lock(&self) -> MutexGuard<'_, Slab<Option<Waker>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Entry of one connection.
#[derive(Debug)]
pub(crate) struct Membership {
    clients: Arc<Clients>,
    key: usize,
}

impl Membership {
    pub(crate) fn new(clients: &Arc<Clients>) -> Self {
        let key = clients.lock().insert(None);
        Self {
            clients: Arc::clone(clients),
            key,
        }
    }

    /// Registers the waker of the connection's task. Call it before [`Self::turn`], so that no drain is missed in
    /// between.
    pub(crate) fn listen(&self, waker: &Waker) {
        if let Some(member) = self.clients.lock().get_mut(self.key) {
            *member = Some(waker.clone());
        }
    }

    /// Adds the connection to the roster, until it ends.
    pub(crate) fn show(&self, entry: Entry) {
        self.clients.roster.add(self.key, entry);
    }

    /// Returns a timer for the end of this connection if a drain has begun; its time is random at each call.
    pub(crate) fn turn(&self) -> Option<Sleep> {
        let deadline = *self.clients.deadline.get()?;
        let now = Instant::now();
        let time = deadline.saturating_duration_since(now);
        Some(sleep_until(now + time.mul_f64(SPREAD * fastrand::f64())))
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.clients.roster.remove(self.key);
        let mut members = self.clients.lock();
        members.try_remove(self.key);
        if members.is_empty() {
            self.clients.is_empty.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::task::Poll;
    use std::time::Duration;

    use tokio::time::{Instant, timeout};

    use super::{Clients, Membership};

    /// No test waits so long.
    const HOUR: Duration = Duration::from_secs(3600);

    /// Upper bound for what takes no time; reaching it is a failure.
    const SOON: Duration = Duration::from_secs(60);

    /// Waits as a connection does, and ends when it is asked to, before its turn.
    async fn ends_when_asked(membership: Membership) {
        poll_fn(|cx| {
            membership.listen(cx.waker());
            let is_asked = membership.turn().is_some();
            if is_asked {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    #[tokio::test]
    async fn a_drain_ends_with_the_last_connection() {
        let clients = Arc::new(Clients::default());
        for _ in 0..100 {
            tokio::spawn(ends_when_asked(Membership::new(&clients)));
        }
        tokio::task::yield_now().await;
        timeout(SOON, clients.drain(HOUR)).await.unwrap();
        assert!(clients.lock().is_empty());
    }

    #[tokio::test]
    async fn a_connection_accepted_during_a_drain_ends_too() {
        let clients = Arc::new(Clients::default());
        let early = Membership::new(&clients);
        let late = async {
            while early.turn().is_none() {
                tokio::task::yield_now().await;
            }
            let late = Membership::new(&clients);
            drop(early);
            ends_when_asked(late).await;
        };
        let both = async { tokio::join!(clients.drain(HOUR), late) };
        timeout(SOON, both).await.unwrap();
        assert!(clients.lock().is_empty());
    }

    #[tokio::test]
    async fn turns_leave_time_before_the_deadline() {
        let clients = Arc::new(Clients::default());
        let member = Membership::new(&clients);
        assert!(member.turn().is_none());
        let before = Instant::now();
        clients.deadline.set(before + HOUR).unwrap();
        for _ in 0..1000 {
            let turn = member.turn().unwrap().deadline();
            let rest = (before + HOUR).duration_since(turn);
            assert!(turn >= before && rest >= HOUR.mul_f64(0.24), "{rest:?}");
        }
    }

    #[tokio::test]
    async fn a_drain_ends_at_the_deadline() {
        let clients = Arc::new(Clients::default());
        let _stays = Membership::new(&clients);
        clients.drain(Duration::ZERO).await;
        assert_eq!(clients.lock().len(), 1);
    }
}
