//! Events of trials, one for each that begins, is held, is rolled back or ends: the condition `Trial` is about all of them, and need not
//! change when another one does. It must not repeat what the condition says to do.

use super::Notice;
use crate::crd::{MqttTlsListenerStatus, TrialState, TrialStatus};
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
        trials.any(|one| one.id.is_some() && one.secret_name == trial.secret_name)
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
        (_, TrialState::RolledBack) => {
            let what = "was rolled back: all devices get the previous certificate";
            (true, Reason::RolledBack, what.to_owned())
        }
        (_, TrialState::Held) => (false, Reason::TrialHeld, "is held".to_owned()),
        (None, TrialState::Running) => {
            let changes = match &*now.changes {
                [] => String::new(),
                changes => format!(" ({})", changes.join(", ")),
            };
            let what = format!("of the renewed certificate{changes} begins");
            (false, Reason::TrialRunning, what)
        }
        (_, TrialState::Waiting) | (Some(_), TrialState::Running) => return None,
    };
    Some(Notice {
        is_warning,
        reason: reason.name().to_owned(),
        message: format!(
            "Secret {name}: trial {id} {what}; see the condition {}",
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{MqttTlsListenerStatus, TrialState, TrialStatus, notices};
    use crate::crd::TrialCounts;

    fn trial(id: &str, state: TrialState) -> TrialStatus {
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
            renewed: TrialCounts::default(),
            previous: TrialCounts::default(),
            alerts: BTreeMap::new(),
            unable: None,
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
            (&[("a", Waiting)], &[("a", Running)], &[]),
            (&[("a", Running)], &[("", Waiting)], &["TrialEnded a"]),
            (&[("a", Running)], &[], &["TrialEnded a"]),
            (&[("", Waiting)], &[], &[]),
        ] {
            assert_eq!(said(before, now), expected, "{before:?}, {now:?}");
            assert!(said(now, now).is_empty());
        }
        let now = status(&[("a", RolledBack)]);
        let message = notices(None, &now).next().unwrap().message;
        let expected = "Secret edge-tls: trial a was rolled back: all devices get the previous certificate; see the condition Trial";
        assert_eq!(message, expected);
    }
}
