//! Stages a renewed certificate: at once in place of the one before, or beside it as the candidate of a trial.
//!
//! It must never stage a certificate of another class in place of one that is valid, and that clients can verify, without a trial, unless a
//! user wants that.

use std::collections::BTreeSet;

use jiff::Timestamp;
use mqtt_tls_config::{self as file, TRIALS_MAX, Trial as FileTrial};
use mqtt_tls_judge::class::{Change, Class};

use super::advance::{self, Input};
use super::command::{Command, Malformed};
use super::id;
use super::seen::Seen;
use super::settings::Settings;
use super::state::{Counted, Phase, Record, State};
use crate::plan::certificates::previous::Previous;
use crate::plan::certificates::served::Served;
use crate::plan::source::Source;
use crate::plan::world::World;

/// The trials of a listener in one reconciliation.
pub struct Trials<'t> {
    state: State,
    /// What was written.
    before: State,
    settings: Settings,
    seen: &'t Seen,
    /// What a user asks.
    command: Result<Option<Command>, Malformed>,
    /// A pod that was started by an earlier release, and refuses a file with a candidate.
    old_pod: Option<String>,
    /// The trials whose candidates are in the configuration.
    shown: BTreeSet<String>,
    /// Whether nothing may begin or go on now: only certificates of the same class are renewed.
    is_frozen: bool,
    now: Timestamp,
}

/// Where a renewed certificate of another class stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A share of the clients gets it.
    Tried,
    /// It was rolled back.
    RolledBack,
    /// Its trial has not begun, or cannot go on, until this pod is replaced.
    OldPod(String),
    /// Its trial begins when there are fewer of them, or with the next reconciliation.
    Waits,
    /// The configuration with both certificates is too large.
    TooLarge,
    /// Its Secret cannot be used at present.
    Unusable,
}

/// A renewed certificate that is not served in place of the one before.
#[derive(Clone)]
pub struct Staged {
    /// Its source.
    pub source: Source,
    /// The trial, unless it has not begun.
    pub record: Option<Record>,
    /// Whether it has begun before.
    pub is_known: bool,
    /// The certificate and how its class differs, if it can be read.
    pub candidate: Option<(Served, Vec<Change>)>,
    /// Where it stands.
    pub standing: Standing,
}

/// What is served of a source.
pub struct Stage {
    /// The certificate.
    pub served: Served,
    /// The renewed one, if it is not that.
    pub staged: Option<Staged>,
}

impl Staged {
    /// Returns its entry in the configuration, if a share of the clients is to get it.
    pub fn rendered(&self) -> Option<file::Candidate> {
        let (record, (candidate, _)) = (self.record.as_ref()?, self.candidate.as_ref()?);
        (self.standing == Standing::Tried).then(|| file::Candidate {
            id: record.id.clone(),
            pem: candidate.pem.clone(),
        })
    }

    /// Takes it out of the configuration, because there is no place for it. A trial that has begun stays where it is.
    pub fn make_room(&mut self) {
        self.standing = Standing::TooLarge;
        self.record = self.record.take().filter(|_| self.is_known);
    }
}

impl<'t> Trials<'t> {
    /// Lets the trials go on as far as they are due. Where none is possible, none begins, and those that have begun end.
    pub fn advanced(
        world: &'t World,
        previous: &Previous,
        is_possible: bool,
        now: Timestamp,
    ) -> Self {
        let mut settings = Settings::of(&world.listener.spec);
        settings.is_gradual &= is_possible;
        let command = Command::read(world.listener.metadata.annotations.as_ref());
        let shown = previous.candidates();
        let input = Input {
            seen: &world.seen,
            settings: &settings,
            command: command.as_ref().ok().and_then(Option::as_ref),
            shown: &shown,
            now,
        };
        Self {
            state: advance::advance(&previous.trials().clone().without_lost_counts(now), &input),
            before: previous.trials().clone(),
            command,
            settings,
            seen: &world.seen,
            old_pod: world.old_pod(),
            shown,
            is_frozen: false,
            now,
        }
    }

