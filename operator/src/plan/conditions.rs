//! From a plan's report and what came of it to the listener's status.
//!
//! It must not move a condition's time unless its status changed.

use jiff::{Timestamp, Unit};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use kube::Resource;

use super::names::{Identity, Ownership};
use super::{About, Applied, Objects, Problem, Report, World};
use crate::crd::{Address, AddressType, MqttTlsListenerStatus};

/// How long a condition's message may be, in bytes: as much as Kubernetes takes.
const MESSAGE_LENGTH_MAX: usize = 32_768;

/// What came of a plan.
pub enum Outcome<'o> {
    /// All children are as wanted.
    Done(&'o Objects<Applied>),
    /// A child could not be made so.
    Failed {
        /// One word of a fixed set, in CamelCase.
        reason: &'static str,
        /// The object, what is wrong, and what to do.
        message: String,
    },
}

/// A condition before it is compared with the one that is there.
pub(super) struct Finding {
    pub(super) type_: &'static str,
    pub(super) status: &'static str,
    pub(super) reason: String,
    pub(super) message: String,
}

pub(super) const ACCEPTED: &str = "the spec makes sense";

pub(super) const TRUE: &str = "True";
pub(super) const FALSE: &str = "False";
pub(super) const UNKNOWN: &str = "Unknown";

/// The listener's status.
pub fn status(
    world: &World,
    report: &Report,
    outcome: &Outcome<'_>,
    now: Timestamp,
) -> MqttTlsListenerStatus {
    let applied = match outcome {
        Outcome::Done(applied) => Some(applied),
        Outcome::Failed { .. } => None,
    };
    let children = &world.children;
    let deployment = applied
        .and_then(|applied| applied.deployment.present())
        .or_else(|| own(&report.identity, children.deployment.as_ref()));
    let service = applied
        .and_then(|applied| applied.service.present())
        .or_else(|| own(&report.identity, children.service.as_ref()));
    let before = world.listener.status.as_ref();
    let counted = deployment.and_then(|deployment| deployment.status.as_ref());
    MqttTlsListenerStatus {
        observed_generation: report.identity.generation,
        conditions: findings(report, outcome, deployment, before)
            .iter()
            .map(|finding| condition(finding, before, report.identity.generation, now))
            .collect(),
        certificates: report.certificates.clone(),
        addresses: addresses(&report.identity, service),
        replicas: Some(counted.and_then(|status| status.replicas).unwrap_or(0)),
        ready_replicas: Some(
            counted
                .and_then(|status| status.ready_replicas)
                .unwrap_or(0),
        ),
        selector: Some(report.identity.selector_text()),
    }
}

/// What is there, if it is the listener's own: pods and addresses of someone else say nothing about it.
fn own<'c, K: Resource>(identity: &Identity, child: Option<&'c K>) -> Option<&'c K> {
    child.filter(|child| identity.ownership(child.meta()) == Ownership::Ours)
}

/// All conditions, `Ready` last.
fn findings(
    report: &Report,
    outcome: &Outcome<'_>,
    deployment: Option<&Deployment>,
    before: Option<&MqttTlsListenerStatus>,
) -> Vec<Finding> {
    let mut findings = vec![
        by_problems(report, About::Accepted, ACCEPTED),
        by_problems(
            report,
            About::ResolvedRefs,
            "every object that the spec names is usable",
        ),
        certificate_valid(report),
        programmed(report, outcome, before),
        available(&report.identity, deployment),
    ];
    let ready = ready(&findings);
    findings.push(ready);
    findings
}

pub(super) fn name(about: About) -> &'static str {
    match about {
        About::Accepted => "Accepted",
        About::ResolvedRefs => "ResolvedRefs",
        About::CertificateValid => "CertificateValid",
        About::Programmed => "Programmed",
    }
}

