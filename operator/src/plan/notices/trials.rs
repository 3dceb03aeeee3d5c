//! Events of trials, one for each that begins, is held, is rolled back or ends: the condition `Trial` is about all of them, and need not
//! change when another one does. It must not repeat what the condition says to do.

use super::Notice;
use crate::crd::{MqttTlsListenerStatus, TrialCounts, TrialState, TrialStatus};
use crate::plan::reason::{ConditionType, Reason};

/// Returns the events for a change of the trials.
pub(super) fn notices<'n>(
    before: Option<&'n MqttTlsListenerStatus>,
    now: &'n MqttTlsListenerStatus,
) -> impl Iterator<Item = Notice> + 'n {
    let before = before.map_or(&[][..], |before| &before.trials);
    let changed = now
        .trials
        .iter()
        .filter_map(|trial| changed(of(before, trial), trial));
    // Another trial of the same Secret takes the place of the one before.
    let goes_on = |trial: &TrialStatus| {
        let mut trials = now.trials.iter();
        trials.any(|one| one.secret_name == trial.secret_name)
    };
    let ended = before.iter();
    let ended = ended.filter(move |trial| trial.id.is_some() && !goes_on(trial));
    changed.chain(ended.map(ended_now))
}

/// Returns the same trial in a status.
fn of<'t>(trials: &'t [TrialStatus], trial: &TrialStatus) -> Option<&'t TrialStatus> {
    let mut trials = trials.iter();
    trials.find(|one| one.id.is_some() && one.id == trial.id)
}

fn changed(before: Option<&TrialStatus>, now: &TrialStatus) -> Option<Notice> {
    let (name, id) = (&now.secret_name, now.id.as_deref()?);
    let was = before.map(|before| before.state);
    let (is_warning, reason, what) = match (was, now.state) {
        (was, now) if was == Some(now) => return None,
        (_, TrialState::Waiting) | (Some(TrialState::Held), TrialState::Running) => return None,
        (_, TrialState::RolledBack) => {
            let (renewed, previous) = (aborted(now.renewed), aborted(now.previous));
            let what = format!(
                "was rolled back: {renewed} with the renewed certificate, and {previous} with the previous one"
            );
            (true, Reason::RolledBack, what)
        }
        (_, TrialState::Held) => (false, Reason::TrialHeld, "is held".to_owned()),
        (_, TrialState::Running) => {
            let changes = now.changes.join(", ");
            let what = format!("of the renewed certificate ({changes}) begins");
            (false, Reason::TrialRunning, what)
        }
    };
    Some(Notice {
        is_warning,
        reason: reason.name().to_owned(),
        message: format!(
            "Secret {name}: trial {id} {what}; see {}",
            ConditionType::Trial.name()
        ),
    })
}

fn ended_now(trial: &TrialStatus) -> Notice {
    let (name, id) = (&trial.secret_name, trial.id.as_deref().unwrap_or_default());
    Notice {
        is_warning: false,
        reason: Reason::TrialEnded.name().to_owned(),
        message: format!(
            "Secret {name}: trial {id} has ended; all devices get the same certificate"
        ),
    }
}

fn aborted(counts: TrialCounts) -> String {
    let all = counts.served.saturating_add(counts.aborted);
    format!("{} of {all} handshakes aborted", counts.aborted)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{MqttTlsListenerStatus, TrialCounts, TrialState, TrialStatus, notices};

    fn trial(id: &str, state: TrialState) -> TrialStatus {
        let counts = |aborted| TrialCounts {
            served: 40,
            aborted,
            confirmed: 0,
        };
        TrialStatus {
            id: Some(id.to_owned()).filter(|id| !id.is_empty()),
            secret_name: "edge-tls".to_owned(),
            state,
            percent: 1,
            since: None,
            until: None,
            changes: vec!["another root".to_owned()],
            fingerprint: None,
            issuer: None,
            not_after: None,
            renewed: counts(3),
            previous: counts(0),
            alerts: BTreeMap::new(),
            forecast_percent: None,
        }
    }

    fn status(trials: &[(&str, TrialState)]) -> MqttTlsListenerStatus {
        let trials = trials.iter().map(|(id, state)| trial(id, *state));
        MqttTlsListenerStatus {
            trials: trials.collect(),
            ..MqttTlsListenerStatus::default()
        }
    }

    /// The reasons and trials of the events, with a `!` for warnings.
    fn said(before: &[(&str, TrialState)], now: &[(&str, TrialState)]) -> Vec<String> {
        let (before, now) = (status(before), status(now));
        let found = notices(Some(&before), &now);
        found
            .map(|one| {
                let id = one
                    .message
                    .split("trial ")
                    .nth(1)
                    .unwrap()
                    .split(' ')
                    .next()
                    .unwrap();
                format!(
                    "{}{} {id}",
                    one.reason,
                    if one.is_warning { "!" } else { "" }
                )
            })
            .collect()
    }

    #[test]
    fn each_trial_has_its_own_events() {
        use TrialState::{Held, RolledBack, Running, Waiting};
        for (before, now, expected) in [
            (&[][..], &[("a", Running)][..], &["TrialRunning a"][..]),
            (
                &[("a", Running)],
                &[("a", Running), ("b", Running)],
                &["TrialRunning b"],
            ),
            (
                &[("a", RolledBack), ("b", Running)],
                &[("a", RolledBack), ("b", RolledBack)],
                &["RolledBack! b"],
            ),
            (&[("a", RolledBack)], &[("b", Running)], &["TrialRunning b"]),
            (&[("a", Running)], &[("a", Held)], &["TrialHeld a"]),
            (&[("a", Held)], &[("a", Running)], &[]),
            (&[("a", Held)], &[("a", RolledBack)], &["RolledBack! a"]),
            (&[("", Waiting)], &[("a", Running)], &["TrialRunning a"]),
            (&[("a", Running)], &[("a", Waiting)], &[]),
            (&[("a", Running)], &[], &["TrialEnded a"]),
            (&[("", Waiting)], &[], &[]),
        ] {
            assert_eq!(said(before, now), expected, "{before:?}, {now:?}");
            assert!(said(now, now).is_empty());
        }
        let now = status(&[("a", RolledBack)]);
        let message = notices(None, &now).next().unwrap().message;
        assert_eq!(
            message,
            "Secret edge-tls: trial a was rolled back: 3 of 43 handshakes aborted with the renewed certificate, and 0 of 40 handshakes aborted \
             with the previous one; see Trial"
        );
    }
}