    /// Leaves the trials as they are, with those candidates that are in the configuration.
    pub fn frozen(world: &'t World, previous: &Previous, now: Timestamp) -> Self {
        Self {
            state: previous.trials().clone().without_lost_counts(now),
            before: previous.trials().clone(),
            command: Ok(None),
            settings: Settings::of(&world.listener.spec),
            seen: &world.seen,
            old_pod: world.old_pod(),
            shown: previous.candidates(),
            is_frozen: true,
            now,
        }
    }

    /// Returns how certificates are tried.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns the time of the plan.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Returns what pods have said.
    pub fn seen(&self) -> &Seen {
        self.seen
    }

    /// Returns what a user asks.
    pub fn command(&self) -> &Result<Option<Command>, Malformed> {
        &self.command
    }

    /// Decides between the newest certificate of a source and the one that is served. `is_fresh`: the newest one is that of the
    /// Secret now, and not the last good one.
    pub fn stage(
        &self,
        newest: Served,
        is_fresh: bool,
        (before, candidate): (Option<&Served>, Option<&Served>),
    ) -> Stage {
        let source = newest.source.clone();
        let known = self.state.of(&source);
        let before = before.filter(|before| before.is_valid(self.now) && !before.is_refused());
        let Some(before) = before else {
            return Stage::at_once(newest);
        };
        if newest.certificate.is_same(&before.certificate) {
            return Stage {
                served: newest,
                staged: self.kept(&source).filter(|_| !is_fresh),
            };
        }
        if !self.settings.is_gradual {
            return Stage::at_once(newest);
        }
        let class = Class::of(&newest.certificate);
        let changes = Class::of(&before.certificate).changes(&class);
        let chain = newest.certificate.chain_digest();
        // Another release may have had a reason to try it that this one does not know.
        let is_tried = known.is_some_and(|record| record.chain == chain);
        if changes.is_empty() && !is_tried {
            return Stage::at_once(newest);
        }
        // What the digest does not have, such as names, may have changed since the trial began.
        let is_as_tried = |candidate: &Served| {
            let tried = Class::of(&candidate.certificate);
            tried.changes(&class).is_empty()
        };
        let digest = class.digest();
        let is_of_class =
            |record: &Record| record.class == digest && candidate.is_none_or(is_as_tried);
        let known = known.filter(|record| is_tried || is_of_class(record));
        if known.is_some_and(|record| record.phase == Phase::Promoted) {
            return Stage::at_once(newest);
        }
        let is_known = known.is_some();
        let record = match known {
            Some(record) => Some(Record {
                class: digest,
                chain,
                ..record.clone()
            }),
            None => self.begun(&source, (digest, chain), before),
        };
        Stage {
            served: before.clone(),
            staged: Some(Staged {
                source,
                standing: self.standing(record.as_ref()),
                record,
                is_known,
                candidate: Some((newest, changes)),
            }),
        }
    }

    /// Returns what is known of a source whose certificate cannot be used at present.
    pub fn kept(&self, source: &Source) -> Option<Staged> {
        let record = self.state.of(source)?;
        Some(Staged {
            source: source.clone(),
            record: Some(record.clone()),
            is_known: true,
            candidate: None,
            standing: Standing::Unusable,
        })
    }

    /// Reports whether the candidate of a source that the previous configuration has can be in this one, or take the place of the one before.
    pub fn goes_on(&self, source: &Source) -> bool {
        match self.state.of(source).map(|record| record.phase) {
            Some(Phase::Running { .. }) => self.old_pod.is_none(),
            Some(Phase::Promoted) => true,
            Some(Phase::RolledBack { .. }) | None => false,
        }
    }

    /// Returns a trial that begins now, if it may.
    fn begun(
        &self,
        source: &Source,
        (class, chain): (String, String),
        before: &Served,
    ) -> Option<Record> {
        let may_begin = !self.is_frozen && self.old_pod.is_none();
        may_begin.then(|| Record {
            id: id::of(source, self.now),
            source: source.clone(),
            class,
            chain,
            has_lost_counts: false,
            began: self.now,
            until: before.facts.not_after.timestamp(),
            phase: Phase::Running {
                share: self.settings.first(),
                since: self.now,
            },
            counted: Counted::default(),
        })
    }