/// False if there are problems; unknown if the spec itself is not accepted; or else true.
pub(super) fn by_problems(report: &Report, about: About, good: &str) -> Finding {
    let type_ = name(about);
    let problems: Vec<&Problem> = report
        .problems
        .iter()
        .filter(|problem| problem.about == about)
        .collect();
    if let Some(first) = problems.first() {
        let messages: Vec<&str> = problems
            .iter()
            .map(|problem| problem.message.as_str())
            .collect();
        let (reason, message) = (first.reason.to_owned(), messages.join("; "));
        return Finding {
            type_,
            status: FALSE,
            reason,
            message,
        };
    }
    if report
        .problems
        .iter()
        .any(|problem| problem.about == About::Accepted)
    {
        let message = "the spec is not accepted; what was made before stays as it is".to_owned();
        return Finding {
            type_,
            status: UNKNOWN,
            reason: "NotAccepted".to_owned(),
            message,
        };
    }
    Finding {
        type_,
        status: TRUE,
        reason: type_.to_owned(),
        message: good.to_owned(),
    }
}

/// Also unknown if there is no certificate, and true with a warning if the key is public.
fn certificate_valid(report: &Report) -> Finding {
    let finding = by_problems(report, About::CertificateValid, "");
    if finding.status != TRUE {
        return finding;
    }
    let first = report
        .certificates
        .iter()
        .min_by(|one, other| one.not_after.cmp(&other.not_after));
    match (first, &report.public_key) {
        (None, _) => Finding {
            status: UNKNOWN,
            reason: "NoCertificate".to_owned(),
            message: "there is no certificate yet; see ResolvedRefs".to_owned(),
            ..finding
        },
        (Some(_), Some(source)) => Finding {
            reason: "PublicDemoKey".to_owned(),
            message: format!(
                "Secret {source} holds the example certificate that smart-mqtt ships: everyone has its \
                 private key, so replace it before a device depends on it"
            ),
            ..finding
        },
        (Some(first), None) => Finding {
            message: format!(
                "valid until {} (Secret {})",
                first.not_after, first.secret_name
            ),
            ..finding
        },
    }
}

/// False also if a child could not be written, or if there is nothing to write.
fn programmed(
    report: &Report,
    outcome: &Outcome<'_>,
    before: Option<&MqttTlsListenerStatus>,
) -> Finding {
    let finding = by_problems(report, About::Programmed, "all children are as wanted");
    if finding.status != TRUE {
        return finding;
    }
    if let Outcome::Failed { reason, message } = outcome {
        let message = steady(message, finding.type_, before);
        let reason = (*reason).to_owned();
        return Finding {
            status: FALSE,
            reason,
            message,
            ..finding
        };
    }
    if report.rendered {
        return finding;
    }
    let message = if report.certificates.is_empty() {
        "no terminators are started, because there is no configuration for them; see ResolvedRefs"
    } else {
        "the configuration that was rendered before stays, because no new one can be made; see \
         ResolvedRefs"
    };
    let reason = "NotRendered".to_owned();
    Finding {
        status: FALSE,
        reason,
        message: message.to_owned(),
        ..finding
    }
}

/// The message of an error, or the one that is there if it says the same. A status that changed with each try
/// would call for the next one at once, whatever the back-off says.
pub(super) fn steady(message: &str, type_: &str, before: Option<&MqttTlsListenerStatus>) -> String {
    let said = before.and_then(|before| find(before, type_));
    let said = said.filter(|said| said.status == FALSE && says_the_same(&said.message, message));
    said.map_or(message, |said| &said.message).to_owned()
}

/// Whether two messages differ at most in words with digits: numbers of requests, times and versions, as API
/// servers and webhooks put them into every refusal.
fn says_the_same(one: &str, other: &str) -> bool {
    let words = |text| {
        str::split_whitespace(text).filter(|word| !word.bytes().any(|byte| byte.is_ascii_digit()))
    };
    words(one).eq(words(other))
}

/// Whether as many pods are ready as are wanted.
fn available(identity: &Identity, deployment: Option<&Deployment>) -> Finding {
    let finding = |status, reason: &str, message| Finding {
        type_: "Available",
        status,
        reason: reason.to_owned(),
        message,
    };
    let Some(deployment) = deployment else {
        return finding(
            FALSE,
            "NoTerminators",
            "there are no terminators".to_owned(),
        );
    };
    let counted = deployment.status.clone().unwrap_or_default();
    if counted.observed_generation < deployment.metadata.generation {
        let message = "the Deployment controller has not seen the latest change yet".to_owned();
        return finding(UNKNOWN, "Progressing", message);
    }
    let wanted = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1);
    let ready = counted.available_replicas.unwrap_or(0);
    if wanted == 0 {
        let message = "spec.replicas is 0, so nothing is served".to_owned();
        return finding(FALSE, "ScaledToZero", message);
    }
    let message = format!("{ready} of {wanted} pods are ready");
    if ready >= wanted {
        return finding(TRUE, "PodsAvailable", message);
    }
    let selector = identity.selector_text();
    finding(
        FALSE,
        "TooFewPods",
        format!("{message}; see `kubectl describe pods -l {selector}`"),
    )
}

