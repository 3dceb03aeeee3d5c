//! What is written and reported of trials, in the end: after all that is served was chosen. It must not hold key material.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use mqtt_tls_config::SHARE_ALL;

use super::advance::{self, Hold, Input};
use super::command::Malformed;
use super::seen::{Day, Seen};
use super::settings::Settings;
use super::stage::{Staged, Standing, Trials};
use super::state::{Phase, Record, State};
use crate::crd::CertificateStatus;
use crate::plan::hosts::Choices;
use crate::plan::source::Source;

/// How long a trial is reported as held at least: each change is a write of the status.
const HELD_AT_LEAST: Duration = Duration::from_secs(60);

/// The trials of a plan.
#[derive(Default)]
pub struct Tried {
    /// What is remembered of them.
    pub annotation: Option<String>,
    /// The file that the pods read.
    pub file: Option<String>,
    /// When the next one goes on at the latest.
    pub due: Option<Timestamp>,
    /// What is reported.
    pub report: Report,
}

/// A user's command that changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Ignored {
    /// Nothing.
    #[default]
    Nothing,
    /// It is no command.
    Malformed,
    /// It names this trial, which is not there.
    OtherTrial(String),
}

/// What is reported of trials.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What is shown of each.
    pub shown: Vec<Shown>,
    /// Whether something of them is written that was not before.
    pub is_new: bool,
    /// The user's command, if it changes nothing.
    pub ignored: Ignored,
    /// What is watched while a trial is running.
    pub watched: Option<Watched>,
}

/// A trial, or a renewed certificate that waits for one.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// The source of the renewed certificate.
    pub source: Source,
    /// Where it stands.
    pub standing: Standing,
    /// The trial, unless it has not begun.
    pub record: Option<Record>,
    /// The share of the full handshakes that get it, of 10,000.
    pub share: u16,
    /// Why it does not go on, if so.
    pub hold: Option<Hold>,
    /// The certificate, if its Secret can be used.
    pub certificate: Option<CertificateStatus>,
    /// How its class differs.
    pub changes: Vec<String>,
    /// Percentage of the last day's clients that cannot verify it, if known.
    pub forecast: Option<u64>,
}

/// Trials that are running, and all that decides how they go on, but what pods say.
#[derive(Clone, Debug)]
pub struct Watched {
    state: State,
    settings: Settings,
    /// The trials whose candidates are in the configuration.
    shown: BTreeSet<String>,
    /// Those that were reported as held.
    held: BTreeSet<String>,
    /// When that was.
    since: Timestamp,
    /// Whether it was reported that something is due. A reconciliation that fails then is retried with its own backoff.
    is_announced: bool,
}

impl Watched {
    /// Reports, once, whether one goes on now, is held now, or something of it is to be written.
    pub fn becomes_due(&mut self, seen: &Seen, now: Timestamp) -> bool {
        if self.is_announced {
            return false;
        }
        let input = Input {
            seen,
            settings: &self.settings,
            command: None,
            shown: &self.shown,
            now,
        };
        let is_due = advance::advance(&self.state, &input) != self.state;
        self.is_announced = is_due || self.is_held_otherwise(seen, now);
        self.is_announced
    }

    /// Reports whether a trial is held that was not, or, some time after that was reported, the other way around.
    fn is_held_otherwise(&self, seen: &Seen, now: Timestamp) -> bool {
        let age = now.duration_since(self.since).unsigned_abs();
        let records = self.state.records.iter();
        let mut shown = records.filter(|one| one.is_running() && self.shown.contains(&one.id));
        shown.any(|one| {
            let (was, is) = (
                self.held.contains(&one.id),
                advance::hold(one, seen).is_some(),
            );
            is && !was || was && !is && age >= HELD_AT_LEAST
        })
    }

    /// Reports whether the trials are still as this process has written them, and not changed back by someone else.
    pub fn are_as_written(&self, found: &State) -> bool {
        self.state.at == found.at && self.state.stands_as(found)
    }

    /// Reports whether a trial is one of them.
    pub fn knows(&self, id: &str) -> bool {
        self.state.records.iter().any(|record| record.id == id)
    }
}

