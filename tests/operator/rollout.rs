//! A rollout is reported while it is in progress, with what holds it up, although the old pods go on serving. No
//! Deployment controller runs here: the tests write what it and the kubelet would write.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tests::wait::eventually_async;

use crate::fixture::{Fixture, SOON};

/// A listener whose pods are ready.
async fn ready(prefix: &str) -> Fixture {
    let cluster = Fixture::start(prefix).await;
    cluster.put_tls("edge-tls", &cluster.leaf("edge")).await;
    cluster.apply_listener("edge", "");
    cluster.run_pods("edge").await;
    cluster.wait_for("edge", "Ready", "True", "Ready").await;
    cluster
}

/// Writes a status of the Deployment in which one of two pods is new, with changes.
async fn roll(cluster: &Fixture, changes: &Value) {
    let deployment = cluster.child::<Deployment>("edge").await;
    let mut status = json!({
        "observedGeneration": deployment.metadata.generation,
        "replicas": 3, "readyReplicas": 2, "availableReplicas": 2, "updatedReplicas": 1,
        "unavailableReplicas": 1, "conditions": [],
    });
    for (key, value) in changes.as_object().into_iter().flatten() {
        status[key] = value.clone();
    }
    let (name, params) = (deployment.name_any(), PatchParams::default());
    let patch = Patch::Merge(json!({"status": status}));
    let api = cluster.api::<Deployment>();
    api.patch_status(&name, &params, &patch).await.unwrap();
}

/// Writes the status of a pod.
async fn report(cluster: &Fixture, pod: &str, status: &Value) {
    let patch = Patch::Merge(json!({"status": status}));
    let api = cluster.api::<Pod>();
    api.patch_status(pod, &PatchParams::default(), &patch)
        .await
        .unwrap();
}

