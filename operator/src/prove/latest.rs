//! The last answers of each listener's pods. Pods are asked again at intervals, without a read from the API server, so
//! that a broker that goes away, or a pod that catches up, is noticed without an event.
//!
//! It must not change a status: it only triggers a reconciliation when an answer differs.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::stream::{self, StreamExt};
use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{MissedTickBehavior, interval};

use crate::api::clock::Clock;
use crate::plan::names::Name;
use crate::plan::proof::question::Question;
use crate::plan::proof::{Proofs, ReadyPod};
use crate::plan::trials::seen::Seen;
use crate::plan::trials::tried::Watched;

/// How often pods are asked again, in seconds.
const PERIOD: u64 = 60;

/// How often pods are asked again that do not serve what is wanted, or do not reach the broker, in seconds.
const PERIOD_UNSETTLED: u64 = 5;

/// How often pods are asked while a trial is running, in seconds: in so many seconds, what one of them has found reaches the others.
const PERIOD_TRIED: u64 = 2;

/// Maximum number of listeners whose pods are asked again at the same time.
const PARALLEL_MAX: usize = 32;

/// The last answers of each listener's pods.
#[derive(Debug, Default)]
pub struct Latest(Mutex<HashMap<Name, Arc<Asked>>>);

/// What pods were asked, and what they answered.
#[derive(Debug)]
struct Asked {
    question: Question,
    pods: Vec<ReadyPod>,
    proofs: Proofs,
    /// What the pods have said about trials.
    seen: Seen,
    /// The trials that are running.
    trials: Option<Watched>,
}

impl Asked {
    /// Returns how often the pods are asked again, in seconds.
    fn period(&self) -> u64 {
        match () {
            () if self.trials.is_some() => PERIOD_TRIED,
            () if self.proofs.are_settled() => PERIOD,
            () => PERIOD_UNSETTLED,
        }
    }
}

impl Latest {
    /// Replaces the answers of a listener's pods.
    pub fn keep(
        &self,
        listener: &Name,
        (question, pods): (Question, Vec<ReadyPod>),
        proofs: Proofs,
        trials: Option<Watched>,
    ) {
        let mut seen = self.seen(listener);
        seen.take(proofs.said());
        seen.keep_only(|id| trials.as_ref().is_some_and(|trials| trials.knows(id)));
        let asked = Asked {
            question,
            pods,
            proofs,
            seen,
            trials,
        };
        self.lock().insert(listener.clone(), Arc::new(asked));
    }

    /// Returns the trials that are running.
    pub fn watched(&self, listener: &Name) -> Option<Watched> {
        let listeners = self.lock();
        listeners.get(listener)?.trials.clone()
    }

    /// Returns what the pods have said about trials.
    pub fn seen(&self, listener: &Name) -> Seen {
        let listeners = self.lock();
        let asked = listeners.get(listener);
        asked.map(|asked| asked.seen.clone()).unwrap_or_default()
    }

    /// Takes what pods say about trials, if nothing else was kept in the meantime. Reports whether a trial goes on by it.
    fn hear(&self, listener: &Name, asked: &Arc<Asked>, proofs: &Proofs, now: Timestamp) -> bool {
        let Some(mut trials) = asked.trials.clone() else {
            return false;
        };
        let mut seen = asked.seen.clone();
        seen.take(proofs.said());
        seen.keep_only(|id| trials.knows(id));
        let is_due = trials.becomes_due(&seen, now);
        let heard = Asked {
            question: asked.question.clone(),
            pods: asked.pods.clone(),
            proofs: asked.proofs.clone(),
            seen,
            trials: Some(trials),
        };
        let mut listeners = self.lock();
        let current = listeners.get_mut(listener);
        let Some(current) = current.filter(|current| Arc::ptr_eq(current, asked)) else {
            return false;
        };
        *current = Arc::new(heard);
        is_due
    }

    /// Forgets a listener that was deleted.
    pub fn forget(&self, listener: &Name) {
        self.lock().remove(listener);
    }

    /// Asks again, for ever, and sends the listeners with another answer. Spread by name, so that not all are asked
    /// in the same second.
    pub async fn ask_again(&self, clock: &Clock, changed: UnboundedSender<Name>) {
        let mut seconds = interval(Duration::from_secs(1));
        // After a delay, no second is skipped: its listeners would wait for another period.
        seconds.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for second in 0_u64.. {
            seconds.tick().await;
            let due = self.due(second);
            stream::iter(due)
                .for_each_concurrent(PARALLEL_MAX, async |(name, asked)| {
                    let proofs = super::look(&asked.question, &asked.pods, &asked.proofs).await;
                    let is_other = self.is_current(&name, &asked) && proofs.differ(&asked.proofs);
                    if self.hear(&name, &asked, &proofs, clock.now()) || is_other {
                        // The receiver is gone at shutdown.
                        let _ = changed.send(name);
                    }
                })
                .await;
        }
    }

    /// Returns the listeners whose pods are asked in this second.
    fn due(&self, second: u64) -> Vec<(Name, Arc<Asked>)> {
        let listeners = self.lock();
        let is_due = |(name, asked): &(&Name, &Arc<Asked>)| {
            let period = asked.period();
            !asked.pods.is_empty() && second % period == hash(name) % period
        };
        let due = listeners.iter().filter(is_due);
        due.map(|(name, asked)| (name.clone(), Arc::clone(asked)))
            .collect()
    }

    /// Reports whether no other answer was kept in the meantime.
    fn is_current(&self, name: &Name, asked: &Arc<Asked>) -> bool {
        let listeners = self.lock();
        listeners
            .get(name)
            .is_some_and(|current| Arc::ptr_eq(current, asked))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Arc<Asked>>> {
        // Each change is atomic, so the map stays valid after a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hash(name: &Name) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::{Latest, PERIOD, PERIOD_UNSETTLED};
    use crate::plan::names::Name;
    use crate::plan::proof::answer::{Answer, Backend, Configuration};
    use crate::plan::proof::question::Question;
    use crate::plan::proof::{Proofs, ReadyPod};

    fn kept(configuration: Configuration) -> Latest {
        let latest = Latest::default();
        let question = Question {
            version: None,
            port: 8883,
            handshakes: Vec::new(),
        };
        let pod = ReadyPod {
            name: "a".to_owned(),
            ip: [127, 0, 0, 1].into(),
        };
        let answer = Answer {
            configuration,
            backend: Backend::Reached,
            hosts: Vec::new(),
            protocols: Vec::new(),
            unloaded: None,
            said: None,
        };
        let proofs = Proofs {
            pods: vec![("a".to_owned(), answer)],
        };
        latest.keep(
            &Name::new("iot", "edge"),
            (question, vec![pod]),
            proofs,
            None,
        );
        latest
    }

    #[test]
    fn pods_are_asked_once_a_period() {
        for (configuration, period) in [
            (Configuration::Served, PERIOD),
            (Configuration::Behind, PERIOD_UNSETTLED),
        ] {
            let latest = kept(configuration);
            let due: Vec<u64> = (0..2 * period)
                .filter(|second| !latest.due(*second).is_empty())
                .collect();
            assert_eq!((due.len(), due[1] - due[0]), (2, period));
            latest.forget(&Name::new("iot", "edge"));
            assert!((0..period).all(|second| latest.due(second).is_empty()));
        }
    }
}