impl Tried {
    /// Returns what is written and reported of what is staged.
    pub fn of(trials: &Trials<'_>, choices: &Choices) -> Self {
        let state = trials.state(choices.staged());
        let rendered = choices.staged().filter_map(Staged::rendered);
        let rendered: BTreeSet<String> = rendered.map(|one| one.id).collect();
        let mut shown: Vec<Shown> = Vec::new();
        for staged in choices.staged() {
            if !shown.iter().any(|known| known.source == staged.source) {
                shown.push(trials.shown(staged, &state));
            }
        }
        let running = state
            .records
            .iter()
            .filter_map(|record| match record.phase {
                Phase::Running { share, since } => {
                    let longest = trials.settings().longest(share, since, record.until);
                    since
                        .checked_add(SignedDuration::try_from(longest).ok()?)
                        .ok()
                }
                Phase::RolledBack { .. } | Phase::Promoted => None,
            });
        let held = shown.iter().filter(|one| one.hold.is_some());
        let held = held.filter_map(|one| Some(one.record.as_ref()?.id.clone()));
        let held = held.collect();
        Self {
            annotation: state.annotation(),
            file: trials.file(&state, &rendered),
            due: running.min(),
            report: Report {
                shown,
                is_new: trials.differ(&state),
                ignored: trials.ignored(&state),
                watched: state.is_running().then(|| Watched {
                    settings: trials.settings().clone(),
                    shown: rendered,
                    held,
                    since: trials.now(),
                    state,
                    is_announced: false,
                }),
            },
        }
    }
}

impl Trials<'_> {
    /// Returns what a user asks that changes nothing.
    fn ignored(&self, state: &State) -> Ignored {
        match self.command() {
            Err(Malformed) => Ignored::Malformed,
            Ok(Some(command)) if state.records.iter().all(|one| one.id != command.id) => {
                Ignored::OtherTrial(command.id.clone())
            }
            Ok(_) => Ignored::Nothing,
        }
    }

    fn shown(&self, staged: &Staged, state: &State) -> Shown {
        let id = staged.record.as_ref().map(|record| &record.id);
        let mut records = state.records.iter();
        let record = records.find(|record| Some(&record.id) == id).cloned();
        let phase = record.as_ref().map(|record| record.phase);
        let is_tried = staged.standing == Standing::Tried;
        let candidate = staged.candidate.as_ref();
        Shown {
            source: staged.source.clone(),
            standing: staged.standing.clone(),
            share: match phase {
                Some(Phase::Running { share, .. }) if is_tried => share,
                _ => 0,
            },
            hold: record
                .as_ref()
                .filter(|_| is_tried)
                .and_then(|record| advance::hold(record, self.seen())),
            record,
            certificate: candidate.map(|(served, _)| served.status()),
            changes: candidate
                .map(|(_, changes)| changes.iter().map(ToString::to_string).collect())
                .unwrap_or_default(),
            forecast: candidate
                .and_then(|(served, _)| forecast(served.facts.key, self.seen().day())),
        }
    }
}

/// Returns the percentage of clients that cannot verify a kind of key, rounded up.
fn forecast(key: &str, day: Day) -> Option<u64> {
    let unable = match key {
        "ECDSA P-256" => day.without_p256,
        "RSA" => day.without_rsa,
        _ => return None,
    };
    (day.served > 0).then(|| unable.saturating_mul(100).div_ceil(day.served))
}

impl Settings {
    /// Returns the share of the first step.
    pub fn first(&self) -> u16 {
        self.steps.first().copied().unwrap_or(SHARE_ALL)
    }

    /// Returns the share of the step after one; `None` after the last.
    pub fn after(&self, share: u16) -> Option<u16> {
        self.steps.iter().find(|next| **next > share).copied()
    }

    /// Returns how long a step that has begun may last: `max_step`, and not so long that the steps that are left could not end before
    /// the certificate before expires.
    pub fn longest(&self, share: u16, since: Timestamp, until: Timestamp) -> Duration {
        let left = Duration::try_from(until.duration_since(since)).unwrap_or_default();
        let later = self.steps.iter().filter(|step| **step > share).count();
        // This one, those that are left, and as much again as a reserve.
        let steps = later.saturating_add(2);
        let part = left / u32::try_from(steps).unwrap_or(u32::MAX);
        self.max_step.min(part)
    }

