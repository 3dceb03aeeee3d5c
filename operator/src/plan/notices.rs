//! From one status to the next: what is worth an event. It must not say anything twice.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::conditions::finding::Status;
use super::reason::{ConditionType, Reason};
use crate::crd::MqttTlsListenerStatus;

/// Something that is worth an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Whether someone has to act.
    pub is_warning: bool,
    /// One word of a fixed set, in CamelCase.
    pub reason: String,
    /// What happened.
    pub message: String,
}

/// The events from one status to the next: what became wrong, what became right, what was loaded.
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

/// The event of one condition, if it changed and someone may want to know.
fn notice(before: Option<&Condition>, now: &Condition) -> Option<Notice> {
    let is_about = |type_: ConditionType| now.type_ == type_.name();
    let is = |status: Status| now.status == status.name();
    // Valid, and yet with a reason to look at it, of which there may be several.
    let is_doubtful =
        is_about(ConditionType::CertificateValid) && is(Status::True) && now.reason != now.type_;
    let unchanged = before.is_some_and(|before| {
        (&before.status, &before.reason) == (&now.status, &now.reason)
            && (!is_doubtful || before.message == now.message)
    });
    let is_ready = is_about(ConditionType::Ready);
    let is_warning = is(Status::False) || is_doubtful;
    // Pods come and go, and `Ready` repeats the condition that made it false.
    let is_said_elsewhere = is_about(ConditionType::Available) || (is_ready && is_warning);
    let was_wrong = before.is_some_and(|before| before.status == Status::False.name());
    let is_news = is_warning || (is(Status::True) && (was_wrong || is_ready));
    if unchanged || is_said_elsewhere || !is_news {
        return None;
    }
    Some(Notice {
        is_warning,
        reason: now.reason.clone(),
        message: now.message.clone(),
    })
}
