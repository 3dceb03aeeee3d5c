//! New pods that cannot come up are reported in the words of the API server, the scheduler and the kubelet, while the old
//! pods go on serving; after an apply, `kubectl wait` waits until the new pods serve.

use serde_json::Value;

use crate::cluster::Cluster;
use crate::install;
use crate::listener::Edge;

/// Terminators use little more, so the quota has no room for a third pod.
const QUOTA: &str = "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: few}\n\
                     spec: {hard: {pods: '3'}}\n";

pub(crate) fn what_holds_pods_up_is_reported(cluster: &'static Cluster) {
    install::ensure(cluster);
    let edge = Edge::start(cluster, "rollout");

    // With the broker's pod, there are three.
    cluster.apply(&edge.namespace, QUOTA);
    roll(&edge, r#"{"annotations": {"example.com/roll": "1"}}"#);
    is_held(&edge, "ReplicaFailure", "exceeded quota: few");
    serves(&edge);
    edge.kubectl(&["delete", "resourcequota", "few"]);
    edge.settled();

    roll(&edge, r#"{"nodeSelector": {"disk": "none"}}"#);
    is_held(&edge, "Unschedulable", "node affinity/selector");
    serves(&edge);
    roll(&edge, r#"{"nodeSelector": null}"#);
    edge.settled();

    roll(&edge, r#"{"priorityClassName": "missing"}"#);
    is_held(
        &edge,
        "ReplicaFailure",
        "no PriorityClass with name missing",
    );
    serves(&edge);
    roll(&edge, r#"{"priorityClassName": null}"#);
    edge.settled();

    roll(&edge, r#"{"annotations": {"example.com/roll": "2"}}"#);
    edge.kubectl(&["wait", "--for=condition=Ready", "mtl/edge", "--timeout=3m"]);
    let pods: Value = serde_json::from_str(&edge.kubectl(&[
        "get",
        "pods",
        "-l",
        "app.kubernetes.io/instance=edge",
        "-o",
        "json",
    ]))
    .unwrap();
    for pod in pods["items"].as_array().unwrap() {
        let metadata = &pod["metadata"];
        // An old pod may still be draining.
        let is_new = metadata["annotations"]["example.com/roll"] == "2";
        assert!(
            is_new || metadata["deletionTimestamp"].is_string(),
            "{metadata}"
        );
    }
}

/// Changes the pods' template.
fn roll(edge: &Edge, pod: &str) {
    let patch = format!(r#"{{"spec": {{"pod": {pod}}}}}"#);
    edge.kubectl(&["patch", "mtl", "edge", "--type=merge", "-p", &patch]);
}

/// Waits until the reason is reported with these words.
fn is_held(edge: &Edge, reason: &str, words: &str) {
    let condition = edge.wait_for("edge", reason, |it| {
        it.type_ == "Ready" && it.status == "False" && it.reason == reason
    });
    println!("{}", condition.message);
    assert!(condition.message.contains(words), "{}", condition.message);
}

/// The old pods present the certificate.
fn serves(edge: &Edge) {
    let leaf = edge.leaf();
    edge.certificate("edge-tls", &leaf);
    edge.all_pods_serve("edge", &edge.ca, &leaf);
}