    fn standing(&self, record: Option<&Record>) -> Standing {
        let is_back = |record: &Record| matches!(record.phase, Phase::RolledBack { .. });
        match (record, &self.old_pod) {
            (Some(record), _) if is_back(record) => Standing::RolledBack,
            (_, Some(pod)) => Standing::OldPod(pod.clone()),
            (Some(record), None) if self.may_show(record) => Standing::Tried,
            (Some(_) | None, None) => Standing::Waits,
        }
    }

    /// Reports whether a candidate may be in the configuration.
    fn may_show(&self, record: &Record) -> bool {
        !self.is_frozen || self.shown.contains(&record.id)
    }

    /// Lets only as many trials begin as a file may have. Those that have begun keep their places.
    pub fn limit<'s>(&self, staged: impl Iterator<Item = &'s mut Staged>) {
        let mut ids: BTreeSet<String> = self
            .state
            .records
            .iter()
            .map(|one| one.id.clone())
            .collect();
        for one in staged {
            let Some(record) = &one.record else {
                continue;
            };
            if !ids.contains(&record.id) && ids.len() >= TRIALS_MAX {
                (one.record, one.standing) = (None, Standing::Waits);
            } else {
                ids.insert(record.id.clone());
            }
        }
    }

    /// Returns what is to be written, with what is staged in the end.
    pub fn state<'s>(&self, staged: impl Iterator<Item = &'s Staged>) -> State {
        let before = &self.state;
        let mut records: Vec<Record> = Vec::new();
        for one in staged {
            let record = one.record.as_ref();
            let is_new = |record: &&Record| !records.iter().any(|known| known.id == record.id);
            if let Some(record) = record.filter(is_new) {
                records.push(self.begun_again(record, &one.standing));
            }
        }
        records.sort_by(|one, other| (one.began, &one.id).cmp(&(other.began, &other.id)));
        let is_known = |id: &str| records.iter().any(|record| record.id == id);
        let avoided = before.avoided.iter().filter(|(id, _)| is_known(id));
        let avoided = avoided.map(|(id, devices)| (id.clone(), devices.clone()));
        let avoided = avoided.collect();
        let at = if records == before.records {
            before.at
        } else {
            Some(self.now)
        };
        State {
            at,
            records,
            avoided,
        }
    }

    /// Returns a record; a trial whose candidate comes back into the configuration begins its step again.
    fn begun_again(&self, record: &Record, standing: &Standing) -> Record {
        let was_shown = self.is_frozen || self.shown.contains(&record.id);
        let mut record = record.clone();
        if let Phase::Running { since, .. } = &mut record.phase
            && *standing == Standing::Tried
            && !was_shown
        {
            *since = self.now;
        }
        record
    }

    /// Reports whether trials are not as they were written.
    pub fn differ(&self, state: &State) -> bool {
        *state != self.before
    }

    /// Returns the file that the pods read, if there is a trial to read. Devices are in it only while a candidate is in the configuration,
    /// where there is room for them.
    pub fn file(&self, state: &State, rendered: &BTreeSet<String>) -> Option<String> {
        let trials = state.records.iter().filter_map(|record| {
            let Phase::Running { share, .. } = record.phase else {
                return None;
            };
            Some(FileTrial {
                id: record.id.clone(),
                share,
                remember: self.settings.remembered(),
                avoided: match state.avoided.get(&record.id) {
                    Some(devices) if rendered.contains(&record.id) => devices.clone(),
                    Some(_) | None => Vec::new(),
                },
            })
        });
        let trials: Vec<FileTrial> = trials.collect();
        (!trials.is_empty()).then(|| FileTrial::file(&trials))
    }
}

impl Stage {
    fn at_once(served: Served) -> Self {
        Self {
            served,
            staged: None,
        }
    }
}
