//! What the children's own status says: pods that are ready, a rollout, addresses.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;
use kube::Resource;

use super::{FALSE, Finding, TRUE, UNKNOWN};
use crate::crd::{Address, AddressType};
use crate::plan::names::{Identity, Ownership};

/// What is there, if it is the listener's own: pods and addresses of someone else say nothing about it.
pub(super) fn own<'c, K: Resource>(identity: &Identity, child: Option<&'c K>) -> Option<&'c K> {
    child.filter(|child| identity.ownership(child.meta()) == Ownership::Ours)
}

/// Whether as many pods are ready as are wanted.
pub(super) fn available(identity: &Identity, deployment: Option<&Deployment>) -> Finding {
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
    if is_behind(deployment) {
        let message = "the Deployment controller has not seen the latest change yet".to_owned();
        return finding(UNKNOWN, "Progressing", message);
    }
    let wanted = replicas(deployment);
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

/// Why the newest pods do not come up, if their rollout has come to nothing. Those of before go on serving: nobody
/// would notice until they are gone too.
pub(super) fn stuck(identity: &Identity, deployment: &Deployment) -> Option<String> {
    let counted = deployment.status.as_ref()?;
    let mut conditions = counted.conditions.iter().flatten();
    let progressing = conditions.find(|one| one.type_ == "Progressing")?;
    let is_over = progressing.reason.as_deref() == Some("ProgressDeadlineExceeded");
    if is_behind(deployment) || progressing.status != FALSE || !is_over {
        return None;
    }
    let said = progressing.message.as_deref().unwrap_or_default();
    let updated = counted.updated_replicas.unwrap_or(0);
    let wanted = replicas(deployment);
    let selector = identity.selector_text();
    Some(format!(
        "the rollout goes no further: {updated} of {wanted} pods are of the newest template, and not all of them \
         become ready ({said}); see `kubectl describe pods -l {selector}`, as for an image that cannot be pulled"
    ))
}

/// Whether its status is still about an earlier spec.
fn is_behind(deployment: &Deployment) -> bool {
    let status = deployment.status.as_ref();
    status.and_then(|status| status.observed_generation) < deployment.metadata.generation
}

/// How many pods it asks for.
fn replicas(deployment: &Deployment) -> i32 {
    let spec = deployment.spec.as_ref();
    spec.and_then(|spec| spec.replicas).unwrap_or(1)
}

/// Where devices connect: what the load balancer says, or else the Service's name.
pub(super) fn addresses(identity: &Identity, service: Option<&Service>) -> Vec<Address> {
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
    use k8s_openapi::api::apps::v1::Deployment;
    use serde_json::{Value, json};

    use super::{FALSE, TRUE, available, stuck};
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
    fn a_rollout_is_stuck_when_its_controller_has_given_up() {
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
        let serves = available(&identity, Some(&deployment(2, &over)));
        assert_eq!((serves.status, &*serves.reason), (TRUE, "PodsAvailable"));
        // Of an earlier spec; on its way; paused; failed for another reason, of which the pods tell.
        for (observed, progressing) in [
            (1, over),
            (2, progressing("True", "ReplicaSetUpdated")),
            (2, progressing("Unknown", "DeploymentPaused")),
            (2, progressing(FALSE, "ReplicaSetCreateError")),
        ] {
            let deployment = deployment(observed, &progressing);
            assert_eq!(stuck(&identity, &deployment), None, "{progressing}");
        }
    }
}
