//! From a plan's report and what came of it to the listener's status.
//!
//! It must not move a condition's time unless its status changed.

mod children;

use jiff::{Timestamp, Unit};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::certificate::{Serving, Warning};
use super::{About, Applied, Objects, Problem, Report, World};
use crate::crd::MqttTlsListenerStatus;
use children::{addresses, available, own, stuck};

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
        /// Whether the configuration is as wanted all the same.
        is_configured: bool,
    },
}

impl Outcome<'_> {
    /// What is served after it.
    pub fn serving<'r>(&self, report: &'r Report) -> &'r Serving {
        match self {
            Self::Done(_)
            | Self::Failed {
                is_configured: true,
                ..
            } => &report.planned,
            Self::Failed {
                is_configured: false,
                ..
            } => &report.before,
        }
    }
}

/// A condition before it is compared with the one that is there.
#[derive(Clone)]
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
        certificates: outcome.serving(report).certificates.clone(),
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

/// All conditions, `Ready` last.
fn findings(
    report: &Report,
    outcome: &Outcome<'_>,
    deployment: Option<&Deployment>,
    before: Option<&MqttTlsListenerStatus>,
) -> Vec<Finding> {
    let mut findings = vec![
        by_problems(&report.problems, About::Accepted, ACCEPTED),
        by_problems(
            &report.problems,
            About::ResolvedRefs,
            "every object that the spec names is usable",
        ),
        certificate_valid(report, outcome.serving(report)),
        programmed(report, outcome, deployment, before),
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
pub(super) fn by_problems(problems: &[Problem], about: About, good: &str) -> Finding {
    let type_ = name(about);
    let own: Vec<&Problem> = problems
        .iter()
        .filter(|problem| problem.about == about)
        .collect();
    if let Some(first) = own.first() {
        let messages: Vec<&str> = own.iter().map(|problem| problem.message.as_str()).collect();
        let (reason, message) = (first.reason.to_owned(), messages.join("; "));
        return Finding {
            type_,
            status: FALSE,
            reason,
            message,
        };
    }
    if problems
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

/// Also unknown if there is no certificate, and true with a warning if there is something to look at.
fn certificate_valid(report: &Report, serving: &Serving) -> Finding {
    let problems = [&report.problems[..], &serving.problems].concat();
    let finding = by_problems(&problems, About::CertificateValid, "");
    if finding.status != TRUE {
        return finding;
    }
    let first = serving
        .certificates
        .iter()
        .min_by(|one, other| one.not_after.cmp(&other.not_after));
    let warning = serving.warnings.first();
    match (first, &serving.public_key) {
        (None, _) => Finding {
            status: UNKNOWN,
            reason: "NoCertificate".to_owned(),
            message: "no certificate is served yet; see ResolvedRefs and Programmed".to_owned(),
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
        (Some(first), None) if warning.is_some() => Finding {
            reason: warning.map_or(finding.reason, |warning| warning.reason.name().to_owned()),
            message: format!(
                "{}; valid until {} (Secret {})",
                messages(&serving.warnings),
                first.not_after,
                first.secret_name
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

fn messages(warnings: &[Warning]) -> String {
    let messages: Vec<&str> = warnings.iter().map(|one| one.message.as_str()).collect();
    messages.join("; ")
}

/// False also if a child could not be written, if there is nothing to write, or if the newest pods do not come up.
fn programmed(
    report: &Report,
    outcome: &Outcome<'_>,
    deployment: Option<&Deployment>,
    before: Option<&MqttTlsListenerStatus>,
) -> Finding {
    let finding = by_problems(
        &report.problems,
        About::Programmed,
        "all children are as wanted",
    );
    if finding.status != TRUE {
        return finding;
    }
    let generation = report.identity.generation;
    let is_not = |reason: &str, message: String| Finding {
        status: FALSE,
        reason: reason.to_owned(),
        message,
        ..finding.clone()
    };
    if let Outcome::Failed {
        reason, message, ..
    } = outcome
    {
        let message = steady(message, finding.type_, generation, before);
        return is_not(reason, message);
    }
    if report.rendered {
        let stuck = deployment.and_then(|deployment| stuck(&report.identity, deployment));
        return match stuck {
            Some(message) => is_not("RolloutStuck", message),
            None => finding,
        };
    }
    let message = if report.before.certificates.is_empty() {
        "no terminators are started, because there is no configuration for them; see ResolvedRefs"
    } else {
        "the configuration that was rendered before stays, because no new one can be made; see \
         ResolvedRefs"
    };
    is_not("NotRendered", message.to_owned())
}

/// The message of an error, or the one that is there if it says the same of the same spec. A status that changed
/// with each try would call for the next one at once, whatever the back-off says.
pub(super) fn steady(
    message: &str,
    type_: &str,
    generation: Option<i64>,
    before: Option<&MqttTlsListenerStatus>,
) -> String {
    let said = before.and_then(|before| find(before, type_));
    let said = said.filter(|said| {
        let is_current = said.observed_generation == generation;
        said.status == FALSE && is_current && says_the_same(&said.message, message)
    });
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

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::{FALSE, Finding, MqttTlsListenerStatus, condition, says_the_same, steady};

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

    #[test]
    fn a_message_stays_for_as_long_as_the_spec_does() {
        let finding = Finding {
            type_: "Programmed",
            status: FALSE,
            reason: "Invalid".to_owned(),
            message: "replicas: Invalid value: -1".to_owned(),
        };
        let said = condition(&finding, None, Some(1), Timestamp::UNIX_EPOCH);
        let before = MqttTlsListenerStatus {
            conditions: vec![said],
            ..MqttTlsListenerStatus::default()
        };
        let now = "replicas: Invalid value: -2";
        let same = steady(now, "Programmed", Some(1), Some(&before));
        assert_eq!(same, "replicas: Invalid value: -1");
        assert_eq!(steady(now, "Programmed", Some(2), Some(&before)), now);
    }
}
