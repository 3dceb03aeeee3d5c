//! `Programmed`: whether the children match the plan. It is false if a child could not be written, if there is no
//! configuration, if a rollout is stuck, or if the load balancer has no address; and unknown while the Service waits for
//! the pods to open another port. It must not count pods; `available` does.

use k8s_openapi::api::core::v1::Service;

use super::addresses;
use super::finding::{Finding, Status};
use super::judged::{Judged, Outcome};
use super::rollout::{Rollout, Witnesses};
use crate::plan::reason::{ConditionType, Reason};

const TYPE: ConditionType = ConditionType::Programmed;

pub(super) fn find(judged: &Judged<'_>) -> Finding {
    let report = judged.report;
    if let Some(wrong) = Finding::of_problems(TYPE, &report.problems.iter()) {
        return wrong;
    }
    let is_not = |reason, message: &str| Finding::new(TYPE, Status::False, reason, message);
    if let Outcome::Failed {
        reason, message, ..
    } = judged.outcome
    {
        return is_not(*reason, message).steady(report.identity.generation, judged.before);
    }
    if !report.rendered {
        return is_not(
            Reason::NotRendered,
            if judged.serving.certificates.is_empty() {
                "no terminators are started, because there is no configuration yet; see ResolvedRefs"
            } else {
                "keeping the current configuration, because no new one can be rendered; see ResolvedRefs"
            },
        );
    }
    if let Some(opening) = &report.opening {
        return Finding::new(TYPE, Status::Unknown, Reason::PortOpening, opening);
    }
    if let Some(message) = judged.witnesses().and_then(stuck) {
        return is_not(Reason::RolloutStuck, &message);
    }
    match judged.service.and_then(pending) {
        Some(message) => is_not(Reason::AddressPending, &message),
        None => Finding::holds(TYPE, "all children match the spec"),
    }
}

/// Returns a message if the rollout is stuck. The old pods keep serving, so it would go unnoticed until they are gone.
fn stuck(witnesses: Witnesses<'_>) -> Option<String> {
    let Rollout {
        wanted, updated, ..
    } = Rollout::of(witnesses.deployment)?;
    let counted = witnesses.deployment.status.as_ref()?;
    let mut conditions = counted.conditions.iter().flatten();
    let progressing = conditions.find(|one| one.type_ == "Progressing")?;
    let is_over = progressing.reason.as_deref() == Some("ProgressDeadlineExceeded");
    if progressing.status != Status::False.name() || !is_over {
        return None;
    }
    let message = progressing.message.as_deref().unwrap_or_default();
    let selector = witnesses.identity.selector_text();
    Some(format!(
        "the rollout is stuck: {updated} of {wanted} pods updated, and the new pods do not become ready ({message}); \
         see Available and `kubectl describe pods -l {selector}`"
    ))
}

/// Returns a message if the load balancer has no address yet, as a Gateway's `Programmed` has (AddressNotAssigned):
/// devices outside of the cluster cannot connect.
fn pending(service: &Service) -> Option<String> {
    if !addresses::is_pending(service) {
        return None;
    }
    let name = service.metadata.name.as_deref().unwrap_or_default();
    let class = service.spec.as_ref()?.load_balancer_class.as_deref();
    let which = class.map_or_else(String::new, |class| format!(" for class {class}"));
    Some(format!(
        "the load balancer has not assigned an address to Service {name}; if it stays so, check that the cluster has a \
         load balancer controller{which}, or choose another spec.service.type"
    ))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::Deployment;
    use serde_json::{Value, json};

    use super::{Witnesses, stuck};
    use crate::plan::names::Identity;

    fn said(observed: i64, progressing: &Value) -> Option<String> {
        let deployment = json!({
            "metadata": {"generation": 2},
            "spec": {"replicas": 2, "selector": {}, "template": {}},
            "status": {
                "observedGeneration": observed, "replicas": 3, "availableReplicas": 2, "updatedReplicas": 1,
                "conditions": [{"type": "Available", "status": "True"}, progressing],
            },
        });
        let deployment: Deployment = serde_json::from_value(deployment).unwrap();
        let identity = Identity {
            name: "edge".to_owned(),
            namespace: "iot".to_owned(),
            uid: "u".to_owned(),
            generation: Some(1),
        };
        stuck(Witnesses {
            identity: &identity,
            deployment: &deployment,
            replica_sets: &[],
            pods: &[],
        })
    }

    #[test]
    fn a_rollout_is_stuck_after_its_progress_deadline() {
        let progressing = |status: &str, reason: &str| json!({"type": "Progressing", "status": status, "reason": reason, "message": "said"});
        let over = progressing("False", "ProgressDeadlineExceeded");
        let message = said(2, &over).unwrap();
        assert!(
            message.contains("1 of 2 pods") && message.contains("(said)"),
            "{message}"
        );
        assert!(
            message.contains("-l app.kubernetes.io/instance=edge"),
            "{message}"
        );
        // Status of an earlier spec; in progress; paused; failed for another reason, which the pods show.
        for (observed, progressing) in [
            (1, over),
            (2, progressing("True", "ReplicaSetUpdated")),
            (2, progressing("Unknown", "DeploymentPaused")),
            (2, progressing("False", "ReplicaSetCreateError")),
        ] {
            assert_eq!(said(observed, &progressing), None, "{progressing}");
        }
    }
}
