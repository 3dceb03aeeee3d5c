//! From one status to the next: what is worth an event. It must not say anything twice.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::conditions::{FALSE, TRUE, find};
use crate::crd::MqttTlsListenerStatus;

/// Something to tell as an event.
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
                reason: "CertificateLoaded".to_owned(),
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
        let before = before.and_then(|before| find(before, &condition.type_));
        notices.extend(notice(before, condition));
    }
    notices
}

/// The event of one condition, if it changed and someone may want to know.
fn notice(before: Option<&Condition>, now: &Condition) -> Option<Notice> {
    // Valid, and yet with a reason to look at it, of which there may be several.
    let is_doubtful =
        now.type_ == "CertificateValid" && now.status == TRUE && now.reason != now.type_;
    let unchanged = before.is_some_and(|before| {
        (&before.status, &before.reason) == (&now.status, &now.reason)
            && (!is_doubtful || before.message == now.message)
    });
    let is_ready = now.type_ == "Ready";
    let is_warning = now.status == FALSE || is_doubtful;
    // Pods come and go, and `Ready` repeats the condition that made it false.
    let is_told_elsewhere = now.type_ == "Available" || (is_ready && is_warning);
    let was_wrong = before.is_some_and(|before| before.status == FALSE);
    let is_news = is_warning || (now.status == TRUE && (was_wrong || is_ready));
    if unchanged || is_told_elsewhere || !is_news {
        return None;
    }
    Some(Notice {
        is_warning,
        reason: now.reason.clone(),
        message: now.message.clone(),
    })
}
