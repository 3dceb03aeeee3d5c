//! What is said when something around a listener cannot be read, so that nothing can be planned.
//!
//! What serves goes on as it is. The conditions that nothing new is known about stay as they were, each with
//! the generation that it was judged for; those that depend on the read, and `Ready`, say what is wrong.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::conditions::{
    ACCEPTED, FALSE, Finding, TRUE, UNKNOWN, by_problems, condition, find, name, ready, steady,
};
use super::names::Identity;
use super::{About, Problem, Settings, listener};
use crate::crd::{MqttTlsListener, MqttTlsListenerStatus};

/// How often in a row a read may fail before it is told, if nobody has to do something about it first. An API
/// server that restarts makes no condition false.
const FAILURES_MAX: u32 = 3;

/// All conditions but `Ready`, in their order.
const TYPES: [&str; 5] = [
    "Accepted",
    "ResolvedRefs",
    "CertificateValid",
    "Programmed",
    "Available",
];

/// A read that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The condition that depends on it.
    pub about: About,
    /// What was tried.
    pub verb: &'static str,
    /// On which object: kind and name.
    pub object: String,
    /// The error with its causes.
    pub told: String,
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
        object,
        told,
        is_forbidden,
        is_lasting,
        failures,
    } = failure;
    if !is_lasting && failures.saturating_add(1) < FAILURES_MAX {
        return None;
    }
    let kept = "what serves stays as it is, and this is tried again";
    let (reason, message) = if *is_forbidden {
        let kind = object
            .split(' ')
            .next()
            .unwrap_or_default()
            .trim_end_matches('s');
        let resource = format!("{}s", kind.to_lowercase());
        let message = format!(
            "the operator may not {verb} {object}: give its service account the verb `{verb}` on \
             `{resource}` in this namespace; {kept}"
        );
        ("Forbidden", message)
    } else {
        ("ReadFailed", format!("{told}; {kept}"))
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
    settings: &Settings,
    now: Timestamp,
) -> MqttTlsListenerStatus {
    let identity = Identity::of(listener);
    let (generation, selector) = (identity.generation, identity.selector_text());
    let before = listener.status.as_ref();
    let about = problem.about;
    // The spec can be judged without anything else.
    let mut problems = listener::parse(listener, settings)
        .err()
        .unwrap_or_default();
    problems.push(problem);
    let mut findings = Vec::new();
    let mut conditions = Vec::new();
    for type_ in TYPES {
        let kept = before.and_then(|before| find(before, type_));
        let finding = if type_ == name(About::Accepted) {
            by_problems(&problems, About::Accepted, ACCEPTED)
        } else if type_ == name(about) {
            let finding = by_problems(&problems, about, "");
            let message = steady(&finding.message, type_, generation, before);
            Finding { message, ..finding }
        } else if let Some(kept) = kept {
            findings.push(last_known(type_, kept));
            conditions.push(kept.clone());
            continue;
        } else {
            unknown(type_)
        };
        conditions.push(condition(&finding, before, generation, now));
        findings.push(finding);
    }
    conditions.push(condition(&ready(&findings), before, generation, now));
    MqttTlsListenerStatus {
        observed_generation: generation,
        conditions,
        selector: Some(selector),
        ..before.cloned().unwrap_or_default()
    }
}

/// A condition that nothing new is known about.
fn last_known(type_: &'static str, kept: &Condition) -> Finding {
    let status = match kept.status.as_str() {
        TRUE => TRUE,
        FALSE => FALSE,
        _ => UNKNOWN,
    };
    Finding {
        type_,
        status,
        reason: kept.reason.clone(),
        message: kept.message.clone(),
    }
}

