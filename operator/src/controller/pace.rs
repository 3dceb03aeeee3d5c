//! Paces events: the first event of a listener passes at once, and those that follow it are collected, so that at most
//! one passes in each interval. kube's debounce waits for silence instead, so steady events would starve a listener.
//!
//! It must not lose an event, and must forget listeners that are quiet.

use std::collections::HashMap;
use std::hash::Hash;

use futures::stream::{self, FuturesUnordered};
use futures::{Stream, StreamExt};

/// Returns the stream in which each item passes at most once in an interval, which ends with a future of `interval`.
pub(super) fn paced<K, S, F, I>(events: S, interval: F) -> impl Stream<Item = K>
where
    K: Clone + Eq + Hash,
    S: Stream<Item = K>,
    F: Fn() -> I,
    I: Future<Output = ()>,
{
    let pace = Pace {
        events: Box::pin(events),
        resting: HashMap::new(),
        intervals: FuturesUnordered::new(),
    };
    let after = async |interval: I, key: K| {
        interval.await;
        key
    };
    stream::unfold(
        (pace, interval, after),
        async |(mut pace, interval, after)| {
            let key = pace.next().await?;
            pace.resting.insert(key.clone(), false);
            pace.intervals.push(after(interval(), key.clone()));
            Some((key, (pace, interval, after)))
        },
    )
}

struct Pace<K, S, I> {
    events: S,
    /// Items whose interval has not ended, and whether there were events meanwhile.
    resting: HashMap<K, bool>,
    intervals: FuturesUnordered<I>,
}

impl<K, S, I> Pace<K, S, I>
where
    K: Clone + Eq + Hash,
    S: Stream<Item = K> + Unpin,
    I: Future<Output = K>,
{
    /// Returns the next item that passes; `None` at the end of the events, which is the shutdown.
    async fn next(&mut self) -> Option<K> {
        loop {
            tokio::select! {
                Some(key) = self.intervals.next(), if !self.intervals.is_empty() => {
                    if self.resting.remove(&key) == Some(true) {
                        return Some(key);
                    }
                }
                event = self.events.next() => {
                    let key = event?;
                    match self.resting.get_mut(&key) {
                        Some(has_event) => *has_event = true,
                        None => return Some(key),
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use futures::channel::{mpsc, oneshot};
    use futures::stream::BoxStream;
    use futures::{FutureExt, Stream, StreamExt};

    use super::paced;

    /// Ends the intervals by hand.
    #[derive(Default)]
    struct Clock(RefCell<Vec<oneshot::Sender<()>>>);

    impl Clock {
        fn interval(&self) -> impl Future<Output = ()> + use<> {
            let (end, ended) = oneshot::channel();
            self.0.borrow_mut().push(end);
            ended.map(drop)
        }

        /// Ends all intervals that have begun.
        fn pass(&self) {
            self.0
                .take()
                .into_iter()
                .for_each(|end| end.send(()).unwrap());
        }
    }

    /// Returns what passes without waiting.
    fn now<'k>(paced: &mut (impl Stream<Item = &'k str> + Unpin)) -> Vec<&'k str> {
        let mut passed = Vec::new();
        while let Some(Some(key)) = paced.next().now_or_never() {
            passed.push(key);
        }
        passed
    }

    #[test]
    fn the_first_event_passes_at_once_and_steady_events_do_not_starve() {
        let clock = Clock::default();
        let (sender, events) = mpsc::unbounded();
        let mut paced = Box::pin(paced(events, || clock.interval()));
        let send = |key| sender.unbounded_send(key).unwrap();
        for _ in 0..5 {
            send("edge");
            assert_eq!(now(&mut paced), ["edge"]);
            for _ in 0..10 {
                send("edge");
                assert_eq!(now(&mut paced), [""; 0]);
            }
            clock.pass();
            // The events meanwhile cause one more; without events, the next passes at once again.
            assert_eq!(now(&mut paced), ["edge"]);
            clock.pass();
            assert_eq!(now(&mut paced), [""; 0]);
        }
    }

    #[test]
    fn listeners_do_not_wait_for_each_other() {
        let clock = Clock::default();
        let events: BoxStream<'_, _> = futures::stream::iter(["one", "two", "one"]).boxed();
        let mut paced = Box::pin(paced(events.chain(futures::stream::pending()), || {
            clock.interval()
        }));
        assert_eq!(now(&mut paced), ["one", "two"]);
        clock.pass();
        assert_eq!(now(&mut paced), ["one"]);
    }

    #[test]
    fn it_ends_with_the_events() {
        let clock = Clock::default();
        let mut paced = Box::pin(paced(futures::stream::iter(["one"]), || clock.interval()));
        assert_eq!(paced.next().now_or_never(), Some(Some("one")));
        assert_eq!(paced.next().now_or_never(), Some(None));
    }
}
