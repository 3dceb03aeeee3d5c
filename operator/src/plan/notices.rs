//! Computes the events for a change of the status. It must not repeat an event.

mod trials;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::conditions::finding::Status;
use super::reason::{ConditionType, Reason};
use crate::crd::MqttTlsListenerStatus;

/// An event to record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Whether the event is a warning.
    pub is_warning: bool,
    /// The reason, from a fixed set, in CamelCase.
    pub reason: String,
    /// The message.
    pub message: String,
}

/// Returns the events for a change of the status: conditions that changed, certificates that were loaded, and trials.
pub fn notices(before: Option<&MqttTlsListenerStatus>, now: &MqttTlsListenerStatus) -> Vec<Notice> {
    let mut notices = Vec::new();
    for certificate in &now.certificates {
        let known = before.is_some_and(|before| {
            before
                .certificates
                .iter()
                .any(|one| one.fingerprint == certificate.fingerprint)
        });
        if !known {
            notices.push(Notice {
                is_warning: false,
                reason: Reason::CertificateLoaded.name().to_owned(),
                message: format!(
                    "Secret {}: certificate for {}, valid until {}",
                    certificate.secret_name,
                    certificate.dns_names.join(", "),
                    certificate.not_after
                ),
            });
        }
    }
    for condition in &now.conditions {
        let before = before.and_then(|before| {
            let mut conditions = before.conditions.iter();
            conditions.find(|one| one.type_ == condition.type_)
        });
        notices.extend(notice(before, condition));
    }
    notices.extend(trials::notices(before, now));
    notices
}

/// Reasons that come and go with each listener or rollout, or that someone asked for.
const USUAL: [Reason; 4] = [
    Reason::AddressPending,
    Reason::NoTerminators,
    Reason::ScaledToZero,
    Reason::TooFewPods,
];

/// Returns the event of one condition, if its change deserves one.
fn notice(before: Option<&Condition>, now: &Condition) -> Option<Notice> {
    let is_about = |type_: ConditionType| now.type_ == type_.name();
    if is_about(ConditionType::Ready) {
        return readiness(before, now);
    }
    let others = [
        ConditionType::Reconciling,
        ConditionType::Stalled,
        ConditionType::Trial,
    ];
    if others.into_iter().any(is_about) {
        return None;
    }
    let is = |status: Status| now.status == status.name();
    // Valid with a warning, of which there may be several.
    let is_doubtful =
        is_about(ConditionType::CertificateValid) && is(Status::True) && now.reason != now.type_;
    let unchanged = before.is_some_and(|before| {
        (&before.status, &before.reason) == (&now.status, &now.reason)
            && (!is_doubtful || before.message == now.message)
    });
    // `Ready` reports that pods are ready again.
    let is_usual = (is_about(ConditionType::Available) && is(Status::True))
        || USUAL.iter().any(|usual| usual.name() == now.reason);
    let is_warning = is(Status::False) || is_doubtful;
    let was_wrong = before.is_some_and(|before| before.status == Status::False.name());
    let is_news = is_warning || (is(Status::True) && was_wrong);
    if unchanged || is_usual || !is_news {
        return None;
    }
    Some(Notice {
        is_warning,
        reason: now.reason.clone(),
        message: now.message.clone(),
    })
}

/// Returns the event when the listener becomes ready, or is no longer ready. A rollout is not a warning.
fn readiness(before: Option<&Condition>, now: &Condition) -> Option<Notice> {
    let is_true = |condition: &Condition| condition.status == Status::True.name();
    match (before.is_some_and(is_true), is_true(now)) {
        (false, true) => Some(Notice {
            is_warning: false,
            reason: Reason::Ready.name().to_owned(),
            message: now.message.clone(),
        }),
        (true, false) => Some(Notice {
            is_warning: now.status == Status::False.name(),
            reason: Reason::NotReady.name().to_owned(),
            message: format!("no longer ready: {}", now.message),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

    use super::{MqttTlsListenerStatus, notices};

    fn status(type_: &str, status: &str, reason: &str) -> MqttTlsListenerStatus {
        let condition = Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: "why".to_owned(),
            observed_generation: None,
            last_transition_time: Time(jiff::Timestamp::UNIX_EPOCH),
        };
        MqttTlsListenerStatus {
            conditions: vec![condition],
            ..MqttTlsListenerStatus::default()
        }
    }

    #[test]
    fn readiness_is_reported_both_ways_and_once_each() {
        let states = [
            ("Unknown", "Progressing"),
            ("False", "TooFewPods"),
            ("True", "Ready"),
            ("True", "Ready"),
            ("Unknown", "Progressing"),
            ("False", "CrashLoopBackOff"),
            ("True", "Ready"),
            ("False", "TooFewPods"),
        ];
        let mut before = None;
        let mut said = Vec::new();
        for (state, reason) in states {
            let now = status("Ready", state, reason);
            let notices = notices(before.as_ref(), &now);
            said.extend(notices.into_iter().map(|one| (one.reason, one.is_warning)));
            before = Some(now);
        }
        let said: Vec<(&str, bool)> = said.iter().map(|(one, two)| (&**one, *two)).collect();
        let (ready, progresses, fails) =
            (("Ready", false), ("NotReady", false), ("NotReady", true));
        assert_eq!(said, [ready, progresses, ready, fails]);
    }

    #[test]
    fn a_rollout_is_reported_only_if_something_holds_it_up() {
        let before = status("Available", "True", "PodsAvailable");
        for (state, reason, is_news) in [
            ("Unknown", "Progressing", false),
            ("False", "TooFewPods", false),
            ("False", "ScaledToZero", false),
            ("False", "CrashLoopBackOff", true),
            ("False", "ReplicaFailure", true),
        ] {
            let now = status("Available", state, reason);
            assert_eq!(
                !notices(Some(&before), &now).is_empty(),
                is_news,
                "{reason}"
            );
            assert!(notices(Some(&now), &now).is_empty());
            assert!(notices(Some(&now), &before).is_empty());
        }
        let stalled = status("Stalled", "True", "CrashLoopBackOff");
        assert!(notices(Some(&before), &stalled).is_empty());
    }
}
