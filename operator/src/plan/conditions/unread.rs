//! The status when a related object cannot be read, so that nothing can be planned.
//!
//! Existing objects are left unchanged. Conditions without new information are kept, with the generation that they
//! describe; those that depend on the read, and `Ready`, report the failure. It must not judge anything else.

use jiff::Timestamp;

use super::finding::{Finding, Status, find};
use super::{accepted, kstatus, ready};
use crate::crd::{MqttTlsListener, MqttTlsListenerStatus};
use crate::kinds::{Target, Verb};
use crate::plan::environment::Environment;
use crate::plan::listener;
use crate::plan::names::Identity;
use crate::plan::problem::Problem;
use crate::plan::reason::{ConditionType, Reason};

/// Number of consecutive failed reads after which a temporary failure is reported. A restart of the API server must
/// not make a condition false.
const FAILURES_MAX: u32 = 3;

/// A read that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The condition that depends on it.
    pub about: ConditionType,
    /// The verb.
    pub verb: Verb,
    /// The object.
    pub target: Target,
    /// The error with its causes.
    pub message: String,
    /// Whether the operator lacks the permission.
    pub is_forbidden: bool,
    /// Whether a quick retry is pointless.
    pub is_lasting: bool,
    /// Number of consecutive failed reconciliations of this listener before this one.
    pub failures: u32,
}

/// Returns the problem of a failed read, if it must be reported already.
pub fn problem(failure: &Failure) -> Option<Problem> {
    let Failure {
        about,
        verb,
        target,
        message,
        is_forbidden,
        is_lasting,
        failures,
    } = failure;
    if !is_lasting && failures.saturating_add(1) < FAILURES_MAX {
        return None;
    }
    let kept = "existing objects are left unchanged; retrying";
    let (reason, message) = if *is_forbidden {
        let resource = target.kind.plural();
        let message = format!(
            "the operator is not allowed to {verb} {target}: grant its service account the verb `{verb}` on \
             `{resource}` in this namespace; {kept}"
        );
        (Reason::Forbidden, message)
    } else {
        (Reason::ReadFailed, format!("{message}; {kept}"))
    };
    Some(Problem {
        about: *about,
        reason,
        message,
    })
}

