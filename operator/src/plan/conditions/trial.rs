//! `Trial`: where the trials of renewed certificates stand; absent without one. It must not decide how they go on.

use mqtt_tls_config::{SHARE_ALL, TRIALS_MAX};
use mqtt_tls_judge::escape::escaped;

use super::finding::{Finding, Status, find as find_condition};
use super::judged::Judged;
use super::trials::{of_arm, rank, state, unable};
use crate::crd::{TrialCounts, TrialState, TrialUnable};
use crate::plan::names::TRIAL;
use crate::plan::reason::{ConditionType, Reason};
use crate::plan::trials::advance::Hold;
use crate::plan::trials::command::Action;
use crate::plan::trials::stage::Standing;
use crate::plan::trials::state::{Phase, Why};
use crate::plan::trials::tried::{Ignored, Shown};

const TYPE: ConditionType = ConditionType::Trial;

/// Number of trials that the message is about; `status.trials` has all.
const SHOWN_MAX: usize = 3;

/// Maximum length of an ID that a user has written, in bytes.
const ID_SHOWN_MAX: usize = 64;

pub(super) fn find(judged: &Judged<'_>) -> Option<Finding> {
    if !judged.is_written() {
        let before = judged.before?;
        return find_condition(before, TYPE).map(|kept| Finding::kept(TYPE, kept));
    }
    let report = &judged.report.trials;
    let mut all: Vec<&Shown> = report.shown.iter().collect();
    all.sort_by_key(|one| rank(state(one)));
    let worst = state(all.first()?);
    let (status, reason) = match worst {
        TrialState::RolledBack => (Status::False, Reason::RolledBack),
        TrialState::Held => (Status::True, Reason::TrialHeld),
        TrialState::Waiting => (Status::Unknown, Reason::TrialWaiting),
        TrialState::Running => (Status::True, Reason::TrialRunning),
    };
    let identity = &judged.report.identity;
    let listener = format!("-n {} {}", identity.namespace, identity.name);
    let mut messages: Vec<String> = all
        .iter()
        .take(SHOWN_MAX)
        .map(|one| message(one, &listener))
        .collect();
    if all.len() > SHOWN_MAX {
        messages.push(format!("{} more in status.trials", all.len() - SHOWN_MAX));
    }
    messages.extend(ignored(&report.ignored));
    Some(Finding::new(TYPE, status, reason, messages.join("; ")))
}

/// Describes what a user has asked that changes nothing.
fn ignored(asked: &Ignored) -> Option<String> {
    match asked {
        Ignored::Nothing => None,
        Ignored::Malformed => {
            let actions = Action::ALL.map(|action| format!("{}:ID", action.word()));
            let actions = actions.join(", ");
            Some(format!("the annotation {TRIAL} is none of {actions}"))
        }
        Ignored::OtherTrial(id) => {
            let id = escaped(id, ID_SHOWN_MAX);
            Some(format!(
                "the annotation {TRIAL} names {id}, which is none of these: it was done before, or the ID is mistyped"
            ))
        }
    }
}