/// Waits until exactly this one of `Reconciling` and `Stalled` is set.
async fn is_only(cluster: &Fixture, wanted: Option<&str>) {
    let look = || async {
        let conditions = cluster.listener("edge").await.status.unwrap().conditions;
        let set = conditions
            .iter()
            .map(|one| (one.type_.as_str(), one.status.as_str()));
        let set: Vec<_> = set
            .filter(|(type_, _)| ["Reconciling", "Stalled"].contains(type_))
            .collect();
        let wanted: Vec<_> = wanted.map(|wanted| (wanted, "True")).into_iter().collect();
        (set == wanted).then_some(())
    };
    eventually_async(SOON, &format!("only {wanted:?} is set"), look).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_in_progress_is_not_ready_until_it_is_complete() {
    let cluster = ready("rolls").await;
    is_only(&cluster, None).await;
    roll(&cluster, &json!({})).await;
    let condition = cluster
        .wait_for("edge", "Available", "Unknown", "Progressing")
        .await;
    assert!(
        condition.message.contains("1 of 2 pods are updated"),
        "{}",
        condition.message
    );
    cluster
        .wait_for("edge", "Ready", "Unknown", "Progressing")
        .await;
    is_only(&cluster, Some("Reconciling")).await;
    cluster.settle().await;
    // All are new, and one old pod is left.
    roll(&cluster, &json!({"updatedReplicas": 2})).await;
    cluster.writes_nothing_more().await;
    cluster
        .wait_for("edge", "Ready", "Unknown", "Progressing")
        .await;
    cluster.run_pods("edge").await;
    cluster.wait_for("edge", "Ready", "True", "Ready").await;
    is_only(&cluster, None).await;
    let pods = cluster.listener("edge").await.status.unwrap().pods;
    assert_eq!(pods.as_deref(), Some("2/2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_pods_is_reported_in_the_api_servers_words() {
    let cluster = ready("quota").await;
    let refusal = |pod: &str, used: u8| {
        let message = format!(
            "pods \"edge-mqtts-7d9c-{pod}\" is forbidden: exceeded quota: q, requested: pods=1, used: pods={used}, limited: pods=2"
        );
        json!({"conditions": [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}]})
    };
    roll(&cluster, &refusal("abcde", 2)).await;
    let condition = cluster
        .wait_for("edge", "Available", "False", "ReplicaFailure")
        .await;
    for part in [
        "1 of 2 pods are updated",
        "exceeded quota: q",
        "used: pods=2",
    ] {
        assert!(condition.message.contains(part), "{}", condition.message);
    }
    is_only(&cluster, Some("Stalled")).await;
    cluster.settle().await;
    let writes = cluster.writes().len();
    // The next try is about another pod.
    roll(&cluster, &refusal("fghij", 1)).await;
    cluster.writes_nothing_more().await;
    assert_eq!(
        cluster.writes().len(),
        writes,
        "a try that fails again is no news"
    );
    cluster.run_pods("edge").await;
    roll(&cluster, &json!({"replicas": 2, "updatedReplicas": 2})).await;
    cluster.wait_for("edge", "Ready", "True", "Ready").await;
    is_only(&cluster, None).await;
}

/// Of a Deployment that is paused, only the ReplicaSet says that its pods cannot be created.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_set_explains_for_its_deployment() {
    let cluster = ready("replica-set").await;
    let deployment = cluster.child::<Deployment>("edge").await;
    let template = deployment.spec.clone().unwrap().template;
    let set = json!({
        "metadata": {
            "name": "edge-mqtts-7d9c",
            "labels": template.metadata.as_ref().unwrap().labels,
            "annotations": {"deployment.kubernetes.io/revision": "2"},
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "Deployment", "name": "edge-mqtts", "controller": true,
                "uid": deployment.metadata.uid,
            }],
        },
        "spec": {"replicas": 1, "selector": deployment.spec.unwrap().selector, "template": template},
    });
    let sets = cluster.api::<ReplicaSet>();
    let set: ReplicaSet = serde_json::from_value(set).unwrap();
    sets.create(&PostParams::default(), &set).await.unwrap();
    let message = "violates PodSecurity \"restricted\"";
    let failure = json!({"status": {"replicas": 0, "conditions": [
        {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message},
    ]}});
    let (params, patch) = (PatchParams::default(), Patch::Merge(failure));
    sets.patch_status("edge-mqtts-7d9c", &params, &patch)
        .await
        .unwrap();
    roll(&cluster, &json!({})).await;
    let condition = cluster
        .wait_for("edge", "Available", "False", "ReplicaFailure")
        .await;
    assert!(condition.message.contains(message), "{}", condition.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_does_not_become_ready_is_reported_in_its_own_words() {
    let cluster = ready("words").await;
    cluster.make_pod("edge", "edge-mqtts-1").await;
    roll(&cluster, &json!({})).await;
    let unschedulable = json!({"phase": "Pending", "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
         "message": "0/3 nodes are available: 3 Insufficient cpu."},
    ]});
    report(&cluster, "edge-mqtts-1", &unschedulable).await;
    let condition = cluster
        .wait_for("edge", "Available", "False", "Unschedulable")
        .await;
    for part in ["pod edge-mqtts-1", "3 Insufficient cpu"] {
        assert!(condition.message.contains(part), "{}", condition.message);
    }
    is_only(&cluster, Some("Reconciling")).await;

    let container = |state: &Value, last: &Value| {
        json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "True"}], "containerStatuses": [{
            "name": "terminator", "image": "mqtt-tls-terminator:test", "imageID": "", "ready": false, "restartCount": 4,
            "state": state, "lastState": last,
        }]})
    };
    let image =
        json!({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}});
    report(&cluster, "edge-mqtts-1", &container(&image, &json!({}))).await;
    cluster
        .wait_for("edge", "Available", "False", "ImagePullBackOff")
        .await;

    let last = json!({"terminated": {"exitCode": 2, "reason": "Error", "message": "config.yaml: host\n\u{1b}[31mis wrong"}});
    let waiting = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}});
    report(&cluster, "edge-mqtts-1", &container(&waiting, &last)).await;
    let condition = cluster
        .wait_for("edge", "Ready", "False", "CrashLoopBackOff")
        .await;
    let words = "container terminator ended with code 2: config.yaml: host\\n\\u{1b}[31mis wrong";
    assert!(condition.message.contains(words), "{}", condition.message);
    is_only(&cluster, Some("Stalled")).await;
    cluster.settle().await;
    let writes = cluster.writes().len();
    // The kubelet's next try.
    report(
        &cluster,
        "edge-mqtts-1",
        &container(&json!({"running": {}}), &last),
    )
    .await;
    cluster.writes_nothing_more().await;
    assert_eq!(cluster.writes().len(), writes, "a restart is no news");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_deployment_is_reported_when_a_change_waits() {
    let cluster = ready("paused").await;
    let pause = Patch::Merge(json!({"spec": {"paused": true}}));
    let api = cluster.api::<Deployment>();
    api.patch("edge-mqtts", &PatchParams::default(), &pause)
        .await
        .unwrap();
    roll(&cluster, &json!({"replicas": 2, "updatedReplicas": 0})).await;
    let condition = cluster
        .wait_for("edge", "Available", "False", "DeploymentPaused")
        .await;
    let command = "kubectl rollout resume deployment/edge-mqtts";
    assert!(condition.message.contains(command), "{}", condition.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_rollout_is_reported_until_it_continues() {
    let cluster = ready("rollout").await;
    let stuck = json!({"conditions": [
        {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"},
        {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded",
         "message": "ReplicaSet \"edge-mqtts-1\" has timed out progressing."},
    ]});
    roll(&cluster, &stuck).await;
    let condition = cluster
        .wait_for("edge", "Programmed", "False", "RolloutStuck")
        .await;
    for part in ["has timed out progressing", "kubectl describe pods -l "] {
        assert!(condition.message.contains(part), "{}", condition.message);
    }
    cluster
        .wait_for("edge", "Ready", "False", "RolloutStuck")
        .await;
    is_only(&cluster, Some("Stalled")).await;
    cluster.run_pods("edge").await;
    roll(&cluster, &json!({"replicas": 2, "updatedReplicas": 2})).await;
    cluster.wait_for("edge", "Ready", "True", "Ready").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_balancer_without_an_address_is_pending() {
    let cluster = Fixture::start("balancer").await;
    cluster.put_tls("edge-tls", &cluster.leaf("edge")).await;
    cluster.apply_listener("edge", "  service: {type: LoadBalancer}\n");
    cluster.run_pods("edge").await;
    cluster
        .wait_for("edge", "Programmed", "False", "AddressPending")
        .await;
    cluster
        .wait_for("edge", "Ready", "False", "AddressPending")
        .await;
    let pending = cluster.listener("edge").await.status.unwrap();
    assert!(pending.addresses.is_empty(), "{:?}", pending.addresses);
    is_only(&cluster, Some("Reconciling")).await;

    cluster.assign_address("edge").await;
    cluster.wait_for("edge", "Ready", "True", "Ready").await;
    let addresses = cluster.listener("edge").await.status.unwrap().addresses;
    assert_eq!(addresses[0].url.as_deref(), Some("mqtts://192.0.2.7:8883"));
}