/// Returns the listener's status with this problem.
pub fn status(
    listener: &MqttTlsListener,
    problem: Problem,
    environment: &Environment,
    now: Timestamp,
) -> MqttTlsListenerStatus {
    let identity = Identity::of(listener);
    let (generation, selector) = (identity.generation, identity.selector_text());
    let before = listener.status.as_ref();
    let about = problem.about;
    // The spec is judged without other objects.
    let mut problems = listener::parse(listener, environment)
        .err()
        .unwrap_or_default();
    problems.push(problem);
    let wrong = Finding::of_problems(about, &problems.iter());
    let wrong = wrong.map(|wrong| wrong.steady(generation, before));
    let mut findings = Vec::new();
    let mut conditions = Vec::new();
    for type_ in ConditionType::JUDGED {
        let finding = if type_ == ConditionType::Accepted {
            accepted::of_problems(&problems)
        } else if let Some(wrong) = wrong.as_ref().filter(|wrong| wrong.type_ == type_) {
            wrong.clone()
        } else if let Some(kept) = before.and_then(|before| find(before, type_)) {
            findings.push(Finding::kept(type_, kept));
            conditions.push(kept.clone());
            continue;
        } else {
            let message = "objects that this condition depends on could not be read yet";
            Finding::new(type_, Status::Unknown, Reason::NotRead, message)
        };
        conditions.push(finding.condition(before, generation, now));
        findings.push(finding);
    }
    let trial = before.and_then(|before| find(before, ConditionType::Trial));
    conditions.extend(trial.cloned());
    let derived = [Some(ready::find(&findings)), kstatus::find(&findings)];
    let derived = derived.iter().flatten();
    conditions.extend(derived.map(|finding| finding.condition(before, generation, now)));
    MqttTlsListenerStatus {
        observed_generation: generation,
        conditions,
        selector: Some(selector),
        ..before.cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
    use serde_json::json;

    use super::{ConditionType, Environment, FAILURES_MAX, Failure, Reason, find, problem, status};
    use crate::crd::{MqttTlsListener, MqttTlsListenerStatus};
    use crate::kinds::{Kind, Target, Verb};

    fn forbidden() -> Failure {
        Failure {
            about: ConditionType::ResolvedRefs,
            verb: Verb::Get,
            target: Target::one(Kind::Secret, "edge-tls"),
            message: "get Secret edge-tls was refused".to_owned(),
            is_forbidden: true,
            is_lasting: true,
            failures: 0,
        }
    }

    fn environment() -> Environment {
        let (image, domain) = ("a".to_owned(), "cluster.local".to_owned());
        Environment::cluster(image, domain, Duration::from_secs(30))
    }

    fn listener(generation: i64, status: Option<&MqttTlsListenerStatus>) -> MqttTlsListener {
        let listener = json!({
            "metadata": {"name": "edge", "namespace": "iot", "uid": "u", "generation": generation},
            "spec": {"certificates": [{"secretRef": {"name": "edge-tls"}}],
                     "backend": {"address": {"host": "b"}}},
            "status": status,
        });
        serde_json::from_value(listener).unwrap()
    }

    fn said(status: &MqttTlsListenerStatus, type_: ConditionType) -> (String, String, Option<i64>) {
        let Condition {
            status,
            reason,
            observed_generation,
            ..
        } = find(status, type_).unwrap().clone();
        (status, reason, observed_generation)
    }

    #[test]
    fn a_missing_permission_is_reported_at_once() {
        let of = |kind| Target::one(kind, "a");
        for (verb, target, named) in [
            (Verb::Get, of(Kind::Secret), "`get` on `secrets`"),
            (Verb::List, Target::of(Kind::Pod, "a"), "`list` on `pods`"),
            (
                Verb::Get,
                of(Kind::PodDisruptionBudget),
                "`get` on `poddisruptionbudgets`",
            ),
        ] {
            let failure = Failure {
                verb,
                target,
                ..forbidden()
            };
            let problem = problem(&failure).unwrap();
            assert_eq!(problem.reason, Reason::Forbidden);
            assert!(problem.message.contains(named), "{}", problem.message);
        }
    }

    #[test]
    fn a_temporary_failure_is_reported_only_if_it_persists() {
        let failure = |failures| Failure {
            is_forbidden: false,
            is_lasting: false,
            failures,
            ..forbidden()
        };
        assert_eq!(problem(&failure(0)), None);
        assert_eq!(problem(&failure(FAILURES_MAX - 2)), None);
        let problem = problem(&failure(FAILURES_MAX - 1)).unwrap();
        assert_eq!(problem.reason, Reason::ReadFailed);
        assert!(
            problem.message.contains("was refused"),
            "{}",
            problem.message
        );
    }

    #[test]
    fn conditions_without_information_are_unknown() {
        let (new, now) = (listener(1, None), Timestamp::UNIX_EPOCH);
        let status = status(&new, problem(&forbidden()).unwrap(), &environment(), now);
        let is = |status: &str, reason: &str| (status.to_owned(), reason.to_owned(), Some(1));
        assert_eq!(
            said(&status, ConditionType::Accepted),
            is("True", "Accepted")
        );
        assert_eq!(
            said(&status, ConditionType::ResolvedRefs),
            is("False", "Forbidden")
        );
        assert_eq!(
            said(&status, ConditionType::Programmed),
            is("Unknown", "NotRead")
        );
        assert_eq!(
            said(&status, ConditionType::Ready),
            is("False", "Forbidden")
        );
        assert_eq!(status.conditions.len(), ConditionType::JUDGED.len() + 1);
    }

    #[test]
    fn known_conditions_are_kept_and_a_repetition_changes_nothing() {
        let now = Timestamp::UNIX_EPOCH;
        let about_pods = Failure {
            about: ConditionType::Programmed,
            ..forbidden()
        };
        let first = status(
            &listener(1, None),
            problem(&about_pods).unwrap(),
            &environment(),
            now,
        );
        let problem = problem(&forbidden()).unwrap();
        let second = status(
            &listener(2, Some(&first)),
            problem.clone(),
            &environment(),
            now,
        );
        // The condition about the children describes the previous generation.
        let programmed = ("False".to_owned(), "Forbidden".to_owned(), Some(1));
        assert_eq!(said(&second, ConditionType::Programmed), programmed);
        let resolved = ("False".to_owned(), "Forbidden".to_owned(), Some(2));
        assert_eq!(said(&second, ConditionType::ResolvedRefs), resolved);
        let later = now + Duration::from_secs(9);
        assert_eq!(
            status(&listener(2, Some(&second)), problem, &environment(), later),
            second
        );
    }
}
