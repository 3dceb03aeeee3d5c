//! Registry of a thread's connections, from accept to close. A drain closes them spread over time, so that
//! clients do not reconnect all at once. Those whose clients have a certificate are asked to judge it again.
//!
//! It must not know what its members do: dropping a [`Membership`] means that the connection has ended.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::Duration;

use slab::Slab;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};

use crate::recheck::{Answer, Recheck};
use crate::roster::{Entry, Roster};
use crate::settings::name_key::NameKey;

/// Fraction of the drain deadline over which closes are spread; the rest is for connections to finish.
const SPREAD: f64 = 0.75;

/// Number of connections that are looked at under one lock.
const LOOKED_AT: usize = 1024;

/// The connections of one thread.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    members: Mutex<Slab<Member>>,
    /// End of the drain, once it has begun.
    deadline: OnceLock<Instant>,
    /// Notified when the last connection ends.
    is_empty: Notify,
    /// Who is behind the connections, as far as that is kept.
    pub(crate) roster: Roster,
    /// What certificates are judged by now, and the one that is being judged.
    pub(crate) recheck: Recheck,
}

/// A connection. It must be small, and keep no settings alive.
#[derive(Debug)]
struct Member {
    /// Waker of its task, if it listens.
    waker: Option<Waker>,
    /// The name by which its client's host is found.
    name: NameKey,
    /// Unix time, in seconds, at which the first certificate of its client expires, the maximum for never; `None` if it has none
    /// that was verified.
    expires: Option<NonZeroU32>,
    /// The generation by which its client was judged last, that of its accept at first.
    judged: NonZeroU32,
}

impl Member {
    /// Reports whether its client must be judged again.
    fn is_due(&self, generation: NonZeroU32, now: u32) -> bool {
        let is_due = |expires: NonZeroU32| self.judged != generation || expires.get() <= now;
        self.expires.is_some_and(is_due)
    }
}

/// Connections that must judge their clients again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// This one, before others.
    One(usize),
    /// None up to here; there are more.
    More(usize),
    /// No others.
    End,
}

impl Clients {
    /// Returns the first connection from a key on that must judge its client again: it was judged by another generation, or a
    /// certificate has expired. Notes the next expiry.
    pub(crate) fn due(&self, from: usize, now: u32, next: &mut u32) -> Due {
        let generation = self.recheck.generation();
        let members = self.lock();
        let Some((last, _)) = members.iter().next_back() else {
            return Due::End;
        };
        for key in from..=last {
            if key - from == LOOKED_AT {
                return Due::More(key);
            }
            if let Some(member) = members.get(key) {
                if member.is_due(generation, now) {
                    return Due::One(key);
                }
                *next = member
                    .expires
                    .map_or(*next, |expires| expires.get().min(*next));
            }
        }
        Due::End
    }

    /// Returns the number of clients that must be judged again.
    pub(crate) fn count_due(&self, now: u32) -> usize {
        let generation = self.recheck.generation();
        let members = self.lock();
        let due = members
            .iter()
            .filter(|(_, member)| member.is_due(generation, now));
        due.count()
    }

    /// Asks a connection to judge its client again, and waits for the answer.
    pub(crate) async fn ask(&self, key: usize) -> Answer {
        let waker = {
            let members = self.lock();
            // One that has come in the place of another meanwhile may have no certificate.
            let member = members.get(key).filter(|member| member.expires.is_some());
            member.and_then(|member| member.waker.clone())
        };
        // Otherwise it listens soon, and is expected again.
        let Some(waker) = waker else {
            return Answer::Gone;
        };
        self.recheck.ask(key);
        waker.wake();
        self.recheck.answered().await
    }

    /// Asks all connections to end, and waits for them until the deadline. Connections that are left then end with
    /// their thread.
    pub(crate) async fn drain(&self, within: Duration) {
        let deadline = *self.deadline.get_or_init(|| Instant::now() + within);
        for (_, member) in self.lock().iter() {
            if let Some(waker) = &member.waker {
                waker.wake_by_ref();
            }
        }
        let gone = async {
            while !self.lock().is_empty() {
                self.is_empty.notified().await;
            }
        };
        let _ = timeout_at(deadline, gone).await;
    }

