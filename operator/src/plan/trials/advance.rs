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

/// Minimum time between two writes of devices that must not get a candidate, and of counts that hold a trial.
const FOUND_EVERY: Duration = Duration::from_secs(5);

/// Time after which counts are written, so that they outlive the pods.
const COUNTS_EVERY: Duration = Duration::from_secs(300);

/// How often a step that is held begins again at most: each time is a write.
const BEGINS_AGAIN_EVERY: Duration = Duration::from_secs(10);

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
    /// Clients cannot verify the candidate, and they are too few for being sure.
    Unable,
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
    let is_counted = records != before.records && is_past(COUNTS_EVERY);
    // What is shown is what is written: a trial that is held says at once why.
    let mut pairs = before.records.iter().zip(&records);
    let is_worse = pairs.any(|(before, now)| now.is_running() && verdict(now) > verdict(before));
    let has_found = is_worse || has_more(&avoided, &before.avoided, input.now);
    let is_found = has_found && is_past(FOUND_EVERY);
    let state = State {
        at: Some(input.now),
        records,
        avoided,
    };
    if state.stands_as(before) && !is_counted && !is_found {
        return before.clone();
    }
    state
}

fn verdict(record: &Record) -> Verdict {
    evidence::judge(&record.counted.shares)
}

/// Returns why a trial does not go on, if so.
pub fn hold(record: &Record, seen: &Seen) -> Option<Hold> {
    if seen.is_held(&record.id) {
        return Some(Hold::Full);
    }
    let known = Known::of(record, seen);
    if known.verdict() == Verdict::Clear {
        return None;
    }
    let mut all = known.all().into_iter();
    let is_unable = all.any(|counted| evidence::has_unable(&counted.shares));
    Some(if is_unable {
        Hold::Unable
    } else {
        Hold::Doubtful
    })
}

/// All that is known of a trial's counts.
struct Known<'k> {
    written: &'k Counted,
    seen: Counted,
    both: Counted,
}

impl<'k> Known<'k> {
    fn of(record: &'k Record, seen: &Seen) -> Self {
        let (written, seen) = (&record.counted, seen.counted(&record.id));
        let both = written.or_more(&seen);
        Self {
            written,
            seen,
            both,
        }
    }

    /// Returns what is judged: after a restart of all pods, what was written may hide what is seen now.
    fn all(&self) -> [&Counted; 3] {
        [self.written, &self.seen, &self.both]
    }

    /// Compares the certificates.
    fn verdict(&self) -> Verdict {
        let verdicts = self.all().map(|counted| evidence::judge(&counted.shares));
        verdicts.into_iter().max().unwrap_or(Verdict::Clear)
    }
}

