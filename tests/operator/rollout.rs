//! A stuck rollout is reported, although the old pods go on serving.

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::fixture::Fixture;

/// Writes the status that the Deployment controller writes ten minutes after an image that cannot be pulled.
async fn get_stuck(cluster: &Fixture) {
    let deployment = cluster.child::<Deployment>("edge").await;
    let status = json!({"status": {
        "observedGeneration": deployment.metadata.generation,
        "replicas": 3, "readyReplicas": 2, "availableReplicas": 2, "updatedReplicas": 1,
        "unavailableReplicas": 1,
        "conditions": [
            {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"},
            {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded",
             "message": "ReplicaSet \"edge-mqtts-1\" has timed out progressing."},
        ],
    }});
    let (name, params) = (deployment.name_any(), PatchParams::default());
    let api = cluster.api::<Deployment>();
    api.patch_status(&name, &params, &Patch::Merge(status))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_rollout_is_reported_until_it_continues() {
    let cluster = Fixture::start("rollout").await;
    cluster.put_tls("edge-tls", &cluster.leaf("edge")).await;
    cluster.apply_listener("edge", "");
    cluster.run_pods("edge").await;
    cluster.wait_for("edge", "Ready", "True", "Ready").await;

    get_stuck(&cluster).await;
    let condition = cluster
        .wait_for("edge", "Programmed", "False", "RolloutStuck")
        .await;
    for part in ["has timed out progressing", "kubectl describe pods -l "] {
        assert!(condition.message.contains(part), "{}", condition.message);
    }
    cluster
        .wait_for("edge", "Available", "True", "PodsAvailable")
        .await;
    cluster
        .wait_for("edge", "Ready", "False", "RolloutStuck")
        .await;

    let over = json!({"status": {"conditions": null}});
    let api = cluster.api::<Deployment>();
    api.patch_status("edge-mqtts", &PatchParams::default(), &Patch::Merge(over))
        .await
        .unwrap();
    cluster.wait_for("edge", "Ready", "True", "Ready").await;
}
