//! What is remembered of trials: how far each has come, and what was counted. It is an annotation of the config Secret, so that a
//! restart of the operator, or of all pods, changes nothing.
//!
//! It must not decide how a trial goes on. Nothing in it is secret: a class is a digest of what any client is shown.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use mqtt_tls_config::{Avoided, SHARE_ALL, Trial as FileTrial, is_trial_id};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::evidence::{Arm, OfShare};
use crate::plan::source::Source;

/// Version of the annotation's format. An annotation of another version is ignored.
const VERSION: u32 = 1;

/// All trials of a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// When it was last changed.
    pub at: Option<Timestamp>,
    /// The trials, in the order in which they began.
    pub records: Vec<Record>,
    /// The devices of each that must not get the candidate, by the trial's ID.
    pub avoided: BTreeMap<String, Vec<Avoided>>,
}

/// What is remembered of a trial.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Its ID, which no other trial of the listener has had.
    pub id: String,
    /// The source of the renewed certificate.
    pub source: Source,
    /// The class of the renewed certificate, as the release that wrote it knows classes.
    pub class: String,
    /// The digest of its chain, by which each release knows it.
    #[serde(default)]
    pub chain: String,
    /// When it began.
    pub began: Timestamp,
    /// When the certificate before expires. From then on there is nothing to go back to.
    pub until: Timestamp,
    /// How far it has come.
    #[serde(flatten)]
    pub phase: Phase,
    /// What was counted.
    #[serde(skip_deserializing)]
    pub counted: Counted,
    /// Whether counts were written that cannot be read, such as those of another release.
    #[serde(skip)]
    pub has_lost_counts: bool,
}

/// How far a trial has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "phase", rename_all = "camelCase")]
pub enum Phase {
    /// A share of the clients gets the renewed certificate.
    Running {
        /// The share of the clients that get it, in parts of 10,000. It stays when the steps of the spec change.
        share: u16,
        /// Since when.
        since: Timestamp,
    },
    /// All clients get the certificate before.
    RolledBack {
        /// Since when.
        since: Timestamp,
        /// Why.
        why: Why,
    },
    /// All clients get the renewed certificate, in place of the one before. It is written only if its Secret cannot be used at
    /// present.
    Promoted,
}

impl Phase {
    /// Reports whether terminators accept it: someone may have edited it.
    fn is_possible(self) -> bool {
        match self {
            Self::Running { share, .. } => (1..=SHARE_ALL).contains(&share),
            Self::RolledBack { .. } | Self::Promoted => true,
        }
    }
}

/// Why a trial was rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Why {
    /// More devices aborted on it than on the one before.
    Worse,
    /// Someone has ended the trial.
    Ended,
    /// Another release knows why.
    #[serde(other)]
    Other,
}

/// What was counted of a trial.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(from = "Written", into = "Written")]
pub struct Counted {
    /// By share.
    pub shares: Vec<OfShare>,
    /// How devices aborted on the candidate.
    pub alerts: BTreeMap<String, u64>,
}

/// Counts as they are written.
#[derive(Deserialize, Serialize)]
struct Written {
    shares: Vec<Row>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    alerts: BTreeMap<String, u64>,
}

/// The counts of a share: served, aborted and confirmed with the certificate before, and with the candidate; connections and devices
/// that are unable.
#[derive(Deserialize, Serialize)]
struct Row(u16, [u64; 3], [u64; 3], [u64; 2]);

impl From<Counted> for Written {
    fn from(counted: Counted) -> Self {
        let arm = |arm: Arm| [arm.served, arm.aborted, arm.confirmed];
        let row = |one: OfShare| {
            let unable = [one.unable, one.unable_devices];
            Row(one.share, arm(one.current), arm(one.candidate), unable)
        };
        Self {
            shares: counted.shares.into_iter().map(row).collect(),
            alerts: counted.alerts,
        }
    }
}

