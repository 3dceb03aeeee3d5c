//! Computes the listener's status from the plan's report and the result of applying it; one file per condition.
//!
//! It must not change a condition's transition time unless its status changes.

mod accepted;
mod addresses;
mod available;
mod backend_reachable;
mod certificate_served;
mod certificate_valid;
mod certificates;
pub mod finding;
mod hosts;
pub mod judged;
mod kstatus;
mod programmed;
mod ready;
mod resolved_refs;
pub mod rollout;
mod trial;
mod trials;
pub mod unread;

use k8s_openapi::api::apps::v1::DeploymentStatus;

use crate::crd::MqttTlsListenerStatus;
use crate::plan::reason::ConditionType;
use finding::Finding;
use judged::Judged;

/// Computes a condition.
type Find = fn(&Judged<'_>) -> Finding;

/// All conditions in their order, except those that are derived from these.
const FINDERS: [Find; 7] = [
    accepted::find,
    resolved_refs::find,
    certificate_valid::find,
    programmed::find,
    available::find,
    certificate_served::find,
    backend_reachable::find,
];

/// Computes the listener's status.
pub fn status(judged: &Judged<'_>) -> MqttTlsListenerStatus {
    let identity = &judged.report.identity;
    let mut findings: Vec<Finding> = FINDERS.iter().map(|find| find(judged)).collect();
    // Devices are served in any case, so `Ready` does not depend on it.
    let trial = trial::find(judged);
    let derived = [Some(ready::find(&findings)), kstatus::find(&findings)];
    findings.extend(trial.into_iter().chain(derived.into_iter().flatten()));
    let proof = findings
        .iter()
        .find(|one| one.type_ == ConditionType::CertificateServed);
    let certificates = certificates::certificates(judged, proof);
    let conditions = findings.iter();
    let counted = judged.deployment.and_then(|one| one.status.as_ref());
    let count = |of: fn(&DeploymentStatus) -> Option<i32>| counted.and_then(of).unwrap_or(0);
    let ready = count(|status| status.ready_replicas);
    let wanted = judged
        .deployment
        .and_then(|one| one.spec.as_ref()?.replicas);
    MqttTlsListenerStatus {
        observed_generation: identity.generation,
        conditions: conditions
            .map(|finding| finding.condition(judged.before, identity.generation, judged.now))
            .collect(),
        certificates,
        trials: trials::trials(judged),
        hosts: hosts::hosts(judged),
        addresses: addresses::addresses(identity, judged.service),
        replicas: Some(count(|status| status.replicas)),
        ready_replicas: Some(ready),
        pods: wanted.map(|wanted| format!("{ready}/{wanted}")),
        selector: Some(identity.selector_text()),
    }
}