    /// Returns for how many seconds a device is remembered.
    pub fn remembered(&self) -> u32 {
        u32::try_from(self.remember.as_secs()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::{Day, Duration, Settings, Watched, forecast};
    use crate::plan::names::Name;
    use crate::plan::source::Source;
    use crate::plan::trials::seen::{Report, Said, Seen};
    use crate::plan::trials::state::{Counted, Phase, Record, State};

    const HOUR: u64 = 3600;

    fn after(seconds: u64) -> Timestamp {
        Timestamp::from_second(seconds.try_into().unwrap()).unwrap()
    }

    #[test]
    fn a_step_is_shorter_if_the_certificate_before_expires_soon() {
        let settings = Settings::default();
        assert_eq!(settings.steps.len(), 4);
        for (share, left, expected) in [
            (100, 365 * 24 * HOUR, 24 * HOUR),
            (100, 5 * 24 * HOUR, 24 * HOUR),
            (100, 5 * HOUR, HOUR),
            // As many steps as are left, and as much again as a reserve.
            (2500, 5 * HOUR, 5 * HOUR / 3),
            (10_000, 5 * HOUR, 5 * HOUR / 2),
            // The spec had another step.
            (1000, 5 * HOUR, 5 * HOUR / 4),
            (100, 0, 0),
        ] {
            let since = after(HOUR);
            let found = settings.longest(share, since, after(HOUR + left));
            assert_eq!(found, Duration::from_secs(expected), "{share}, {left} s");
        }
        let expired = settings.longest(100, after(HOUR), after(0));
        assert_eq!(expired, Duration::ZERO);
    }

    #[test]
    fn steps_one_after_the_other_end_before_the_certificate_before() {
        let settings = Settings::default();
        for left in [60, HOUR, 24 * HOUR, 90 * 24 * HOUR] {
            let until = after(left);
            let mut now = after(0);
            for share in &settings.steps {
                let longest = settings.longest(*share, now, until);
                assert!(!longest.is_zero());
                now = now
                    .checked_add(SignedDuration::try_from(longest).unwrap())
                    .unwrap();
            }
            assert!(now < until, "{left} s");
        }
    }

    /// The spec may have other steps than when the share was reached.
    #[test]
    fn the_next_step_is_the_first_larger_share() {
        let settings = Settings::default();
        assert_eq!(settings.first(), 100);
        let next = [1, 100, 400, 500, 2500, 9999, 10_000].map(|share| settings.after(share));
        let wanted = [100, 500, 500, 2500, 10_000, 10_000].map(Some);
        assert_eq!((&next[..6], next[6]), (&wanted[..], None));
    }

    /// A pod has said that it holds a trial, or not.
    fn said(is_held: bool) -> Seen {
        let report = Report {
            id: "a-1".to_owned(),
            is_held,
            ..Report::default()
        };
        let said = Said {
            trials: vec![report],
            ..Said::default()
        };
        let mut seen = Seen::default();
        seen.take([("pod", Some(&said))].into_iter());
        seen
    }

    #[test]
    fn a_trial_that_becomes_held_is_reported_once_and_after_a_while_that_it_is_not() {
        let record = Record {
            id: "a-1".to_owned(),
            source: Source::Secret(Name::new("iot", "a")),
            class: String::new(),
            chain: String::new(),
            began: after(0),
            until: after(100 * 24 * HOUR),
            phase: Phase::Running {
                share: 100,
                since: after(0),
            },
            counted: Counted::default(),
            has_lost_counts: false,
        };
        let watched = |shown: &[&str], held: &[&str]| Watched {
            state: State {
                at: Some(after(0)),
                records: vec![record.clone()],
                ..State::default()
            },
            settings: Settings::default(),
            shown: shown.iter().map(|id| (*id).to_owned()).collect(),
            held: held.iter().map(|id| (*id).to_owned()).collect(),
            since: after(0),
            is_announced: false,
        };
        for (shown, held, is_held, seconds, expected) in [
            (&["a-1"][..], &[][..], true, 1, true),
            (&["a-1"], &[], false, 1, false),
            (&["a-1"], &["a-1"], true, 100, false),
            (&["a-1"], &["a-1"], false, 59, false),
            (&["a-1"], &["a-1"], false, 60, true),
            (&[], &[], true, 100, false),
        ] {
            let mut watched = watched(shown, held);
            let found = watched.becomes_due(&said(is_held), after(seconds));
            assert_eq!(found, expected, "{shown:?} {held:?} {is_held} {seconds} s");
            assert!(!watched.becomes_due(&said(is_held), after(seconds)) || !expected);
        }
    }

    /// One client of many is no reason to say that there is none.
    #[test]
    fn a_forecast_is_rounded_up() {
        let day = Day {
            served: 1000,
            without_p256: 1,
            without_rsa: 250,
        };
        for (key, expected) in [
            ("ECDSA P-256", Some(1)),
            ("RSA", Some(25)),
            // Of these, ClientHellos are not counted.
            ("ECDSA P-384", None),
            ("Ed25519", None),
        ] {
            assert_eq!(forecast(key, day), expected, "{key}");
        }
        assert_eq!(forecast("RSA", Day::default()), None, "no client");
        let all_able = Day {
            without_rsa: 0,
            ..day
        };
        assert_eq!(forecast("RSA", all_able), Some(0));
    }
}