impl Input<'_> {
    /// Returns a record as it is now.
    fn advanced(&self, record: &Record) -> Record {
        let known = Known::of(record, self.seen);
        if let Some(commanded) = self.commanded(record, &known.both) {
            return commanded;
        }
        let phase = match record.phase {
            Phase::Running { share, since } => self.next(record, &known, (share, since)),
            phase @ (Phase::RolledBack { .. } | Phase::Promoted) => phase,
        };
        Record {
            phase,
            counted: known.both,
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
                    share: self.settings.first(),
                    since: now,
                },
                counted: Counted::default(),
                ..record.clone()
            }),
            Action::End | Action::Resume => None,
        }
    }

    /// Returns the phase after a step, or the step itself.
    fn next(&self, record: &Record, known: &Known<'_>, (share, since): (u16, Timestamp)) -> Phase {
        let (counted, verdict) = (&known.both, known.verdict());
        if verdict == Verdict::Worse {
            return Phase::RolledBack {
                since: self.now,
                why: Why::Worse,
            };
        }
        let stays = Phase::Running { share, since };
        if verdict == Verdict::Doubtful || !self.shown.contains(&record.id) {
            return stays;
        }
        let since_now = |share| Phase::Running {
            share,
            since: self.now,
        };
        let took = Duration::try_from(self.now.duration_since(since)).unwrap_or_default();
        let longest = self.settings.longest(share, since, record.until);
        if self.seen.is_held(&record.id) {
            // Meanwhile nothing is drawn: a step that has lasted too long must not be over when the hold ends.
            let is_to_begin_again = took >= longest.max(BEGINS_AGAIN_EVERY);
            return if is_to_begin_again {
                since_now(share)
            } else {
                stays
            };
        }
        let of_step = counted.of(share);
        let tried = of_step
            .candidate
            .served
            .saturating_add(of_step.candidate.aborted);
        let is_enough = tried >= evidence::needed(self.settings.min_handshakes, &counted.shares);
        let least = self.settings.min_step.min(longest);
        if took < longest && !(is_enough && took >= least) {
            return stays;
        }
        let next = self.settings.after(share);
        next.map_or(Phase::Promoted, since_now)
    }

    /// Returns the devices that must not get the candidates of running trials. A device stays when all places are taken, and no trial
    /// takes the places of another one.
    fn avoided(&self, before: &State, records: &[Record]) -> BTreeMap<String, Vec<Avoided>> {
        let now = u64::try_from(self.now.as_second()).unwrap_or(0);
        let running = records.iter();
        let running = running.filter(|one| one.is_running() && self.shown.contains(&one.id));
        let ids: Vec<&str> = running.map(|record| record.id.as_str()).collect();
        let known = ids.iter().flat_map(|id| {
            let devices = before.avoided.get(*id).into_iter().flatten();
            devices.map(|device| (*id, *device))
        });
        let found = ids
            .iter()
            .flat_map(|id| self.seen.avoided(id).map(|device| (*id, device)));
        let mut all: BTreeMap<&str, BTreeMap<u64, u64>> =
            ids.iter().map(|id| (*id, BTreeMap::new())).collect();
        let mut left = AVOIDED_MAX;
        for (id, Avoided { key, until }) in known.chain(found).filter(|(_, one)| one.until > now) {
            let devices = all.entry(id).or_default();
            if let Some(known) = devices.get_mut(&key) {
                *known = until.max(*known);
            } else if left > 0 {
                devices.insert(key, until);
                left -= 1;
            }
        }
        let listed = |devices: BTreeMap<u64, u64>| {
            let devices = devices.into_iter();
            devices.map(|(key, until)| Avoided { key, until }).collect()
        };
        let all = all.into_iter();
        all.map(|(id, devices)| (id.to_owned(), listed(devices)))
            .collect()
    }
}

