//! What the pods of a listener have said about its trials, as far as this process has asked them. Pure.
//!
//! A pod counts from its start, so the sum over all pods is that of their last answers and of those of pods that are gone or have
//! restarted. It must not decide anything.

use std::collections::BTreeMap;

use mqtt_tls_config::Avoided;

use super::state::Counted;

/// What a pod says about a trial.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The trial's ID.
    pub id: String,
    /// Whether all its clients get the certificate before, because it can remember or count no further device.
    pub is_held: bool,
    /// What it has counted.
    pub counted: Counted,
    /// The devices that it has found.
    pub avoided: Vec<Avoided>,
}

/// The clients of a day, and how many of them could not verify a kind of key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Day {
    /// Clients whose handshake succeeded.
    pub served: u64,
    /// Those that cannot verify ECDSA P-256.
    pub without_p256: u64,
    /// Those that cannot verify RSA.
    pub without_rsa: u64,
}

/// What a pod says about its trials and its clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Its trials.
    pub trials: Vec<Report>,
    /// Its clients of the last day.
    pub day: Day,
}

/// What all pods have said.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    trials: BTreeMap<String, OfTrial>,
    days: BTreeMap<String, Day>,
}

/// What the pods have said about a trial.
#[derive(Clone, Debug, Default)]
struct OfTrial {
    /// The counts of pods that are gone or have restarted.
    settled: Counted,
    /// The last report of each pod.
    pods: BTreeMap<String, Report>,
}

impl Seen {
    /// Takes the answers of the pods; `None` is that of a pod that could not be asked, whose last one stays.
    pub fn take<'p>(&mut self, pods: impl Iterator<Item = (&'p str, Option<&'p Said>)>) {
        let pods: BTreeMap<&str, Option<&Said>> = pods.collect();
        self.days.retain(|pod, _| pods.contains_key(pod.as_str()));
        for trial in self.trials.values_mut() {
            trial.settle(|pod| !pods.contains_key(pod));
        }
        for (pod, said) in pods {
            let Some(said) = said else {
                continue;
            };
            self.days.insert(pod.to_owned(), said.day);
            for report in &said.trials {
                let trial = self.trials.entry(report.id.clone()).or_default();
                trial.take(pod, report);
            }
        }
    }

    /// Forgets all trials but these.
    pub fn keep_only(&mut self, is_known: impl Fn(&str) -> bool) {
        self.trials.retain(|id, _| is_known(id));
    }

    /// Returns what all pods have counted of a trial.
    pub fn counted(&self, id: &str) -> Counted {
        let Some(trial) = self.trials.get(id) else {
            return Counted::default();
        };
        let mut sum = trial.settled.clone();
        for report in trial.pods.values() {
            sum.add(&report.counted);
        }
        sum
    }

    /// Reports whether a pod holds a trial.
    pub fn is_held(&self, id: &str) -> bool {
        let trial = self.trials.get(id);
        trial.is_some_and(|trial| trial.pods.values().any(|one| one.is_held))
    }

    /// Returns the devices that pods have found.
    pub fn avoided(&self, id: &str) -> impl Iterator<Item = Avoided> {
        let trial = self.trials.get(id).into_iter();
        let reports = trial.flat_map(|trial| trial.pods.values());
        reports.flat_map(|report| report.avoided.iter().copied())
    }

    /// Returns the clients of the last day.
    pub fn day(&self) -> Day {
        self.days.values().fold(Day::default(), |sum, day| Day {
            served: sum.served.saturating_add(day.served),
            without_p256: sum.without_p256.saturating_add(day.without_p256),
            without_rsa: sum.without_rsa.saturating_add(day.without_rsa),
        })
    }
}

impl OfTrial {
    /// Takes the report of a pod. One that has restarted counts from 0.
    fn take(&mut self, pod: &str, report: &Report) {
        let has_restarted = self
            .pods
            .get(pod)
            .is_some_and(|last| report.counted.handshakes() < last.counted.handshakes());
        if has_restarted {
            self.settle(|known| known == pod);
        }
        self.pods.insert(pod.to_owned(), report.clone());
    }

    /// Keeps the counts of pods, and forgets the rest of what they have said.
    fn settle(&mut self, is_gone: impl Fn(&str) -> bool) {
        let Self { settled, pods } = self;
        pods.retain(|pod, report| {
            let is_gone = is_gone(pod);
            if is_gone {
                settled.add(&report.counted);
            }
            !is_gone
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Counted, Day, Report, Said, Seen};
    use crate::plan::trials::evidence::{Arm, OfShare};

    fn said(served: u64) -> Said {
        let arm = Arm {
            served,
            ..Arm::default()
        };
        let shares = vec![OfShare {
            share: 500,
            candidate: arm,
            ..OfShare::default()
        }];
        let counted = Counted {
            shares,
            alerts: BTreeMap::from([("unknown_ca".to_owned(), served)]),
        };
        Said {
            trials: vec![Report {
                id: "t".to_owned(),
                counted,
                ..Report::default()
            }],
            day: Day {
                served,
                ..Day::default()
            },
        }
    }

    fn served(seen: &Seen) -> (u64, u64) {
        let counted = seen.counted("t");
        (
            counted.of(500).candidate.served,
            counted.alerts["unknown_ca"],
        )
    }

    #[test]
    fn no_handshake_is_lost_or_counted_twice_when_pods_come_and_go() {
        let mut seen = Seen::default();
        let (first, second) = (said(10), said(3));
        seen.take([("a", Some(&first)), ("b", Some(&second))].into_iter());
        assert_eq!(served(&seen), (13, 13));
        // The same answers again, and one that could not be asked.
        seen.take([("a", Some(&first)), ("b", None)].into_iter());
        assert_eq!(served(&seen), (13, 13));
        assert_eq!(seen.day().served, 13);
        // One has restarted, and the other one is gone.
        let restarted = said(4);
        seen.take([("a", Some(&restarted))].into_iter());
        assert_eq!(served(&seen), (17, 17));
        assert_eq!(seen.day().served, 4);
        let more = said(6);
        seen.take([("a", Some(&more)), ("c", Some(&second))].into_iter());
        assert_eq!(served(&seen), (22, 22));
        seen.keep_only(|id| id == "other");
        assert_eq!(seen.counted("t"), Counted::default());
    }
}