impl From<Written> for Counted {
    fn from(written: Written) -> Self {
        let arm = |[served, aborted, confirmed]: [u64; 3]| Arm {
            served,
            aborted,
            confirmed,
        };
        let row = |Row(share, current, candidate, [unable, unable_devices])| OfShare {
            share,
            current: arm(current),
            candidate: arm(candidate),
            unable,
            unable_devices,
        };
        Self {
            shares: written.shares.into_iter().map(row).collect(),
            alerts: written.alerts,
        }
    }
}

impl Record {
    /// Reports whether a share of the clients gets the renewed certificate.
    pub fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running { .. })
    }

    fn read(written: Value) -> Option<Self> {
        let counted = written.get("counted").map(Counted::deserialize);
        let counted = counted.and_then(Result::ok);
        let record: Self = serde_json::from_value(written).ok()?;
        Some(Self {
            has_lost_counts: counted.is_none(),
            counted: counted.unwrap_or_default(),
            ..record
        })
    }
}

impl Counted {
    /// Returns the counts of a share.
    pub fn of(&self, share: u16) -> OfShare {
        let mut shares = self.shares.iter();
        let found = shares.find(|one| one.share == share).copied();
        found.unwrap_or(OfShare {
            share,
            ..OfShare::default()
        })
    }

    /// Returns the number of handshakes in which the candidate was drawn, and the rest.
    pub fn handshakes(&self) -> u64 {
        let shares = self.shares.iter();
        shares.map(handshakes).fold(0, u64::saturating_add)
    }

    /// Adds others.
    pub fn add(&mut self, others: &Self) {
        for other in &others.shares {
            match self.shares.iter_mut().find(|one| one.share == other.share) {
                Some(one) => *one = sum(one, other),
                None => self.shares.push(*other),
            }
        }
        for (alert, count) in &others.alerts {
            let sum = self.alerts.entry(alert.clone()).or_default();
            *sum = sum.saturating_add(*count);
        }
    }

    /// Returns of each share the counts of whichever has more of them: after a restart, what this process has seen may be less
    /// than what was written. The counts of two are never mixed in a share, because its arms must be of the same time.
    #[must_use]
    pub fn or_more(&self, seen: &Self) -> Self {
        let shares: BTreeSet<u16> = self
            .shares
            .iter()
            .chain(&seen.shares)
            .map(|one| one.share)
            .collect();
        let more = |share| {
            let (written, seen) = (self.of(share), seen.of(share));
            if handshakes(&seen) >= handshakes(&written) {
                seen
            } else {
                written
            }
        };
        let total = |one: &Self| one.alerts.values().copied().fold(0, u64::saturating_add);
        let alerts = if total(seen) >= total(self) {
            &seen.alerts
        } else {
            &self.alerts
        };
        Self {
            shares: shares.into_iter().map(more).collect(),
            alerts: alerts.clone(),
        }
    }
}

/// Returns the number of all handshakes that were counted at a share.
fn handshakes(one: &OfShare) -> u64 {
    let of = |arm: Arm| arm.served.saturating_add(arm.aborted);
    of(one.current)
        .saturating_add(of(one.candidate))
        .saturating_add(one.unable)
}

fn sum(one: &OfShare, other: &OfShare) -> OfShare {
    let arm = |one: Arm, other: Arm| Arm {
        served: one.served.saturating_add(other.served),
        aborted: one.aborted.saturating_add(other.aborted),
        confirmed: one.confirmed.saturating_add(other.confirmed),
    };
    OfShare {
        share: one.share,
        current: arm(one.current, other.current),
        candidate: arm(one.candidate, other.candidate),
        unable: one.unable.saturating_add(other.unable),
        // Each pod may have met the same ones.
        unable_devices: one.unable_devices.max(other.unable_devices),
    }
}

/// The annotation's format.
#[derive(Deserialize, Serialize)]
struct Annotation<T> {
    version: u32,
    at: Option<Timestamp>,
    trials: Vec<T>,
}