/// Reports whether devices were added. That others have ended needs no write: each has its time.
fn has_more(
    now: &BTreeMap<String, Vec<Avoided>>,
    before: &BTreeMap<String, Vec<Avoided>>,
    time: Timestamp,
) -> bool {
    let time = u64::try_from(time.as_second()).unwrap_or(0);
    now.iter().any(|(id, devices)| {
        let known = before.get(id).into_iter().flatten();
        let known = known.filter(|device| device.until > time);
        let known: BTreeSet<u64> = known.map(|device| device.key).collect();
        devices.iter().any(|device| !known.contains(&device.key))
    })
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::{
        AVOIDED_MAX, Action, Avoided, BTreeMap, BTreeSet, Command, Counted, Duration, Hold, Input,
        Phase, Record, Seen, Settings, State, Timestamp, Why, advance, hold,
    };
    use crate::plan::names::Name;
    use crate::plan::source::Source;
    use crate::plan::trials::evidence::{Arm, OfShare};
    use crate::plan::trials::seen::{Report, Said};

    const ID: &str = "edge-tls-1";
    const OTHER: &str = "second-tls-1";
    const RUNNING: Phase = Phase::Running {
        share: 100,
        since: Timestamp::UNIX_EPOCH,
    };
    const BACK: Phase = Phase::RolledBack {
        since: Timestamp::UNIX_EPOCH,
        why: Why::Worse,
    };

    fn settings() -> Settings {
        Settings {
            steps: vec![100, 500, 10_000],
            min_handshakes: 10,
            min_step: Duration::from_secs(60),
            max_step: Duration::from_secs(3600),
            ..Settings::default()
        }
    }

    /// As many seconds after the start.
    fn after(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn record(id: &str, phase: Phase) -> Record {
        Record {
            id: id.to_owned(),
            source: Source::Secret(Name::new("iot", "edge-tls")),
            class: String::new(),
            chain: String::new(),
            has_lost_counts: false,
            began: Timestamp::UNIX_EPOCH,
            until: after(30 * 24 * 3600),
            phase,
            counted: Counted::default(),
        }
    }

    fn state(phase: Phase) -> State {
        State {
            at: Some(Timestamp::UNIX_EPOCH),
            records: vec![record(ID, phase)],
            avoided: BTreeMap::from([(ID.to_owned(), Vec::new())]),
        }
    }

    /// Counts at a share: served, aborted and confirmed with the current certificate, and with the candidate; unable.
    fn counts(share: u16, arms: [[u64; 3]; 2], unable: u64) -> Counted {
        let arm = |[served, aborted, confirmed]: [u64; 3]| Arm {
            served,
            aborted,
            confirmed,
        };
        let [current, candidate] = arms.map(arm);
        Counted {
            shares: vec![OfShare {
                share,
                current,
                candidate,
                unable,
                unable_devices: unable,
            }],
            alerts: BTreeMap::new(),
        }
    }

    /// Counts of the first step in which nothing aborts.
    fn good(served: u64) -> Counted {
        counts(100, [[0; 3], [served, 0, 0]], 0)
    }

    fn doubtful() -> Counted {
        counts(100, [[0; 3], [499, 0, 0]], 1)
    }

    fn aborted() -> Counted {
        counts(100, [[100, 0, 0], [20, 1, 1]], 0)
    }

    fn worse() -> Counted {
        counts(100, [[0; 3], [200, 0, 0]], 3)
    }

    fn report(id: &str) -> Report {
        Report {
            id: id.to_owned(),
            ..Report::default()
        }
    }

    fn seen(trials: Vec<Report>) -> Seen {
        let mut seen = Seen::default();
        let said = Said {
            trials,
            ..Said::default()
        };
        seen.take([("pod", Some(&said))].into_iter());
        seen
    }

    fn counted(counted: Counted) -> Seen {
        seen(vec![Report {
            counted,
            ..report(ID)
        }])
    }

    /// Lets trials go on whose candidates are shown.
    fn at(seconds: i64, before: &State, seen: &Seen) -> State {
        let ids = before.records.iter().map(|record| record.id.clone());
        advance(
            before,
            &Input {
                seen,
                settings: &settings(),
                command: None,
                shown: &ids.collect(),
                now: after(seconds),
            },
        )
    }

    fn phase(state: &State) -> Phase {
        state.records[0].phase
    }

    fn step(share: u16, seconds: i64) -> Phase {
        Phase::Running {
            share,
            since: after(seconds),
        }
    }

    #[test]
    fn a_step_ends_with_enough_handshakes_and_time_or_after_the_longest_time() {
        let noisy = |served| counts(100, [[990, 10, 10], [served, 0, 0]], 0);
        let scanned = |served| counts(100, [[990, 10, 0], [served, 0, 0]], 0);
        for (name, counts, seconds, is_over) in [
            ("enough of both", good(10), 60, true),
            ("too few handshakes", good(9), 60, false),
            ("too little time", good(10), 59, false),
            (
                "one of them aborted",
                counts(100, [[500, 50, 0], [9, 1, 0]], 0),
                60,
                true,
            ),
            (
                "at another share",
                counts(500, [[0; 3], [10, 0, 0]], 0),
                60,
                false,
            ),
            ("nothing, nearly the longest time", good(0), 3599, false),
            ("nothing, and the longest time", good(0), 3600, true),
            ("one in a hundred aborts anyway", noisy(19), 60, false),
            ("twice as many then", noisy(20), 60, true),
            ("scanners abort", scanned(10), 60, true),
            ("the clock was put back", good(10), -3600, false),
        ] {
            let found = at(seconds, &state(RUNNING), &counted(counts));
            let expected = if is_over { step(500, seconds) } else { RUNNING };
            assert_eq!(phase(&found), expected, "{name}");
        }
    }

    #[test]
    fn all_get_the_candidate_after_the_last_step() {
        let served = |share| counted(counts(share, [[0; 3], [10, 0, 0]], 0));
        let second = at(60, &state(RUNNING), &served(100));
        let last = at(120, &second, &served(500));
        assert_eq!(phase(&last), step(10_000, 120));
        assert_eq!(phase(&at(180, &last, &served(10_000))), Phase::Promoted);
        // Someone has changed the steps since: no device gets another certificate by that.
        let other = state(step(2500, 0));
        assert_eq!(phase(&at(59, &other, &served(2500))), step(2500, 0));
        assert_eq!(phase(&at(60, &other, &served(2500))), step(10_000, 60));
    }

    /// With little time until the certificate before expires, steps are shorter than `minStep`.
    #[test]
    fn all_steps_end_before_the_certificate_before_expires() {
        let mut before = state(RUNNING);
        before.records[0].until = after(40);
        for (seconds, expected) in [(9, RUNNING), (10, step(500, 10))] {
            for handshakes in [0, 10] {
                let found = at(seconds, &before, &counted(good(handshakes)));
                assert_eq!(phase(&found), expected, "{seconds} s, {handshakes}");
            }
        }
    }

    #[test]
    fn no_time_ends_a_step_while_a_trial_is_held() {
        let is_held = |is_held| {
            seen(vec![Report {
                is_held,
                counted: good(10),
                ..report(ID)
            }])
        };
        let long = 7 * 24 * 3600;
        let before = state(RUNNING);
        let record = &before.records[0];
        for (seen, expected) in [
            (is_held(true), Some(Hold::Full)),
            (counted(doubtful()), Some(Hold::Unable)),
            (counted(aborted()), Some(Hold::Doubtful)),
            (is_held(false), None),
        ] {
            assert_eq!(hold(record, &seen), expected);
            let next = match expected {
                // When a pod has room again, the step has its time before it.
                Some(Hold::Full) => step(100, long),
                Some(Hold::Unable | Hold::Doubtful) => RUNNING,
                None => step(500, long),
            };
            assert_eq!(phase(&at(long, &before, &seen)), next);
        }
        let (full, free) = (is_held(true), counted(good(0)));
        assert_eq!(phase(&at(3599, &before, &full)), RUNNING);
        // With the shortest steps as well, as far as that takes not too many writes.
        let mut soon = state(RUNNING);
        soon.records[0].until = after(40);
        assert_eq!(phase(&at(9, &soon, &full)), RUNNING);
        assert_eq!(phase(&at(10, &soon, &full)), step(100, 10));
        let later = at(long, &before, &full);
        for (seconds, expected) in [(59, step(100, long)), (60, step(500, long + 60))] {
            assert_eq!(phase(&at(long + seconds, &later, &free)), expected);
        }
        // A candidate that no client gets is held, too.
        let nothing = Input {
            seen: &is_held(false),
            settings: &settings(),
            command: None,
            shown: &BTreeSet::new(),
            now: after(long),
        };
        assert_eq!(phase(&advance(&before, &nothing)), RUNNING);
        // Doubts end with more handshakes.
        let more = counted(counts(100, [[0; 3], [5000, 0, 0]], 1));
        assert_eq!(phase(&at(60, &before, &more)), step(500, 60));
    }

    #[test]
    fn a_worse_candidate_is_rolled_back_at_once_and_for_good() {
        let held = Report {
            is_held: true,
            counted: worse(),
            ..report(ID)
        };
        for seen in [counted(worse()), seen(vec![held])] {
            let back = at(1, &state(RUNNING), &seen);
            let why = Why::Worse;
            let expected = Phase::RolledBack {
                since: after(1),
                why,
            };
            assert_eq!(phase(&back), expected);
            assert_eq!(back.records[0].counted, worse());
            assert!(back.avoided.is_empty(), "no device gets it");
            // Counts that come later do not undo it.
            let later = at(
                7200,
                &back,
                &counted(counts(100, [[0; 3], [90_000, 0, 0]], 3)),
            );
            assert_eq!(phase(&later), expected);
        }
        // After a restart of the operator, what was written counts.
        let mut written = state(RUNNING);
        written.records[0].counted = worse();
        let back = phase(&at(1, &written, &Seen::default()));
        assert!(matches!(back, Phase::RolledBack { .. }), "{back:?}");
    }

    #[test]
    fn a_command_is_done_once_and_only_to_the_trial_that_it_names() {
        let ended = Phase::RolledBack {
            since: after(9),
            why: Why::Ended,
        };
        let done = |before, action, id: &str| {
            let command = Command {
                action,
                id: id.to_owned(),
            };
            let seen = counted(good(3));
            let input = Input {
                seen: &seen,
                settings: &settings(),
                command: Some(&command),
                shown: &BTreeSet::from([ID.to_owned()]),
                now: after(9),
            };
            advance(&state(before), &input)
        };
        for (before, action, expected) in [
            (RUNNING, Action::Skip, Phase::Promoted),
            (RUNNING, Action::End, ended),
            (RUNNING, Action::Resume, RUNNING),
            (BACK, Action::Skip, Phase::Promoted),
            (BACK, Action::End, BACK),
            (BACK, Action::Resume, step(100, 9)),
            (Phase::Promoted, Action::Skip, Phase::Promoted),
            (Phase::Promoted, Action::End, ended),
            (Phase::Promoted, Action::Resume, Phase::Promoted),
        ] {
            let found = done(before, action, ID);
            assert_eq!(phase(&found), expected, "{before:?}, {action:?}");
            let is_new = matches!((before, action), (Phase::RolledBack { .. }, Action::Resume));
            assert_eq!(found.records[0].id != ID, is_new);
            let began = if is_new { after(9) } else { after(0) };
            assert_eq!(found.records[0].began, began);
            if is_new {
                assert_eq!(found.records[0].counted, Counted::default());
            }
            // That of an earlier trial, as the annotation stays.
            assert_eq!(done(before, action, "edge-tls-0"), state(before));
        }
    }

    #[test]
    fn counts_that_hold_a_trial_are_written_at_once() {
        let before = state(RUNNING);
        let seen = counted(doubtful());
        assert_eq!(at(4, &before, &seen), before);
        let held = at(5, &before, &seen);
        assert_eq!(held.records[0].counted, doubtful());
        assert_eq!(phase(&held), RUNNING);
        // Neither more of the same, nor the end of a doubt that may come again.
        let mut more = doubtful();
        more.shares[0].unable += 1;
        assert_eq!(at(10, &held, &counted(more.clone())), held);
        more.shares[0].candidate.served = 100_000;
        assert_eq!(at(10, &held, &counted(more.clone())), held);
        assert_eq!(
            at(305, &held, &counted(more.clone())).records[0].counted,
            more
        );
    }

    #[test]
    fn nothing_is_written_before_it_is_due() {
        let device = Avoided {
            key: 1,
            until: 10_000,
        };
        let found = seen(vec![Report {
            avoided: vec![device],
            ..report(ID)
        }]);
        let counts = counted(good(3));
        let nothing = Seen::default();
        let before = state(RUNNING);
        for (name, seen, seconds, is_due) in [
            ("nothing has happened", &nothing, 1000, false),
            ("a handshake", &counts, 299, false),
            ("a handshake, and its time", &counts, 300, true),
            ("a device", &found, 4, false),
            ("a device, and its time", &found, 5, true),
        ] {
            let now = at(seconds, &before, seen);
            if !is_due {
                assert_eq!(now, before, "{name}");
                continue;
            }
            assert_eq!(now.at, Some(after(seconds)), "{name}");
            assert_ne!(now, before, "{name}");
            // Once.
            assert_eq!(at(seconds + 900, &now, seen), now, "{name}");
        }
        assert_eq!(at(5, &before, &found).avoided[ID], [device]);
        assert_eq!(at(300, &before, &counts).records[0].counted, good(3));
    }

    fn devices(keys: std::ops::Range<u64>, until: u64) -> Vec<Avoided> {
        keys.map(|key| Avoided { key, until }).collect()
    }

    #[test]
    fn devices_are_merged_until_they_end() {
        let mut before = state(RUNNING);
        let known = [devices(0..2, 100), devices(2..3, 9)].concat();
        before.avoided.insert(ID.to_owned(), known);
        let found = [devices(1..2, 200), devices(3..4, 50), devices(4..5, 10)].concat();
        let seen = seen(vec![Report {
            avoided: found,
            ..report(ID)
        }]);
        let merged = at(10, &before, &seen).avoided.remove(ID).unwrap();
        let expected = [devices(0..1, 100), devices(1..2, 200), devices(3..4, 50)].concat();
        assert_eq!(merged, expected);
        // That others end is no reason to write.
        assert_eq!(at(60, &before, &Seen::default()), before);
    }

    #[test]
    fn known_devices_keep_their_places_in_all_trials_when_all_are_taken() {
        let all = u64::try_from(AVOIDED_MAX).unwrap();
        let mut before = state(RUNNING);
        before.records.push(record(OTHER, RUNNING));
        before.avoided = BTreeMap::from([
            (ID.to_owned(), devices(5000..5001, 100)),
            (OTHER.to_owned(), devices(5000..5010, 100)),
        ]);
        let seen = seen(vec![
            Report {
                avoided: devices(0..all, 100),
                ..report(ID)
            },
            Report {
                avoided: devices(0..3, 100),
                ..report(OTHER)
            },
        ]);
        let now = at(10, &before, &seen);
        let count: usize = now.avoided.values().map(Vec::len).sum();
        assert_eq!(count, AVOIDED_MAX);
        assert!(now.avoided[ID].contains(&devices(5000..5001, 100)[0]));
        assert_eq!(now.avoided[OTHER], devices(5000..5010, 100));
        // Full, and nothing is written again.
        assert_eq!(at(60, &now, &seen), now);
        // Places become free when devices end.
        let later = now.at.unwrap().checked_add(SignedDuration::from_secs(100));
        let input = Input {
            seen: &seen,
            settings: &settings(),
            command: None,
            shown: &BTreeSet::new(),
            now: later.unwrap(),
        };
        assert_eq!(
            advance(&now, &input),
            now,
            "those that are said have ended, too"
        );
    }
}
