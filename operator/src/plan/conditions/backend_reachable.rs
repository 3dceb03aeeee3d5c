//! `BackendReachable`: whether the ready pods reach the broker, as they report. An outage counts after a minute. It must
//! not ask them.

use super::certificate_served::NO_CONFIGURATION;
use super::finding::{Finding, Status};
use super::judged::Judged;
use crate::plan::proof::Proofs;
use crate::plan::proof::answer::{Answer, Backend};
use crate::plan::reason::{ConditionType, Reason};

const TYPE: ConditionType = ConditionType::BackendReachable;

pub(super) fn find(judged: &Judged<'_>) -> Finding {
    if judged.serving.question.is_none() {
        return Finding::new(TYPE, Status::Unknown, Reason::NoReadyPods, NO_CONFIGURATION);
    }
    of_proofs(&judged.proofs).lasting(judged.before)
}

fn of_proofs(proofs: &Proofs) -> Finding {
    let unknown = |reason, message: String| Finding::new(TYPE, Status::Unknown, reason, message);
    let all = proofs.pods.len();
    if all == 0 {
        return unknown(Reason::NoReadyPods, "no pod is ready".to_owned());
    }
    let out = count(proofs, &|answer| {
        answer.backends().any(|(_, backend)| backend.is_out())
    });
    if let Some((pod, address, error)) = first_out(proofs, Backend::is_out) {
        // No duration: it would change the status each time.
        let message = format!(
            "{out} of {all} ready pods have not reached the broker, or had no answer, for a minute or longer (pod {pod}, {address}: {error})"
        );
        return Finding::new(TYPE, Status::False, Reason::BackendUnreachable, message);
    }
    let reached = count(proofs, &|answer| {
        answer
            .backends()
            .all(|(_, backend)| *backend == Backend::Reached)
    });
    let message = format!("{reached} of {all} ready pods reach the broker");
    if reached == all {
        return Finding::holds(TYPE, message);
    }
    if let Some((pod, address, error)) = first_out(proofs, |_| true) {
        let message = format!(
            "{message}; the others have not for less than a minute (pod {pod}, {address}: {error})"
        );
        return unknown(Reason::NotReachedYet, message);
    }
    let message = format!("{message}; the others could not be asked, or have not tried yet");
    unknown(Reason::PodsNotAsked, message)
}

/// Returns the first pod that does not reach the broker, the broker's address, with the host that has it, and the error.
fn first_out(proofs: &Proofs, is: fn(&Backend) -> bool) -> Option<(&str, String, &str)> {
    let mut pods = proofs.pods.iter();
    pods.find_map(|(pod, answer)| {
        let mut backends = answer.backends();
        backends.find_map(|(whose, backend)| match backend {
            Backend::Unreached { address, error, .. } if is(backend) => {
                let address = match whose {
                    Some((kind, name)) => format!("{kind} {name}, {address}"),
                    None => address.clone(),
                };
                Some((&**pod, address, &**error))
            }
            _ => None,
        })
    })
}

fn count(proofs: &Proofs, is: &dyn Fn(&Answer) -> bool) -> usize {
    let pods = proofs.pods.iter();
    pods.filter(|(_, answer)| is(answer)).count()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::of_proofs;
    use crate::plan::proof::Proofs;
    use crate::plan::proof::answer::{Answer, Backend, Configuration};

    #[test]
    fn an_outage_counts_after_a_minute() {
        let out = |seconds| Backend::Unreached {
            since: Duration::from_secs(seconds),
            address: "broker:1883".to_owned(),
            error: "connection refused".to_owned(),
        };
        let cases = [
            (vec![], "Unknown", "NoReadyPods", "no pod"),
            (vec![Backend::Reached], "True", "BackendReachable", "1 of 1"),
            (
                vec![Backend::Reached, Backend::Unknown],
                "Unknown",
                "PodsNotAsked",
                "1 of 2",
            ),
            (
                vec![Backend::Reached, out(59)],
                "Unknown",
                "NotReachedYet",
                "(pod b,",
            ),
            (
                vec![out(59), out(60)],
                "False",
                "BackendUnreachable",
                "1 of 2",
            ),
            (
                vec![out(61), out(60)],
                "False",
                "BackendUnreachable",
                "(pod a, broker:1883: connection refused)",
            ),
        ];
        for (found, status, reason, said) in cases {
            let pods = found.into_iter().zip(["a", "b"]).map(|(backend, pod)| {
                let answer = Answer {
                    configuration: Configuration::Served,
                    backend,
                    hosts: Vec::new(),
                    protocols: Vec::new(),
                    unloaded: None,
                    said: None,
                };
                (pod.to_owned(), answer)
            });
            let proofs = Proofs {
                pods: pods.collect(),
            };
            let finding = of_proofs(&proofs);
            assert_eq!((finding.status.name(), &*finding.reason), (status, reason));
            assert!(finding.message.contains(said), "{}", finding.message);
        }
    }

    /// Nor is a broker reached that no attempt has reached yet.
    #[test]
    fn a_pod_that_does_not_know_whether_it_reaches_a_host_has_not_reached_all() {
        let answer = Answer {
            configuration: Configuration::Served,
            backend: Backend::Reached,
            hosts: vec![("a.example".to_owned(), Backend::Unknown)],
            protocols: Vec::new(),
            unloaded: None,
            said: None,
        };
        let finding = of_proofs(&Proofs {
            pods: vec![("a".to_owned(), answer)],
        });
        assert_eq!(
            (finding.status.name(), &*finding.reason),
            ("Unknown", "PodsNotAsked")
        );
    }

    #[test]
    fn the_broker_of_a_host_or_protocol_counts_like_that_of_the_listener() {
        for (kind, seconds, status, reason) in [
            ("host", 59, "Unknown", "NotReachedYet"),
            ("host", 60, "False", "BackendUnreachable"),
            ("protocol", 59, "Unknown", "NotReachedYet"),
            ("protocol", 60, "False", "BackendUnreachable"),
        ] {
            let out = Backend::Unreached {
                since: Duration::from_secs(seconds),
                address: "broker:1883".to_owned(),
                error: "connection refused".to_owned(),
            };
            let own = vec![("a.example".to_owned(), out)];
            let (hosts, protocols) = if kind == "host" {
                (own, Vec::new())
            } else {
                (Vec::new(), own)
            };
            let answer = Answer {
                configuration: Configuration::Served,
                backend: Backend::Reached,
                hosts,
                protocols,
                unloaded: None,
                said: None,
            };
            let proofs = Proofs {
                pods: vec![("a".to_owned(), answer)],
            };
            let finding = of_proofs(&proofs);
            assert_eq!((finding.status.name(), &*finding.reason), (status, reason));
            let said = format!("(pod a, {kind} a.example, broker:1883: connection refused)");
            assert!(finding.message.contains(&said), "{}", finding.message);
        }
    }
}