impl State {
    /// Reads it from the annotation of the config Secret and the file of trials beside the configuration, for a listener in this
    /// namespace. What is malformed is ignored, each trial by itself: someone edited it.
    pub fn read(text: Option<&str>, file: Option<&str>, namespace: &str) -> Self {
        let read = text.and_then(|text| serde_json::from_str::<Annotation<Value>>(text).ok());
        let Some(read) = read.filter(|read| read.version == VERSION) else {
            return Self::default();
        };
        let trials = file.and_then(|file| FileTrial::parse(file).ok());
        let trials = trials.into_iter().flatten();
        let records = read.trials.into_iter().filter_map(Record::read);
        let records = records.filter(|one| is_trial_id(&one.id) && one.phase.is_possible());
        let records = records.map(|one| Record {
            source: one.source.seen_from(namespace),
            ..one
        });
        Self {
            at: read.at,
            records: records.collect(),
            avoided: trials.map(|one| (one.id, one.avoided)).collect(),
        }
    }

    /// Begins steps again whose counts were lost: nothing is known any more of what may have held them.
    #[must_use]
    pub fn without_lost_counts(mut self, now: Timestamp) -> Self {
        let lost = self.records.iter_mut().filter(|one| one.has_lost_counts);
        for record in lost {
            record.has_lost_counts = false;
            self.at = Some(now);
            if let Phase::Running { since, .. } = &mut record.phase {
                *since = now;
            }
        }
        self
    }

    /// Returns the annotation; `None` without trials.
    pub fn annotation(&self) -> Option<String> {
        let annotation = Annotation {
            version: VERSION,
            at: self.at,
            trials: self.records.clone(),
        };
        // Strings and numbers always serialize.
        (!self.records.is_empty()).then(|| serde_json::to_string(&annotation).unwrap_or_default())
    }

    /// Returns the trial of a source.
    pub fn of(&self, source: &Source) -> Option<&Record> {
        self.records.iter().find(|one| one.source == *source)
    }

    /// Reports whether the same trials stand where they do in another one, whatever was counted.
    pub fn stands_as(&self, other: &Self) -> bool {
        let phases = |state: &Self| -> Vec<(String, Phase)> {
            let records = state.records.iter();
            records.map(|one| (one.id.clone(), one.phase)).collect()
        };
        phases(self) == phases(other)
    }

