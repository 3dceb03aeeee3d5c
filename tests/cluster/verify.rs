//! `helm test` passes for an installation that works, and says in words what is wrong with one that does not.

use crate::cluster::Cluster;
use crate::install::{self, NAMESPACE};
use crate::listener::Edge;

const TEST: [&str; 5] = ["test", "smart-mqtt-tls", "-n", NAMESPACE, "--logs"];

pub(crate) fn helm_test_says_whether_the_release_works(cluster: &'static Cluster) {
    install::ensure(cluster);
    let edge = Edge::start(cluster, "verify");
    let said = cluster.helm(&TEST);
    assert!(said.contains("leads\nthe listener is ready"), "{said}");

    edge.kubectl(&["delete", "secret", "edge-tls"]);
    edge.wait_for("edge", "the Secret is missing", |it| {
        it.type_ == "Ready" && it.status == "False" && it.reason == "SecretNotFound"
    });
    scale_operator(cluster, 0);
    let failed = cluster.try_helm(&TEST);
    assert!(!failed.status.success());
    let said = failed.stdout;
    for words in [
        "FAILED: no operator works: the Lease has no holder",
        "FAILED: listener verify/edge is not ready (SecretNotFound): ",
    ] {
        assert!(said.contains(words), "{said}");
    }

    scale_operator(cluster, 2);
    edge.certificate("edge-tls", &edge.leaf());
    cluster.helm(&TEST);
}

/// Scales the operator, and waits until all wanted pods are ready, or none is left.
fn scale_operator(cluster: &Cluster, replicas: u8) {
    let operator = "deployment/mqtt-tls-operator";
    let replicas = format!("--replicas={replicas}");
    cluster.kubectl(&["-n", NAMESPACE, "scale", operator, &replicas]);
    let wait = [
        "-n",
        NAMESPACE,
        "rollout",
        "status",
        operator,
        "--timeout=2m",
    ];
    cluster.kubectl(&wait);
    if replicas.ends_with("=0") {
        let selector = "app.kubernetes.io/name=mqtt-tls-operator";
        let wait = [
            "-n",
            NAMESPACE,
            "wait",
            "pods",
            "-l",
            selector,
            "--for=delete",
            "--timeout=2m",
        ];
        cluster.kubectl(&wait);
    }
}
