//! `Ready`: whether all other conditions are true; the first false one, or else the first unknown one, gives the
//! reason. What pods could not be asked for does not count. It must not look at anything else.

use super::finding::{Finding, Status};
use crate::plan::reason::ConditionType;

pub(super) fn find(findings: &[Finding]) -> Finding {
    let type_ = ConditionType::Ready;
    let counts = |finding: &&Finding, status| {
        finding.status == status && (status == Status::False || !finding.type_.is_asked_of_pods())
    };
    let worst = [Status::False, Status::Unknown]
        .iter()
        .find_map(|status| findings.iter().find(|finding| counts(finding, *status)));
    match worst {
        Some(worst) => Finding {
            type_,
            message: format!("{}: {}", worst.type_.name(), worst.message),
            ..worst.clone()
        },
        None => Finding::holds(type_, "devices can connect"),
    }
}
