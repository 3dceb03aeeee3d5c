//! What the pods of a listener have said about its trials, as far as this process has asked them. Pure.
//!
//! A pod counts from its start, so the sum over all pods is that of their last answers, of those that are gone as well. It must not decide
//! anything.

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
    /// By trial and pod. Pods that are gone stay, with what they had counted.
    trials: BTreeMap<String, BTreeMap<String, Report>>,
    days: BTreeMap<String, Day>,
}

/// Maximum number of pods whose reports are kept of a trial; there are at most two hundred at a time.
const PODS_MAX: usize = 2048;

impl Seen {
    /// Takes the answers of the pods; `None` is that of a pod that could not be asked, whose last one stays.
    pub fn take<'p>(&mut self, pods: impl Iterator<Item = (&'p str, Option<&'p Said>)>) {
        let pods: BTreeMap<&str, Option<&Said>> = pods.collect();
        self.days.retain(|pod, _| pods.contains_key(pod.as_str()));
        for (pod, report) in self.trials.values_mut().flatten() {
            if !pods.contains_key(pod.as_str()) {
                // A pod that is not ready for a moment comes back with all that it has counted.
                (report.is_held, report.avoided) = (false, Vec::new());
            }
        }
        for (pod, said) in pods {
            let Some(said) = said else {
                continue;
            };
            self.days.insert(pod.to_owned(), said.day);
            for report in &said.trials {
                let pods = self.trials.entry(report.id.clone()).or_default();
                if pods.contains_key(pod) || pods.len() < PODS_MAX {
                    let known = pods.entry(pod.to_owned()).or_default();
                    *known = report.after(known);
                }
            }
        }
    }

    /// Forgets all trials but these.
    pub fn keep_only(&mut self, is_known: impl Fn(&str) -> bool) {
        self.trials.retain(|id, _| is_known(id));
    }

    fn reports(&self, id: &str) -> impl Iterator<Item = &Report> {
        self.trials.get(id).into_iter().flat_map(BTreeMap::values)
    }

    /// Returns what all pods have counted of a trial.
    pub fn counted(&self, id: &str) -> Counted {
        let mut sum = Counted::default();
        for report in self.reports(id) {
            sum.add(&report.counted);
        }
        sum
    }

    /// Reports whether a pod holds a trial.
    pub fn is_held(&self, id: &str) -> bool {
        self.reports(id).any(|report| report.is_held)
    }

    /// Returns the devices that pods have found.
    pub fn avoided(&self, id: &str) -> impl Iterator<Item = Avoided> {
        let reports = self.reports(id);
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

impl Report {
    /// Returns it with the counts of an earlier one where those are more: an answer may be older than the one that is known, and a process
    /// that has restarted counts from 0. Nothing may count twice: two aborts can end a trial.
    fn after(&self, known: &Self) -> Self {
        Self {
            counted: known.counted.or_more(&self.counted),
            ..self.clone()
        }
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
                is_held: true,
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
    fn no_handshake_counts_twice_when_pods_come_and_go() {
        let mut seen = Seen::default();
        let (first, second) = (said(10), said(3));
        seen.take([("a", Some(&first)), ("b", Some(&second))].into_iter());
        assert_eq!(served(&seen), (13, 13));
        // The same answers again, and one that could not be asked.
        seen.take([("a", Some(&first)), ("b", None)].into_iter());
        assert_eq!(served(&seen), (13, 13));
        assert_eq!((seen.day().served, seen.is_held("t")), (13, true));
        // Both are not ready, then one is back, with an answer that is older than the last.
        seen.take([].into_iter());
        assert_eq!((seen.day().served, seen.is_held("t")), (0, false));
        let older = said(8);
        seen.take([("a", Some(&older))].into_iter());
        assert_eq!((served(&seen), seen.day().served), ((13, 13), 8));
        let more = said(12);
        seen.take([("a", Some(&more)), ("c", Some(&second))].into_iter());
        assert_eq!(served(&seen), (18, 18));
        seen.keep_only(|id| id == "other");
        assert_eq!(seen.counted("t"), Counted::default());
    }
}
