//! `Reconciling` and `Stalled`, as the library kstatus reads them: true, or absent. That library believes the first of
//! the two, so at most one is set. They repeat another condition, and must not be derived from anything else.

use super::finding::{Finding, Status};
use crate::plan::reason::{ConditionType, Reason};

/// Reasons of a condition that is not true but becomes so without anyone's help.
const PASSING: [Reason; 13] = [
    Reason::AddressPending,
    Reason::BeingDeleted,
    Reason::Conflict,
    Reason::NoTerminators,
    Reason::NotServedYet,
    Reason::PortOpening,
    Reason::Progressing,
    Reason::ReadFailed,
    Reason::TimedOut,
    Reason::TooFewPods,
    Reason::Unanswered,
    Reason::Unreadable,
    // A node may be added.
    Reason::Unschedulable,
];

/// Reasons of a condition that depends on another one or on other objects, or is as wanted.
const NEITHER: [Reason; 4] = [
    Reason::NotAccepted,
    Reason::NotRead,
    Reason::NotRendered,
    Reason::ScaledToZero,
];

/// The conditions that tell whether a change goes on. Referenced objects may appear at any time, and certificates expire
/// without a change.
const ABOUT_CHANGES: [ConditionType; 4] = [
    ConditionType::Accepted,
    ConditionType::Programmed,
    ConditionType::Available,
    ConditionType::CertificateServed,
];

/// Returns the one that is true, if any.
pub(super) fn find(findings: &[Finding]) -> Option<Finding> {
    let stalled = findings.iter().find(|finding| is_stalled(finding));
    let passing = || findings.iter().find(|finding| is_passing(finding));
    let (type_, cause) = match stalled {
        Some(stalled) => (ConditionType::Stalled, stalled),
        None => (ConditionType::Reconciling, passing()?),
    };
    Some(Finding {
        type_,
        status: Status::True,
        reason: cause.reason.clone(),
        message: format!("{}: {}", cause.type_.name(), cause.message),
    })
}

fn is_passing(finding: &Finding) -> bool {
    finding.status != Status::True && is_about_changes(finding) && is_one(finding, &PASSING)
}

fn is_stalled(finding: &Finding) -> bool {
    let goes_on = is_one(finding, &PASSING) || is_one(finding, &NEITHER);
    finding.status == Status::False && is_about_changes(finding) && !goes_on
}

fn is_about_changes(finding: &Finding) -> bool {
    ABOUT_CHANGES.contains(&finding.type_)
}

fn is_one(finding: &Finding, reasons: &[Reason]) -> bool {
    reasons.iter().any(|reason| reason.name() == finding.reason)
}

#[cfg(test)]
mod tests {
    use super::{ConditionType, Finding, Reason, Status, find};

    fn said(findings: &[Finding]) -> Option<(&'static str, String)> {
        let found = find(findings)?;
        assert_eq!(found.status, Status::True);
        Some((found.type_.name(), found.reason))
    }

    #[test]
    fn at_most_one_is_set_and_only_while_something_changes() {
        let holds = |type_| Finding::holds(type_, "");
        let wrong = |type_, status, reason| Finding::new(type_, status, reason, "why");
        let (accepted, programmed) = (ConditionType::Accepted, ConditionType::Programmed);
        let available = ConditionType::Available;
        let all = [holds(accepted), holds(programmed), holds(available)];
        assert_eq!(said(&all), None);
        let progresses = wrong(available, Status::Unknown, Reason::Progressing);
        let reconciling = Some(("Reconciling", "Progressing".to_owned()));
        assert_eq!(said(&[holds(programmed), progresses.clone()]), reconciling);
        let crashes = wrong(available, Status::False, Reason::CrashLoopBackOff);
        let stalled = Some(("Stalled", "CrashLoopBackOff".to_owned()));
        let waits = wrong(programmed, Status::False, Reason::AddressPending);
        assert_eq!(said(&[waits, crashes]), stalled);
        let behind = wrong(
            ConditionType::CertificateServed,
            Status::False,
            Reason::NotServedYet,
        );
        let reconciling = Some(("Reconciling", "NotServedYet".to_owned()));
        assert_eq!(said(&[holds(available), behind]), reconciling);
        let refused = wrong(programmed, Status::False, Reason::Invalid);
        let stalled = Some(("Stalled", "Invalid".to_owned()));
        assert_eq!(said(&[refused, progresses]), stalled);
        // Neither: a Secret may appear at any time, and nothing was asked for.
        let missing = wrong(
            ConditionType::ResolvedRefs,
            Status::False,
            Reason::SecretNotFound,
        );
        let none = wrong(available, Status::False, Reason::ScaledToZero);
        let kept = wrong(programmed, Status::False, Reason::NotRendered);
        assert_eq!(said(&[missing, kept, none]), None);
    }
}
