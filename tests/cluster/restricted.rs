//! The restricted level of pod security admits everything without a warning.

use serde_json::Value;

use crate::cluster::Cluster;
use crate::install::{self, NAMESPACE};
use crate::listener::Edge;

const LEVELS: [&str; 3] = ["enforce", "warn", "audit"];

pub(crate) fn everything_is_admitted_without_a_warning(cluster: &'static Cluster) {
    install::ensure(cluster);
    let edge = Edge::start(cluster, "restricted");
    for namespace in [NAMESPACE, &edge.namespace] {
        // The API server checks the existing pods, and warns about each violation.
        let labels = LEVELS.map(|level| format!("pod-security.kubernetes.io/{level}=restricted"));
        let mut args = vec!["label", "--overwrite", "namespace", namespace];
        args.extend(labels.iter().map(String::as_str));
        no_warning(&cluster.try_kubectl(&args));
        for deployment in deployments(cluster, namespace) {
            // Written again, because the API server warns about templates on writes.
            let name = deployment["metadata"]["name"]
                .as_str()
                .expect("it has a name");
            let args = [
                "-n",
                namespace,
                "annotate",
                "--dry-run=server",
                "--overwrite",
                "deployment",
                name,
                "seen=yes",
            ];
            no_warning(&cluster.try_kubectl(&args));
            let template = deployment["spec"]["template"].clone();
            let pod = serde_json::json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": format!("{name}-by-hand"), "labels": template["metadata"]["labels"]},
                "spec": template["spec"],
            });
            no_warning(&cluster.try_dry_run(namespace, &pod.to_string()));
        }
    }
}

#[track_caller]
fn no_warning(finished: &tests::process::Finished) {
    assert!(finished.status.success(), "{}", finished.stderr);
    assert!(!finished.stderr.contains("Warning"), "{}", finished.stderr);
}

fn deployments(cluster: &Cluster, namespace: &str) -> Vec<Value> {
    let items: Vec<Value> = cluster.list("deployments", &["-n", namespace]);
    assert!(!items.is_empty(), "there are Deployments in {namespace}");
    items
}