/// Describes a trial.
fn message(shown: &Shown, listener: &str) -> String {
    let changes = if shown.changes.is_empty() {
        String::new()
    } else {
        format!(" ({})", shown.changes.join(", "))
    };
    let renewed = format!("{}: the renewed certificate{changes}", shown.source);
    let until = shown
        .record
        .as_ref()
        .map_or_else(String::new, |record| format!(" until {:.0}", record.until));
    let previous = format!("all devices get the previous one{until}");
    match (&shown.standing, shown.record.as_ref().map(|one| one.phase)) {
        (_, Some(Phase::RolledBack { why, .. })) => {
            let what = match why {
                Why::Worse => format!(
                    "is refused by devices that take the previous one{}",
                    counts(shown)
                ),
                Why::Ended => "was taken back, because its trial was ended".to_owned(),
                Why::Other => "was taken back by another release of the operator".to_owned(),
            };
            let id = shown.record.as_ref().map_or("", |one| &one.id);
            format!(
                "{renewed} {what}; {previous}, and then this one. Correct the issuer, or run `kubectl annotate mtl {listener} --overwrite {TRIAL}={}:{id}` to try \
                 it again, or with {}:{id} to serve it to all",
                Action::Resume.word(),
                Action::Skip.word()
            )
        }
        (Standing::Tried, Some(Phase::Running { since, .. })) => {
            let id = shown.record.as_ref().map_or("", |one| &one.id);
            let held = shown.hold.map(|hold| {
                let why = match hold {
                    Hold::Full => "a pod can remember no further device that aborts".to_owned(),
                    Hold::Unable => unable_of(shown)
                        .unwrap_or_else(|| "devices cannot verify its key".to_owned()),
                    Hold::Doubtful if shown.share >= SHARE_ALL => {
                        "more devices abort on it than did on the previous one, and at 100 % there is nothing to compare with"
                            .to_owned()
                    }
                    Hold::Doubtful => {
                        "devices seem to refuse it, which so few handshakes do not prove".to_owned()
                    }
                };
                let (end, skip) = (Action::End.word(), Action::Skip.word());
                format!(
                    "; it is held, because {why}. Wait, or run `kubectl annotate mtl {listener} --overwrite {TRIAL}={end}:{id}` to take it back, \
                     or with {skip}:{id} to serve it to all"
                )
            });
            let held = held.unwrap_or_default();
            let percent = shown.share / 100;
            format!(
                "{renewed} is served in {percent} % of the full handshakes since {since:.0}, trial {id}{held}"
            )
        }
        (Standing::OldPod(pod), _) => format!(
            "{renewed} waits: pod {pod} was started by an earlier release and cannot try it; it begins when the rollout has replaced that \
             pod (see Available); {previous}"
        ),
        (Standing::TooLarge, _) => format!(
            "{renewed} waits: the configuration with both would not fit into a Secret; reference fewer or smaller certificates, or set \
             spec.trial.strategy to Immediate to serve it to all without a trial; {previous}"
        ),
        (Standing::Unusable, _) => format!("{renewed} cannot be read at present; {previous}"),
        (Standing::Waits | Standing::Tried | Standing::RolledBack, _) => {
            format!("{renewed} waits: {TRIALS_MAX} other trials have begun; {previous}")
        }
    }
}

/// Describes what was counted, unless an upgrade has lost that.
fn counts(shown: &Shown) -> String {
    let counted = shown.record.as_ref();
    let Some(record) = counted.filter(|one| !one.counted.shares.is_empty()) else {
        return String::new();
    };
    let renewed = of_arm(&record.counted, |share| share.candidate);
    let previous = of_arm(&record.counted, |share| share.current);
    let alerts = record.counted.alerts.iter();
    let alerts: Vec<String> = alerts
        .map(|(alert, count)| format!("{} {count}", abort(alert)))
        .collect();
    let alerts = if alerts.is_empty() {
        String::new()
    } else {
        format!(" ({})", alerts.join(", "))
    };
    let unable = unable_of(shown);
    let unable = unable.map_or_else(String::new, |unable| format!(", {unable}"));
    format!(
        ": {} with it{alerts}{unable}, and {} with the previous one",
        aborted(renewed),
        aborted(previous)
    )
}

/// Describes the clients that cannot verify the certificate, if there are any.
fn unable_of(shown: &Shown) -> Option<String> {
    let unable = unable(&shown.record.as_ref()?.counted)?;
    let plural = |number| if number == 1 { "" } else { "s" };
    let TrialUnable {
        connections,
        devices,
    } = unable;
    Some(format!(
        "{devices} device{} cannot verify its key ({connections} connection{})",
        plural(devices),
        plural(connections)
    ))
}

/// Describes how devices aborted, if that is no alert.
fn abort(name: &str) -> &str {
    match name {
        "cut" => "closed without an alert",
        "timeout" => "stopped",
        "no_first_packet" => "no first packet",
        other => other,
    }
}

fn aborted(counts: TrialCounts) -> String {
    let all = counts.served.saturating_add(counts.aborted);
    format!("{} of {all} handshakes aborted", counts.aborted)
}
