//! What is said when something around a listener cannot be read, so that nothing can be planned.
//!
//! What serves goes on as it is. The conditions that nothing new is known about stay as they were, each with
//! the generation that it was judged for; those that depend on the read, and `Ready`, say what is wrong.

use jiff::Timestamp;

use super::finding::{Finding, Status, find};
use super::{accepted, ready};
use crate::crd::{MqttTlsListener, MqttTlsListenerStatus};
use crate::kinds::{Target, Verb};
use crate::plan::environment::Environment;
use crate::plan::listener;
use crate::plan::names::Identity;
use crate::plan::problem::Problem;
use crate::plan::reason::{ConditionType, Reason};

/// How often in a row a read may fail before it is reported, if nothing has to be done about it first. An API
/// server that restarts makes no condition false.
const FAILURES_MAX: u32 = 3;

/// A read that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The condition that depends on it.
    pub about: ConditionType,
    /// What was tried.
    pub verb: Verb,
    /// On which object.
    pub target: Target,
    /// The error with its causes.
    pub message: String,
    /// Whether the operator lacks the right.
    pub is_forbidden: bool,
    /// Whether trying again soon is pointless.
    pub is_lasting: bool,
    /// How often reconciling this listener failed before this, in a row.
    pub failures: u32,
}

/// What there is to say about a failed read, if it is time to say it.
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
    let kept = "what serves stays as it is, and this is tried again";
    let (reason, message) = if *is_forbidden {
        let resource = target.kind.plural();
        let message = format!(
            "the operator may not {verb} {target}: give its service account the verb `{verb}` on \
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

/// The listener's status with this problem.
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
    // The spec can be judged without anything else.
    let mut problems = listener::parse(listener, environment)
        .err()
        .unwrap_or_default();
    problems.push(problem);
    let wrong = Finding::of_problems(about, &problems.iter());
    let wrong = wrong.map(|wrong| wrong.steady(generation, before));
    let mut findings = Vec::new();
    let mut conditions = Vec::new();
    let types = ConditionType::ALL.into_iter();
    for type_ in types.filter(|type_| *type_ != ConditionType::Ready) {
        let finding = if type_ == ConditionType::Accepted {
            accepted::of_problems(&problems)
        } else if let Some(wrong) = wrong.as_ref().filter(|wrong| wrong.type_ == type_) {
            wrong.clone()
        } else if let Some(kept) = before.and_then(|before| find(before, type_)) {
            findings.push(Finding::kept(type_, kept));
            conditions.push(kept.clone());
            continue;
        } else {
            let message = "not everything that this depends on could be read yet";
            Finding::new(type_, Status::Unknown, Reason::NotRead, message)
        };
        conditions.push(finding.condition(before, generation, now));
        findings.push(finding);
    }
    conditions.push(ready::find(&findings).condition(before, generation, now));
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
    fn a_missing_right_is_reported_at_once_and_by_its_name() {
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
    fn what_may_pass_is_reported_when_it_stays() {
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
    fn what_was_never_known_is_unknown() {
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
        assert_eq!(status.conditions.len(), 6);
    }

    #[test]
    fn what_was_known_stays_and_again_changes_nothing() {
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
        // What it said about the children is of the generation before.
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