    // Never contended: only a thread's own connections use it. A set of wakers stays consistent after a panic.
    fn lock(&self) -> MutexGuard<'_, Slab<Member>> {
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
        let key = clients.lock().insert(Member {
            waker: None,
            name: NameKey::default(),
            expires: None,
            judged: clients.recheck.generation(),
        });
        Self {
            clients: Arc::clone(clients),
            key,
        }
    }

    /// Registers the waker of the connection's task. Call it before [`Self::turn`], so that no drain is missed in
    /// between.
    pub(crate) fn listen(&self, waker: &Waker) {
        let mut members = self.clients.lock();
        if let Some(member) = members.get_mut(self.key) {
            member.waker = Some(waker.clone());
            if let Some(expires) = member.expires {
                self.clients.recheck.expect(member.judged, expires);
            }
        }
    }

    /// Has the client judged again as soon as the connection listens.
    pub(crate) fn keep_judging(&self, name: NameKey, expires: NonZeroU32) {
        if let Some(member) = self.clients.lock().get_mut(self.key) {
            (member.name, member.expires) = (name, Some(expires));
        }
    }

    /// Returns the name by which the client's host is found, if the connection is asked to judge its client again.
    pub(crate) fn is_asked(&self) -> Option<NameKey> {
        if !self.clients.recheck.is_asked(self.key) {
            return None;
        }
        let members = self.clients.lock();
        members.get(self.key).map(|member| member.name)
    }

    /// Answers after the client was judged by a generation. Unless it is refused, it is judged again when it expires.
    pub(crate) fn answer(&self, answer: Answer, judged: NonZeroU32) {
        if let Answer::Good { expires, .. } = answer {
            if let Some(member) = self.clients.lock().get_mut(self.key) {
                (member.expires, member.judged) = (Some(expires), judged);
            }
            self.clients.recheck.expect(judged, expires);
        } else {
            self.forget();
        }
        self.clients.recheck.answer(self.key, answer);
    }

    /// Has the client not judged again any more.
    pub(crate) fn stop_judging(&self) {
        self.forget();
        self.clients.recheck.answer(self.key, Answer::Gone);
    }

    fn forget(&self) {
        if let Some(member) = self.clients.lock().get_mut(self.key) {
            member.expires = None;
        }
    }

    /// Returns what certificates are judged by now.
    pub(crate) fn recheck(&self) -> &Recheck {
        &self.clients.recheck
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
        self.stop_judging();
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
    use std::num::NonZeroU32;
    use std::sync::Arc;
    use std::task::{Poll, Waker};
    use std::time::Duration;

    use tokio::time::{Instant, timeout};

    use super::{Clients, Due, LOOKED_AT, Member, Membership};
    use crate::recheck::Answer;
    use crate::settings::name_key::NameKey;

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

    fn second(second: u32) -> NonZeroU32 {
        NonZeroU32::new(second).unwrap()
    }

    /// What judging again takes for each connection.
    #[test]
    fn a_verified_client_takes_at_most_64_bytes_more() {
        let size = size_of::<Member>() - size_of::<Option<Waker>>();
        assert!(size <= 64, "{size}");
    }

    /// Listens, and answers as a connection does whose client may stay.
    async fn stays_when_asked(membership: Membership, expires: u32) {
        let expires = second(expires);
        membership.keep_judging(NameKey::default(), second(50));
        poll_fn(|cx| {
            membership.listen(cx.waker());
            if membership.is_asked().is_some() {
                let took = Duration::ZERO;
                membership.answer(
                    Answer::Good { expires, took },
                    membership.recheck().generation(),
                );
            }
            Poll::<()>::Pending
        })
        .await;
    }

    #[tokio::test]
    async fn those_that_expire_are_due_and_are_asked_one_after_another() {
        let clients = Arc::new(Clients::default());
        for expires in [100, 70, u32::MAX] {
            tokio::spawn(stays_when_asked(Membership::new(&clients), expires));
        }
        let _other = Membership::new(&clients);
        tokio::task::yield_now().await;
        let (mut from, mut next) = (0, u32::MAX);
        assert_eq!(clients.due(0, 49, &mut next), Due::End);
        assert_eq!((next, clients.count_due(49)), (50, 0));
        assert_eq!(clients.count_due(50), 3);
        while let Due::One(key) = clients.due(from, 50, &mut next) {
            let answer = timeout(SOON, clients.ask(key)).await.unwrap();
            assert!(matches!(answer, Answer::Good { .. }));
            from = key + 1;
        }
        assert_eq!((from, clients.count_due(69)), (3, 0));
        assert_eq!(clients.due(0, 70, &mut next), Due::One(1));
    }

    #[tokio::test]
    async fn a_connection_that_ends_or_does_not_listen_is_not_waited_for() {
        let clients = Arc::new(Clients::default());
        let silent = Membership::new(&clients);
        silent.keep_judging(NameKey::default(), second(1));
        assert_eq!(clients.due(0, 1, &mut 0), Due::One(0));
        assert_eq!(clients.ask(0).await, Answer::Gone);
        silent.listen(Waker::noop());
        let (answer, ()) = tokio::join!(clients.ask(0), async { drop(silent) });
        assert_eq!(answer, Answer::Gone);
        assert_eq!(clients.due(0, 1, &mut 0), Due::End);
        // In its place comes one without a certificate.
        let without = Membership::new(&clients);
        without.listen(Waker::noop());
        assert_eq!(clients.ask(0).await, Answer::Gone);
    }

    #[tokio::test]
    async fn many_places_are_looked_at_in_pieces() {
        let clients = Arc::new(Clients::default());
        let members: Vec<_> = (0..=LOOKED_AT).map(|_| Membership::new(&clients)).collect();
        members[LOOKED_AT].keep_judging(NameKey::default(), second(1));
        assert_eq!(clients.due(0, 1, &mut 0), Due::More(LOOKED_AT));
        assert_eq!(clients.due(LOOKED_AT, 1, &mut 0), Due::One(LOOKED_AT));
    }

    #[tokio::test]
    async fn a_drain_ends_at_the_deadline() {
        let clients = Arc::new(Clients::default());
        let _stays = Membership::new(&clients);
        clients.drain(Duration::ZERO).await;
        assert_eq!(clients.lock().len(), 1);
    }
}
