//! Decides how trials go on: the next step, to all clients, or back. Pure.
//!
//! It must not change anything while nothing is due: each change is a write of the config Secret, and reaches all pods.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use mqtt_tls_config::{AVOIDED_MAX, Avoided};

use super::command::{Action, Command};
use super::evidence::{self, Verdict};
use super::id;
use super::seen::Seen;
use super::settings::Settings;
use super::state::{Counted, Phase, Record, State, Why};

/// Minimum time between two writes of devices that must not get a candidate.
const AVOIDED_EVERY: Duration = Duration::from_secs(5);

/// Time after which counts are written, so that they outlive the pods.
const COUNTS_EVERY: Duration = Duration::from_secs(300);

/// What decides.
#[derive(Clone, Copy)]
pub struct Input<'i> {
    /// What pods have said.
    pub seen: &'i Seen,
    /// How certificates are tried.
    pub settings: &'i Settings,
    /// What a user asks.
    pub command: Option<&'i Command>,
    /// The trials whose candidates are in the configuration. Others do not go on.
    pub shown: &'i BTreeSet<String>,
    /// The current time.
    pub now: Timestamp,
}

/// Why a trial does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// A pod can remember or count no further device.
    Full,
    /// There are signs that the candidate is worse, and too few for being sure.
    Doubtful,
}

/// Returns the trials as they are from now on: as before, if nothing is due.
pub fn advance(before: &State, input: &Input<'_>) -> State {
    let records: Vec<Record> = before
        .records
        .iter()
        .map(|record| input.advanced(record))
        .collect();
    let avoided = input.avoided(before, &records);
    let age = before.at.map(|at| input.now.duration_since(at));
    let is_past = |time: Duration| age.is_none_or(|age| age.unsigned_abs() >= time);
    let phase = |one: &Record| (one.id.clone(), one.phase);
    let has_moved = !records
        .iter()
        .map(phase)
        .eq(before.records.iter().map(phase));
    let is_counted = records != before.records && is_past(COUNTS_EVERY);
    let is_found = has_more(&avoided, &before.avoided) && is_past(AVOIDED_EVERY);
    if !has_moved && !is_counted && !is_found {
        return before.clone();
    }
    State {
        at: Some(input.now),
        records,
        avoided,
    }
}

/// Returns why a trial does not go on, if so.
pub fn hold(record: &Record, seen: &Seen) -> Option<Hold> {
    let counted = record.counted.or_more(&seen.counted(&record.id));
    if seen.is_held(&record.id) {
        return Some(Hold::Full);
    }
    let verdict = evidence::judge(&counted.shares);
    (verdict != Verdict::Clear).then_some(Hold::Doubtful)
}

impl Input<'_> {
    /// Returns a record as it is now.
    fn advanced(&self, record: &Record) -> Record {
        let counted = record.counted.or_more(&self.seen.counted(&record.id));
        if let Some(commanded) = self.commanded(record, &counted) {
            return commanded;
        }
        let phase = match record.phase {
            Phase::Running { step, since } => self.next(record, &counted, (step, since)),
            phase @ (Phase::RolledBack { .. } | Phase::Promoted) => phase,
        };
        Record {
            phase,
            counted,
            ..record.clone()
        }
    }

    /// Does what a user asks, if that changes something.
    fn commanded(&self, record: &Record, counted: &Counted) -> Option<Record> {
        let command = self.command.filter(|command| command.id == record.id)?;
        let (now, counted) = (self.now, counted.clone());
        let is_rolled_back = matches!(record.phase, Phase::RolledBack { .. });
        match command.action {
            Action::Skip => Some(Record {
                phase: Phase::Promoted,
                counted,
                ..record.clone()
            }),
            Action::End if !is_rolled_back => Some(Record {
                phase: Phase::RolledBack {
                    since: now,
                    why: Why::Ended,
                },
                counted,
                ..record.clone()
            }),
            Action::Resume if is_rolled_back => Some(Record {
                id: id::of(&record.source, now),
                began: now,
                phase: Phase::Running {
                    step: 0,
                    since: now,
                },
                counted: Counted::default(),
                ..record.clone()
            }),
            Action::End | Action::Resume => None,
        }
    }

    /// Returns the phase after a step, or the step itself.
    fn next(&self, record: &Record, counted: &Counted, (step, since): (usize, Timestamp)) -> Phase {
        let verdict = evidence::judge(&counted.shares);
        if verdict == Verdict::Worse {
            return Phase::RolledBack {
                since: self.now,
                why: Why::Worse,
            };
        }
        let stays = Phase::Running { step, since };
        let is_held = self.seen.is_held(&record.id) || !self.shown.contains(&record.id);
        if verdict == Verdict::Doubtful || is_held {
            return stays;
        }
        let step = step.min(self.settings.steps.len().saturating_sub(1));
        let of_step = counted.of(self.settings.share(step));
        let tried = of_step
            .candidate
            .served
            .saturating_add(of_step.candidate.aborted);
        let is_enough = tried >= evidence::needed(self.settings.min_handshakes, &counted.shares);
        let longest = self.settings.longest(step, since, record.until);
        let least = self.settings.min_step.min(longest);
        let took = Duration::try_from(self.now.duration_since(since)).unwrap_or_default();
        if took < longest && !(is_enough && took >= least) {
            return stays;
        }
        if step + 1 < self.settings.steps.len() {
            return Phase::Running {
                step: step + 1,
                since: self.now,
            };
        }
        Phase::Promoted
    }

    /// Returns the devices that must not get the candidates of running trials. A device stays when all places are taken.
    fn avoided(&self, before: &State, records: &[Record]) -> BTreeMap<String, Vec<Avoided>> {
        let now = u64::try_from(self.now.as_second()).unwrap_or(0);
        let mut left = AVOIDED_MAX;
        let mut all = BTreeMap::new();
        let running = records.iter();
        let running = running.filter(|one| matches!(one.phase, Phase::Running { .. }));
        for record in running {
            let known = before.avoided.get(&record.id).into_iter().flatten();
            let found = known.copied().chain(self.seen.avoided(&record.id));
            let mut devices: BTreeMap<u64, u64> = BTreeMap::new();
            for device in found.filter(|device| device.until > now) {
                if let Some(until) = devices.get_mut(&device.key) {
                    *until = device.until.max(*until);
                } else if devices.len() < left {
                    devices.insert(device.key, device.until);
                }
            }
            left -= devices.len();
            let devices = devices.into_iter();
            let devices = devices.map(|(key, until)| Avoided { key, until });
            all.insert(record.id.clone(), devices.collect());
        }
        all
    }
}

/// Reports whether devices were added. That others have ended needs no write: each has its time.
fn has_more(now: &BTreeMap<String, Vec<Avoided>>, before: &BTreeMap<String, Vec<Avoided>>) -> bool {
    now.iter().any(|(id, devices)| {
        let known = before.get(id).into_iter().flatten();
        let known: BTreeSet<u64> = known.map(|device| device.key).collect();
        devices.iter().any(|device| !known.contains(&device.key))
    })
}
