//! Every `ci` case of the chart's values, and the kustomize overlays, as pods on nodes: what is rendered and admitted
//! must also start and work. Each is installed, serves a listener, and is removed again.

use std::path::{Path, PathBuf};

use tests::assets;

use crate::cluster::Cluster;
use crate::install::{self, FIRST, NAMESPACE};
use crate::listener::Edge;
use crate::{operator, readme};

/// Overrides what `full-values.yaml` sets for a cluster with a registry and several nodes.
const WITHOUT_A_REGISTRY: [&str; 5] = [
    "--set=image.repository=mqtt-tls-operator,image.digest=,image.pullPolicy=IfNotPresent",
    "--set=terminator.image.repository=mqtt-tls-terminator,terminator.image.digest=",
    "--set=imagePullSecrets=null,replicas=1,clusterDomain=cluster.local",
    "--set-json=topologySpreadConstraints=[]",
    "--set-json=networkPolicy.apiServerTo=[]",
];

pub(crate) fn every_ci_case_of_the_chart_serves(cluster: &'static Cluster) {
    let monitors = assets::prometheus_operator_crds();
    let monitors = monitors.to_str().expect("the cache's path is plain text");
    cluster.kubectl(&["apply", "--server-side", "-f", monitors]);
    // The namespace of the values' listeners, with the objects to which they refer.
    let edge = Edge::prepare(cluster, FIRST);
    for values in cases(cluster) {
        println!("{}", values.display());
        let full = values.ends_with("full-values.yaml");
        let mut install = vec![
            "install",
            "smart-mqtt-tls",
            "charts/smart-mqtt-tls",
            "--namespace",
            NAMESPACE,
            "--create-namespace",
            "--wait",
            "--values",
            values.to_str().expect("plain text"),
        ];
        if full {
            install.extend(WITHOUT_A_REGISTRY);
        }
        cluster.helm(&install);
        operator::wait_until_it_is_back(cluster);
        a_listener_is_served(&edge);
        readme::run(cluster, "helm-uninstall");
    }
    cluster.kubectl(&["delete", "namespace", FIRST]);
    cluster.kubectl(&["delete", "-f", monitors]);
    readme::run(cluster, "crd-uninstall");
    install::nothing_is_left(cluster);
}

pub(crate) fn every_overlay_serves(cluster: &'static Cluster) {
    for (overlay, namespace) in [
        ("deploy/overlays/namespaced", NAMESPACE),
        ("deploy/overlays/kind", FIRST),
    ] {
        println!("{overlay}");
        let command = |name| readme::commands(name).replace("deploy/base", overlay);
        let edge = Edge::prepare(cluster, namespace);
        cluster.sh(&command("kustomize-install"));
        a_listener_is_served(&edge);
        cluster.sh(&command("kustomize-uninstall"));
        cluster.kubectl(&["delete", "namespace", namespace]);
        readme::run(cluster, "crd-uninstall");
        install::nothing_is_left(cluster);
    }
}

/// Creates the listener `edge`, unless the values contain it, waits until it is Ready, renews its certificate, and
/// deletes it.
fn a_listener_is_served(edge: &Edge) {
    let get = ["get", "mtl", "-n", &edge.namespace, "-o", "name"];
    if !edge.cluster.kubectl(&get).contains("/edge\n") {
        edge.listener("  replicas: 1");
    }
    edge.wait("Ready", "True");
    let leaf = edge.leaf();
    edge.certificate("edge-tls", &leaf);
    edge.all_pods_serve("edge", &edge.ca, &leaf);
    edge.kubectl(&["delete", "mtl", "edge"]);
}

/// Returns the chart's `ci` values.
fn cases(cluster: &Cluster) -> Vec<PathBuf> {
    let folder = Path::new("charts/smart-mqtt-tls/ci");
    let entries = std::fs::read_dir(cluster.desk().join(folder)).expect("the chart has them");
    let mut cases: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| folder.join(entry.file_name()))
        .collect();
    cases.sort();
    assert!(cases.len() > 4, "{cases:?}");
    cases
}
