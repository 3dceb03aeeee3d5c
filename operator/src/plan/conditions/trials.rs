//! `status.trials`: the renewed certificates that are tried, or were rolled back. Counts are those that are written, so that the status
//! changes no more often.

use super::judged::Judged;
use crate::crd::{TrialCounts, TrialState, TrialStatus, TrialUnable};
use crate::plan::trials::evidence::{Arm, OfShare};
use crate::plan::trials::stage::Standing;
use crate::plan::trials::state::{Counted, Phase};
use crate::plan::trials::tried::Shown;

/// Maximum number of trials in a status, as in its schema; those that need attention come first.
const TRIALS_MAX: usize = 128;

/// Returns a number that is less for a state that needs more attention.
pub(super) fn rank(state: TrialState) -> usize {
    match state {
        TrialState::RolledBack => 0,
        TrialState::Held => 1,
        TrialState::Waiting => 2,
        TrialState::Running => 3,
    }
}

/// Parts of a share in a percent.
const PERCENT: u16 = 100;

pub(super) fn trials(judged: &Judged<'_>) -> Vec<TrialStatus> {
    if !judged.is_written() {
        let before = judged.before.map(|before| before.trials.clone());
        return before.unwrap_or_default();
    }
    let mut all: Vec<TrialStatus> = judged.report.trials.shown.iter().map(trial).collect();
    all.sort_by_key(|one| rank(one.state));
    all.truncate(TRIALS_MAX);
    all
}

fn trial(shown: &Shown) -> TrialStatus {
    let record = shown.record.as_ref();
    let certificate = shown.certificate.as_ref();
    let since = record.and_then(|record| match record.phase {
        Phase::Running { since, .. } | Phase::RolledBack { since, .. } => Some(since),
        Phase::Promoted => None,
    });
    let counted = record.map(|record| &record.counted);
    let sum = |arm: fn(&OfShare) -> Arm| {
        counted
            .map(|counted| of_arm(counted, arm))
            .unwrap_or_default()
    };
    TrialStatus {
        id: record.map(|record| record.id.clone()),
        secret_name: shown.source.shown(),
        state: state(shown),
        percent: shown.share / PERCENT,
        since: since.map(|since| format!("{since:.0}")),
        until: record.map(|record| format!("{:.0}", record.until)),
        changes: shown.changes.clone(),
        fingerprint: certificate.map(|one| one.fingerprint.clone()),
        issuer: certificate.map(|one| one.issuer.clone()),
        not_after: certificate.map(|one| one.not_after.clone()),
        renewed: sum(|share| share.candidate),
        previous: sum(|share| share.current),
        alerts: counted
            .map(|counted| counted.alerts.clone())
            .unwrap_or_default(),
        unable: counted.and_then(unable),
        forecast_percent: shown.forecast,
    }
}

/// Returns the state of a trial.
pub(super) fn state(shown: &Shown) -> TrialState {
    let phase = shown.record.as_ref().map(|record| record.phase);
    match (&shown.standing, phase) {
        (_, Some(Phase::RolledBack { .. })) => TrialState::RolledBack,
        (Standing::Tried, _) if shown.hold.is_some() => TrialState::Held,
        (Standing::Tried, _) => TrialState::Running,
        _ => TrialState::Waiting,
    }
}

/// Adds the clients that cannot verify the renewed certificate over all shares; `None` without any.
pub(super) fn unable(counted: &Counted) -> Option<TrialUnable> {
    let of = |number: fn(&OfShare) -> u64| {
        let numbers = counted.shares.iter().map(number);
        numbers.fold(0, u64::saturating_add)
    };
    let unable = TrialUnable {
        connections: of(|share| share.unable),
        devices: of(|share| share.unable_devices),
    };
    (unable.connections > 0).then_some(unable)
}

/// Adds the counts of an arm over all shares.
pub(super) fn of_arm(counted: &Counted, arm: fn(&OfShare) -> Arm) -> TrialCounts {
    let arms = counted.shares.iter().map(arm);
    arms.fold(TrialCounts::default(), |sum, arm| TrialCounts {
        served: sum.served.saturating_add(arm.served),
        aborted: sum.aborted.saturating_add(arm.aborted),
        confirmed: sum.confirmed.saturating_add(arm.confirmed),
    })
}
