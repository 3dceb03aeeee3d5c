//! Computes the events for a change of the status. It must not repeat an event.

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

/// Returns the events for a change of the status: conditions that changed, and certificates that were loaded.
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
    notices
}

/// Returns the event of one condition, if its change deserves one.
fn notice(before: Option<&Condition>, now: &Condition) -> Option<Notice> {
    let is_about = |type_: ConditionType| now.type_ == type_.name();
    let is = |status: Status| now.status == status.name();
    // Valid with a warning, of which there may be several.
    let is_doubtful =
        is_about(ConditionType::CertificateValid) && is(Status::True) && now.reason != now.type_;
    let unchanged = before.is_some_and(|before| {
        (&before.status, &before.reason) == (&now.status, &now.reason)
            && (!is_doubtful || before.message == now.message)
    });
    let is_ready = is_about(ConditionType::Ready);
    let is_warning = is(Status::False) || is_doubtful;
    // `Available` changes with every pod, and `Ready` repeats the condition that made it false.
    let is_redundant = is_about(ConditionType::Available) || (is_ready && is_warning);
    let was_wrong = before.is_some_and(|before| before.status == Status::False.name());
    let is_news = is_warning || (is(Status::True) && (was_wrong || is_ready));
    if unchanged || is_redundant || !is_news {
        return None;
    }
    Some(Notice {
        is_warning,
        reason: now.reason.clone(),
        message: now.message.clone(),
    })
}
