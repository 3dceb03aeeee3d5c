//! `CertificateServed`: whether every ready pod serves the wanted configuration, as its own `/status` and handshakes
//! show. Pods that cannot be asked prove nothing. It must not ask them.

use std::time::Duration;

use jiff::Timestamp;

use super::finding::{Finding, Status};
use super::judged::Judged;
use crate::plan::proof::Proofs;
use crate::plan::proof::answer::{Configuration, DELIVERY_MAX};
use crate::plan::reason::{ConditionType, Reason};

const TYPE: ConditionType = ConditionType::CertificateServed;

/// Why no pod has been asked, if there is nothing to ask about.
pub(super) const NO_CONFIGURATION: &str = "there is no configuration yet";

pub(super) fn find(judged: &Judged<'_>) -> Finding {
    let Some(question) = &judged.serving.question else {
        return Finding::new(TYPE, Status::Unknown, Reason::NoReadyPods, NO_CONFIGURATION);
    };
    // Its version is the time of its rendering.
    let rendered: Option<Timestamp> = question
        .version
        .as_ref()
        .and_then(|version| version.parse().ok());
    let age = rendered.and_then(|rendered| judged.now.duration_since(rendered).try_into().ok());
    let mut found = of_proofs(&judged.proofs, age.unwrap_or(DELIVERY_MAX));
    let (asked, all) = (
        question.asked(judged.proofs.pods.len()),
        question.handshakes.len(),
    );
    if asked < all && found.status == Status::True {
        found.message = format!("{}; asked for {asked} of {all} certificates", found.message);
    }
    found.lasting(judged.before)
}

/// Judges the answers about a configuration of this age.
fn of_proofs(proofs: &Proofs, age: Duration) -> Finding {
    let all = proofs.pods.len();
    if all == 0 {
        let message = "no pod is ready";
        return Finding::new(TYPE, Status::Unknown, Reason::NoReadyPods, message);
    }
    let served = count(proofs, &|found| *found == Configuration::Served);
    let message = format!("{served} of {all} ready pods serve the current configuration");
    let unloaded = || {
        let detail = unloaded(proofs)?;
        Some((Status::True, Reason::RevocationListsNotLoaded, detail))
    };
    let Some((status, reason, detail)) = worst(proofs, age).or_else(unloaded) else {
        return Finding::holds(TYPE, message);
    };
    Finding::new(TYPE, status, reason, format!("{message}; {detail}"))
}

/// Returns the worst answer, by the first pod that gives it.
fn worst(proofs: &Proofs, age: Duration) -> Option<(Status, Reason, String)> {
    let first = |what: fn(&str, &Configuration) -> Option<String>| {
        let mut pods = proofs.pods.iter();
        pods.find_map(|(pod, answer)| what(pod, &answer.configuration))
    };
    let refused = first(|pod, found| match found {
        Configuration::Refused(why) => Some(format!(
            "pod {pod} refuses it and keeps the previous one: {why}"
        )),
        _ => None,
    });
    if let Some(message) = refused {
        return Some((Status::False, Reason::ConfigurationRefused, message));
    }
    let other = first(|pod, found| match found {
        Configuration::OtherCertificate(what) => Some(format!(
            "pod {pod} answers a TLS handshake with another certificate ({what})"
        )),
        _ => None,
    });
    if let Some(message) = other {
        return Some((Status::False, Reason::OtherCertificate, message));
    }
    let behind = first(|pod, found| match found {
        Configuration::Behind => Some(format!(
            "pod {pod} still runs an earlier one; the kubelet delivers a change within two minutes"
        )),
        _ => None,
    });
    if let Some(message) = behind {
        // Until then, devices are served by the previous one, and nothing is wrong.
        let is_late = age >= DELIVERY_MAX;
        let status = if is_late {
            Status::False
        } else {
            Status::Unknown
        };
        return Some((status, Reason::NotServedYet, message));
    }
    let unasked = first(|pod, found| match found {
        Configuration::Unasked(why) => Some(format!(
            "pod {pod} could not be asked ({why}); a NetworkPolicy may keep the operator from it"
        )),
        _ => None,
    });
    unasked.map(|message| (Status::Unknown, Reason::PodsNotAsked, message))
}

