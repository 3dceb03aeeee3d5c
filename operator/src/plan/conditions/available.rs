//! `Available`: whether as many pods are ready as are wanted, as the Deployment's own status says.

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
        return is_not(Reason::NoTerminators, "there are no terminators");
    };
    if is_behind(deployment) {
        let message = "the Deployment controller has not seen the latest change yet";
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

/// Whether its status is still about an earlier spec.
pub(super) fn is_behind(deployment: &Deployment) -> bool {
    let status = deployment.status.as_ref();
    status.and_then(|status| status.observed_generation) < deployment.metadata.generation
}

/// How many pods it asks for.
pub(super) fn replicas(deployment: &Deployment) -> i32 {
    let spec = deployment.spec.as_ref();
    spec.and_then(|spec| spec.replicas).unwrap_or(1)
}