    /// Reports whether a trial is running, so that pods are to be asked often.
    pub fn is_running(&self) -> bool {
        self.records.iter().any(Record::is_running)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;
    use mqtt_tls_config::{Avoided, Trial as FileTrial};

    use super::{Arm, Counted, OfShare, Phase, Record, State, Why};
    use crate::plan::names::Name;
    use crate::plan::source::Source;

    fn row(share: u16, served: u64) -> OfShare {
        let arm = |served| Arm {
            served,
            aborted: 2,
            confirmed: 1,
        };
        OfShare {
            share,
            current: arm(served),
            candidate: arm(served / 10),
            unable: 4,
            unable_devices: 2,
        }
    }

    fn record(name: &str, phase: Phase) -> Record {
        Record {
            id: format!("{name}-1"),
            source: Source::Secret(Name::new("iot", name)),
            class: "00".repeat(16),
            chain: "01".repeat(16),
            began: Timestamp::UNIX_EPOCH,
            until: Timestamp::UNIX_EPOCH,
            phase,
            counted: Counted {
                shares: vec![row(100, 50), row(500, 70)],
                alerts: BTreeMap::from([("unknown_ca".to_owned(), 3)]),
            },
            has_lost_counts: false,
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let since = "2026-06-01T00:00:00Z".parse().unwrap();
        let why = Why::Worse;
        let state = State {
            at: Some(since),
            records: vec![
                record("a", Phase::Running { share: 500, since }),
                record("b", Phase::RolledBack { since, why }),
            ],
            avoided: BTreeMap::from([("a-1".to_owned(), vec![Avoided { key: 7, until: 9 }])]),
        };
        let text = state.annotation().unwrap();
        let file = FileTrial::file(&[FileTrial {
            id: "a-1".to_owned(),
            share: 500,
            remember: 60,
            avoided: state.avoided["a-1"].clone(),
        }]);
        assert_eq!(State::read(Some(&text), Some(&file), "iot"), state);
        let edited = text.replace(r#""share":500"#, r#""share":70000"#);
        let left = State::read(Some(&edited), None, "iot").records;
        assert_eq!(left, state.records[1..], "the other one is kept");
        let elsewhere = State::read(Some(&text), None, "other");
        assert_eq!(elsewhere.records[0].source.to_string(), "Secret iot/a");
        assert_eq!(State::default().annotation(), None);
        for edited in ["", "{}", r#"{"version":2,"trials":[]}"#] {
            let read = State::read(Some(edited), Some(&file), "iot");
            assert_eq!(read, State::default());
        }
    }

    /// As other releases may have written it.
    #[test]
    fn a_trial_stays_where_it_is_over_an_upgrade() {
        let since = "2026-06-01T00:00:00Z".parse().unwrap();
        let why = Why::Ended;
        let state = State {
            at: Some(since),
            records: vec![
                record("a", Phase::RolledBack { since, why }),
                record("b", Phase::Running { share: 500, since }),
            ],
            avoided: BTreeMap::new(),
        };
        let text = state.annotation().unwrap();
        let other_reason = text.replace(r#""why":"ended""#, r#""why":"overruled""#);
        let read = State::read(Some(&other_reason), None, "iot");
        let other = Phase::RolledBack {
            since,
            why: Why::Other,
        };
        assert_eq!(read.records[0].phase, other);
        let without_chain = text.replace(&format!(r#""chain":"{}","#, "01".repeat(16)), "");
        assert_ne!(without_chain, text);
        let read = State::read(Some(&without_chain), None, "iot");
        assert!(read.stands_as(&state), "{without_chain}");

        let row = "[100,[50,2,1],[5,2,1],[4,2]]";
        let other_rows = text.replace(row, "[100,50,2,1,5,2,1,4]");
        let no_counts = text.replace(r#","counted":{"#, r#","other":{"#);
        for other in [other_rows, no_counts] {
            assert_ne!(other, text);
            let read = State::read(Some(&other), None, "iot");
            assert!(read.stands_as(&state), "{other}");
            // What held the step may be among what was lost.
            let now = "2026-06-02T00:00:00Z".parse().unwrap();
            let read = read.without_lost_counts(now);
            let [back, running] = &read.records[..] else {
                panic!("{read:?}");
            };
            let again = Phase::Running {
                share: 500,
                since: now,
            };
            assert_eq!(back.phase, Phase::RolledBack { since, why });
            assert_eq!((running.phase, read.at), (again, Some(now)));
            assert_eq!(read.clone().without_lost_counts(since), read);
        }
    }

    #[test]
    fn counts_of_a_share_are_never_mixed() {
        let counted = |shares: &[OfShare]| Counted {
            shares: shares.to_vec(),
            alerts: BTreeMap::new(),
        };
        let written = counted(&[row(100, 50), row(500, 70)]);
        let seen = counted(&[row(100, 20), row(500, 90), row(2500, 1)]);
        let both = written.or_more(&seen);
        assert_eq!(both.shares, [row(100, 50), row(500, 90), row(2500, 1)]);
        let mut sum = written.clone();
        sum.add(&seen);
        assert_eq!(sum.of(100).current.served, 70);
        assert_eq!(sum.of(2500), row(2500, 1));
        assert_eq!(sum.of(100).unable, 8);
        assert_eq!(sum.of(100).unable_devices, 2, "they may be the same");
    }
}
