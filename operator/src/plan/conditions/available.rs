//! `Available`: whether all wanted pods are ready and of the current template. It must not hide a rollout behind old
//! pods that still serve.

use super::finding::{Finding, Status, find as condition};
use super::judged::Judged;
use super::rollout::{Rollout, Witnesses};
use crate::plan::reason::{ConditionType, Reason};

const TYPE: ConditionType = ConditionType::Available;

pub(super) fn find(judged: &Judged<'_>) -> Finding {
    let finding = |status, reason, message: &str| Finding::new(TYPE, status, reason, message);
    let Some(witnesses) = judged.witnesses() else {
        let message = "there is no Deployment yet";
        return finding(Status::False, Reason::NoTerminators, message);
    };
    let Some(rollout) = Rollout::of(witnesses.deployment) else {
        let message = "the Deployment controller has not observed the latest change yet";
        return finding(Status::Unknown, Reason::Progressing, message);
    };
    if rollout.wanted == 0 {
        let message = "no pods are wanted, so nothing is served";
        return finding(Status::False, Reason::ScaledToZero, message);
    }
    let Rollout { wanted, ready, .. } = rollout;
    if rollout.is_complete() {
        let message = format!("{ready} of {wanted} pods are ready");
        return finding(Status::True, Reason::PodsAvailable, &message);
    }
    underway(judged, witnesses, rollout)
}

/// Explains a rollout that is not complete.
fn underway(judged: &Judged<'_>, witnesses: Witnesses<'_>, rollout: Rollout) -> Finding {
    let Rollout {
        wanted,
        ready,
        updated,
        old,
    } = rollout;
    let counted = if ready < wanted {
        format!("{ready} of {wanted} pods are ready")
    } else {
        format!("{updated} of {wanted} pods are updated, and {old} old pods serve")
    };
    let generation = witnesses.identity.generation;
    let before = judged.before.and_then(|before| condition(before, TYPE));
    let before = before.filter(|before| before.observed_generation == generation);
    if let Some(held) = witnesses.held() {
        let message = held.message(&counted, before);
        return Finding::new(TYPE, Status::False, held.reason, message);
    }
    if ready < wanted {
        let selector = witnesses.identity.selector_text();
        let message = format!("{counted}; see `kubectl describe pods -l {selector}`");
        return Finding::new(TYPE, Status::False, Reason::TooFewPods, message);
    }
    let message = format!("a rollout is in progress: {counted}");
    Finding::new(TYPE, Status::Unknown, Reason::Progressing, message)
}
