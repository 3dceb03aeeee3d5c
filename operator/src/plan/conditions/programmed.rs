//! `Programmed`: whether the children match the plan. It is false if a child could not be written, if there is no
//! configuration, or if a rollout is stuck. It must not count pods; `available` does.

use k8s_openapi::api::apps::v1::Deployment;

use super::available::{is_behind, replicas};
use super::finding::{Finding, Status};
use super::judged::{Judged, Outcome};
use crate::plan::names::Identity;
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
    let deployment = judged.deployment;
    match deployment.and_then(|deployment| stuck(&report.identity, deployment)) {
        Some(message) => is_not(Reason::RolloutStuck, &message),
        None => Finding::holds(TYPE, "all children match the spec"),
    }
}

/// Returns a message if the rollout is stuck. The old pods keep serving, so it would go unnoticed until they are gone.
fn stuck(identity: &Identity, deployment: &Deployment) -> Option<String> {
    let counted = deployment.status.as_ref()?;
    let mut conditions = counted.conditions.iter().flatten();
    let progressing = conditions.find(|one| one.type_ == "Progressing")?;
    let is_over = progressing.reason.as_deref() == Some("ProgressDeadlineExceeded");
    if is_behind(deployment) || progressing.status != Status::False.name() || !is_over {
        return None;
    }
    let message = progressing.message.as_deref().unwrap_or_default();
    let updated = counted.updated_replicas.unwrap_or(0);
    let wanted = replicas(deployment);
    let selector = identity.selector_text();
    Some(format!(
        "the rollout is stuck: {updated} of {wanted} pods updated, and the new pods do not become ready ({message}); \
         see `kubectl describe pods -l {selector}`. A common cause is an image that cannot be pulled"
    ))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::Deployment;
    use serde_json::{Value, json};

    use super::stuck;
    use crate::plan::conditions::available::of_deployment;
    use crate::plan::conditions::finding::Status;
    use crate::plan::names::Identity;

    fn deployment(observed: i64, progressing: &Value) -> Deployment {
        let deployment = json!({
            "metadata": {"generation": 2},
            "spec": {"replicas": 2, "selector": {}, "template": {}},
            "status": {
                "observedGeneration": observed, "replicas": 3, "availableReplicas": 2, "updatedReplicas": 1,
                "conditions": [{"type": "Available", "status": "True"}, progressing],
            },
        });
        serde_json::from_value(deployment).unwrap()
    }

    #[test]
    fn a_rollout_is_stuck_after_its_progress_deadline() {
        let identity = Identity {
            name: "edge".to_owned(),
            namespace: "iot".to_owned(),
            uid: "u".to_owned(),
            generation: Some(1),
        };
        let progressing = |status: &str, reason: &str| json!({"type": "Progressing", "status": status, "reason": reason, "message": "said"});
        let over = progressing("False", "ProgressDeadlineExceeded");
        let said = stuck(&identity, &deployment(2, &over)).unwrap();
        assert!(
            said.contains("1 of 2 pods") && said.contains("(said)"),
            "{said}"
        );
        assert!(
            said.contains("-l app.kubernetes.io/instance=edge"),
            "{said}"
        );
        let serves = of_deployment(&identity, Some(&deployment(2, &over)));
        assert_eq!(
            (serves.status, &*serves.reason),
            (Status::True, "PodsAvailable")
        );
        // Status of an earlier spec; in progress; paused; failed for another reason, which the pods show.
        for (observed, progressing) in [
            (1, over),
            (2, progressing("True", "ReplicaSetUpdated")),
            (2, progressing("Unknown", "DeploymentPaused")),
            (2, progressing("False", "ReplicaSetCreateError")),
        ] {
            let deployment = deployment(observed, &progressing);
            assert_eq!(stuck(&identity, &deployment), None, "{progressing}");
        }
    }
}