/// A condition that nothing was ever known about.
fn unknown(type_: &'static str) -> Finding {
    Finding {
        type_,
        status: UNKNOWN,
        reason: "NotRead".to_owned(),
        message: "not everything that this depends on could be read yet".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
    use serde_json::json;

    use super::{FAILURES_MAX, Failure, problem, status};
    use crate::crd::{MqttTlsListener, MqttTlsListenerStatus};
    use crate::plan::conditions::find;
    use crate::plan::{About, Place, Settings};

    fn forbidden() -> Failure {
        Failure {
            about: About::ResolvedRefs,
            verb: "get",
            object: "Secret edge-tls".to_owned(),
            told: "get Secret edge-tls was refused".to_owned(),
            is_forbidden: true,
            is_lasting: true,
            failures: 0,
        }
    }

    fn settings() -> Settings {
        Settings {
            terminator_image: "a".to_owned(),
            cluster_domain: "cluster.local".to_owned(),
            drain_deadline: Duration::from_secs(30),
            place: Place::Cluster,
        }
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

    fn said(status: &MqttTlsListenerStatus, type_: &str) -> (String, String, Option<i64>) {
        let Condition {
            status,
            reason,
            observed_generation,
            ..
        } = find(status, type_).unwrap().clone();
        (status, reason, observed_generation)
    }

    #[test]
    fn a_missing_right_is_told_at_once_and_by_its_name() {
        for (verb, object, named) in [
            ("get", "Secret edge-tls", "`get` on `secrets`"),
            ("list", "Pods of edge-mqtts", "`list` on `pods`"),
            (
                "get",
                "PodDisruptionBudget a",
                "`get` on `poddisruptionbudgets`",
            ),
        ] {
            let object = object.to_owned();
            let failure = Failure {
                verb,
                object,
                ..forbidden()
            };
            let problem = problem(&failure).unwrap();
            assert_eq!(problem.reason, "Forbidden");
            assert!(problem.message.contains(named), "{}", problem.message);
        }
    }

    #[test]
    fn what_may_pass_is_told_when_it_stays() {
        let failure = |failures| Failure {
            is_forbidden: false,
            is_lasting: false,
            failures,
            ..forbidden()
        };
        assert_eq!(problem(&failure(0)), None);
        assert_eq!(problem(&failure(FAILURES_MAX - 2)), None);
        let problem = problem(&failure(FAILURES_MAX - 1)).unwrap();
        assert_eq!(problem.reason, "ReadFailed");
        assert!(
            problem.message.contains("was refused"),
            "{}",
            problem.message
        );
    }

    #[test]
    fn what_was_never_known_is_unknown() {
        let (new, now) = (listener(1, None), Timestamp::UNIX_EPOCH);
        let status = status(&new, problem(&forbidden()).unwrap(), &settings(), now);
        let is = |status: &str, reason: &str| (status.to_owned(), reason.to_owned(), Some(1));
        assert_eq!(said(&status, "Accepted"), is("True", "Accepted"));
        assert_eq!(said(&status, "ResolvedRefs"), is("False", "Forbidden"));
        assert_eq!(said(&status, "Programmed"), is("Unknown", "NotRead"));
        assert_eq!(said(&status, "Ready"), is("False", "Forbidden"));
        assert_eq!(status.conditions.len(), 6);
    }

    #[test]
    fn what_was_known_stays_and_again_changes_nothing() {
        let now = Timestamp::UNIX_EPOCH;
        let about_pods = Failure {
            about: About::Programmed,
            ..forbidden()
        };
        let first = status(
            &listener(1, None),
            problem(&about_pods).unwrap(),
            &settings(),
            now,
        );
        let problem = problem(&forbidden()).unwrap();
        let second = status(
            &listener(2, Some(&first)),
            problem.clone(),
            &settings(),
            now,
        );
        // What it said about the children is of the generation before.
        let programmed = ("False".to_owned(), "Forbidden".to_owned(), Some(1));
        assert_eq!(said(&second, "Programmed"), programmed);
        let resolved = ("False".to_owned(), "Forbidden".to_owned(), Some(2));
        assert_eq!(said(&second, "ResolvedRefs"), resolved);
        let later = now + Duration::from_secs(9);
        assert_eq!(
            status(&listener(2, Some(&second)), problem, &settings(), later),
            second
        );
    }
}