/// Describes the first revocation lists that a pod cannot load. A server of lists that is away must not make the listener unready.
fn unloaded(proofs: &Proofs) -> Option<String> {
    let mut pods = proofs.pods.iter();
    pods.find_map(|(pod, answer)| {
        let why = answer.unloaded.as_ref()?;
        Some(format!(
            "pod {pod} cannot load all revocation lists, and uses those that it had before, if any ({why})"
        ))
    })
}

fn count(proofs: &Proofs, is: &dyn Fn(&Configuration) -> bool) -> usize {
    let pods = proofs.pods.iter();
    pods.filter(|(_, answer)| is(&answer.configuration)).count()
}

#[cfg(test)]
mod tests {
    use super::{DELIVERY_MAX, of_proofs};
    use crate::plan::proof::Proofs;
    use crate::plan::proof::answer::{Answer, Backend, Configuration};

    #[test]
    fn the_worst_answer_counts_and_only_contrary_evidence_makes_it_false() {
        let served = Configuration::Served;
        let behind = Configuration::Behind;
        let refused = Configuration::Refused("Unbindable: no such address".to_owned());
        let other = Configuration::OtherCertificate("a.example: 1 instead of 2".to_owned());
        let unasked = Configuration::Unasked("timed out".to_owned());
        let cases = [
            (vec![], "Unknown", "NoReadyPods", "no pod is ready"),
            (
                vec![&served, &served],
                "True",
                "CertificateServed",
                "2 of 2",
            ),
            (
                vec![&served, &unasked],
                "Unknown",
                "PodsNotAsked",
                "pod b could",
            ),
            (
                vec![&unasked, &behind],
                "False",
                "NotServedYet",
                "pod b still",
            ),
            (
                vec![&behind, &other],
                "False",
                "OtherCertificate",
                "(a.example:",
            ),
            (
                vec![&other, &refused],
                "False",
                "ConfigurationRefused",
                "such address",
            ),
            (
                vec![&refused, &served],
                "False",
                "ConfigurationRefused",
                "1 of 2",
            ),
        ];
        for (found, status, reason, said) in cases {
            let pods = found.into_iter().zip(["a", "b"]).map(|(found, pod)| {
                let answer = Answer {
                    configuration: found.clone(),
                    backend: Backend::Unknown,
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
            let finding = of_proofs(&proofs, DELIVERY_MAX);
            assert_eq!((finding.status.name(), &*finding.reason), (status, reason));
            assert!(finding.message.contains(said), "{}", finding.message);
            let early = of_proofs(&proofs, DELIVERY_MAX / 2);
            let is_patient = reason == "NotServedYet";
            let expected = if is_patient { "Unknown" } else { status };
            assert_eq!((early.status.name(), &*early.reason), (expected, reason));
        }
    }

    #[test]
    fn lists_that_are_not_loaded_are_a_warning() {
        let served = Answer {
            configuration: Configuration::Served,
            unloaded: Some("http://ca/list.crl: connect: refused".to_owned()),
            ..Answer::unasked("")
        };
        let mut proofs = Proofs {
            pods: vec![("a".to_owned(), served)],
        };
        let finding = of_proofs(&proofs, DELIVERY_MAX);
        let found = (finding.status.name(), &*finding.reason);
        assert_eq!(found, ("True", "RevocationListsNotLoaded"));
        assert!(
            finding
                .message
                .ends_with("(http://ca/list.crl: connect: refused)")
        );
        let behind = Answer::unasked("timed out");
        proofs.pods.push(("b".to_owned(), behind));
        let finding = of_proofs(&proofs, DELIVERY_MAX);
        assert_eq!(finding.reason, "PodsNotAsked");
    }
}
