//! `Available`: whether all wanted pods are ready, from the Deployment's status. It must not look at the pods.

use k8s_openapi::api::apps::v1::Deployment;

use super::finding::{Finding, Status};
use super::judged::Judged;
use crate::plan::names::Identity;
use crate::plan::reason::{ConditionType, Reason};

pub(super) fn find(judged: &Judged<'_>) -> Finding {
    of_deployment(&judged.report.identity, judged.deployment)
}

pub(super) fn of_deployment(identity: &Identity, deployment: Option<&Deployment>) -> Finding {
    let finding = |status, reason, message: &str| {
        Finding::new(ConditionType::Available, status, reason, message)
    };
    let is_not = |reason, message: &str| finding(Status::False, reason, message);
    let Some(deployment) = deployment else {
        return is_not(Reason::NoTerminators, "there is no Deployment yet");
    };
    if is_behind(deployment) {
        let message = "the Deployment controller has not observed the latest change yet";
        return finding(Status::Unknown, Reason::Progressing, message);
    }
    let counted = deployment.status.as_ref();
    let ready = counted.and_then(|status| status.available_replicas);
    let (wanted, ready) = (replicas(deployment), ready.unwrap_or(0));
    if wanted == 0 {
        let message = "spec.replicas is 0, so nothing is served";
        return is_not(Reason::ScaledToZero, message);
    }
    let message = format!("{ready} of {wanted} pods are ready");
    if ready >= wanted {
        return finding(Status::True, Reason::PodsAvailable, &message);
    }
    let selector = identity.selector_text();
    let message = format!("{message}; see `kubectl describe pods -l {selector}`");
    is_not(Reason::TooFewPods, &message)
}

/// Reports whether the Deployment's status is about an earlier spec.
pub(super) fn is_behind(deployment: &Deployment) -> bool {
    let status = deployment.status.as_ref();
    status.and_then(|status| status.observed_generation) < deployment.metadata.generation
}

/// Returns the wanted number of pods.
pub(super) fn replicas(deployment: &Deployment) -> i32 {
    let spec = deployment.spec.as_ref();
    spec.and_then(|spec| spec.replicas).unwrap_or(1)
}