/// All of these; the first that is not true says why.
pub(super) fn ready(findings: &[Finding]) -> Finding {
    let type_ = "Ready";
    let worst = [FALSE, UNKNOWN]
        .iter()
        .find_map(|status| findings.iter().find(|finding| finding.status == *status));
    match worst {
        Some(worst) => Finding {
            type_,
            status: worst.status,
            reason: worst.reason.clone(),
            message: format!("{}: {}", worst.type_, worst.message),
        },
        None => Finding {
            type_,
            status: TRUE,
            reason: type_.to_owned(),
            message: "devices can connect".to_owned(),
        },
    }
}

/// The condition, with the time of the one that is there if the status is the same.
pub(super) fn condition(
    finding: &Finding,
    before: Option<&MqttTlsListenerStatus>,
    generation: Option<i64>,
    now: Timestamp,
) -> Condition {
    let same = before
        .and_then(|status| find(status, finding.type_))
        .filter(|condition| condition.status == finding.status);
    // Kubernetes writes whole seconds: with more, every comparison would find a difference.
    let now = Time(now.round(Unit::Second).unwrap_or(now));
    Condition {
        type_: finding.type_.to_owned(),
        status: finding.status.to_owned(),
        reason: finding.reason.clone(),
        message: shortened(finding.message.clone(), MESSAGE_LENGTH_MAX),
        observed_generation: generation,
        last_transition_time: same.map_or(now, |condition| condition.last_transition_time.clone()),
    }
}

/// A text cut to so many bytes, at a character's border.
pub fn shortened(mut text: String, most: usize) -> String {
    if text.len() > most {
        let border = (0..=most)
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0);
        text.truncate(border);
    }
    text
}

pub(super) fn find<'s>(status: &'s MqttTlsListenerStatus, type_: &str) -> Option<&'s Condition> {
    status
        .conditions
        .iter()
        .find(|condition| condition.type_ == type_)
}

/// Where devices connect: what the load balancer says, or else the Service's name.
fn addresses(identity: &Identity, service: Option<&Service>) -> Vec<Address> {
    let Some(service) = service else {
        return Vec::new();
    };
    let spec = service.spec.as_ref();
    let port = spec
        .and_then(|spec| spec.ports.as_ref()?.first())
        .map_or(0, |port| port.port);
    let ingress = service
        .status
        .as_ref()
        .and_then(|status| status.load_balancer.as_ref()?.ingress.clone())
        .unwrap_or_default();
    let mut addresses: Vec<Address> = ingress
        .into_iter()
        .filter_map(|one| match (one.ip, one.hostname) {
            (Some(value), _) => Some(Address {
                type_: AddressType::IpAddress,
                value,
                port,
            }),
            (None, Some(value)) => Some(Address {
                type_: AddressType::Hostname,
                value,
                port,
            }),
            (None, None) => None,
        })
        .take(15)
        .collect();
    let value = format!("{}.{}.svc", identity.child_name(), identity.namespace);
    addresses.push(Address {
        type_: AddressType::Hostname,
        value,
        port,
    });
    addresses
}

#[cfg(test)]
mod tests {
    use super::says_the_same;

    #[test]
    fn only_words_with_digits_may_differ() {
        let refused = "admission webhook denied request 7f3a-11 at 12:00:01Z: no quota";
        let again = "admission webhook denied request 8e01-12 at 12:00:07Z: no quota";
        assert!(says_the_same(refused, again));
        assert!(!says_the_same(
            refused,
            "admission webhook denied request 7f3a-11: no"
        ));
        assert!(!says_the_same("Service a", "Deployment a"));
    }
}
