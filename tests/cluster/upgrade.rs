//! Upgrade, rollback and uninstallation of the chart with connected devices, and what is left afterwards.

use tests::fleet::{Fleet, FleetPlan, Who};
use tests::wait::eventually;

use crate::cluster::{Cluster, SOON};
use crate::install::{self, NAMESPACE};
use crate::listener::{Edge, HOST};
use crate::{operator, readme};

const CLIENTS: usize = 500;

pub(crate) fn upgrade_rollback_and_uninstall_with_clients_connected(cluster: &'static Cluster) {
    install::ensure(cluster);
    let edge = Edge::start(cluster, "upgrade");
    let fleet = cluster.block_on(async {
        let (address, broker) = (
            edge.address("edge").to_string(),
            edge.service("smart-mqtt").to_string(),
        );
        let plan = FleetPlan {
            clients: CLIENTS,
            ..FleetPlan::new(&address, HOST, &edge.ca.cert_pem(), &broker)
        };
        let fleet = Fleet::start(plan).await;
        fleet.wait_all_connected(SOON).await;
        fleet
    });
    let pods = edge.pods();

    // The README's upgrade does not change the terminators' pod template: no pod is replaced.
    readme::run(cluster, "helm-upgrade");
    upgrade(cluster, &["--set", "log.level=debug"]);
    touches_no_session(cluster, &edge, &fleet, &pods);

    // A changed pod template, and its rollback: pods are replaced, and every device reconnects.
    upgrade(cluster, &["--set", "terminator.drainDeadline=7s"]);
    replaced(cluster, &edge, &fleet, 7);
    roll_back(cluster);
    replaced(cluster, &edge, &fleet, 30);

    let pods = edge.pods();
    let before = fleet.report().connects;
    readme::run(cluster, "helm-uninstall");
    nothing_of_the_release_is_left(cluster);
    // The user's objects stay and keep working: the listener, its pods, and the devices' sessions.
    assert_eq!(edge.pods(), pods);
    cluster.block_on(fleet.wait_all_connected(SOON));
    assert_eq!(
        fleet.report().connects,
        before,
        "the uninstallation disconnects no device"
    );
    edge.kubectl(&[
        "get",
        "mtl/edge",
        "secret/edge-tls",
        "deployment/smart-mqtt",
    ]);

    let report = cluster.block_on(fleet.stop());
    println!("{report}");
    assert!(report.up.lost.is_empty(), "{report}");

    // With the resource definition, the listeners and their children are deleted; the user's Secret stays.
    readme::run(cluster, "crd-uninstall");
    eventually(SOON, "the listener's children are collected", || {
        edge.pods().is_empty().then_some(())
    });
    edge.kubectl(&["get", "secret/edge-tls", "deployment/smart-mqtt"]);
    install::nothing_is_left(cluster);
}

/// Upgrades the installation with other values, and waits for the new operator.
pub(crate) fn upgrade(cluster: &Cluster, values: &[&str]) {
    let args = [
        "upgrade",
        "smart-mqtt-tls",
        "charts/smart-mqtt-tls",
        "-n",
        NAMESPACE,
        "--reuse-values",
        "--wait",
    ];
    cluster.helm(&[&args[..], values].concat());
    operator::wait_until_it_is_back(cluster);
}

/// Goes back to the release before.
pub(crate) fn roll_back(cluster: &Cluster) {
    cluster.helm(&["rollback", "smart-mqtt-tls", "-n", NAMESPACE, "--wait"]);
}

/// Checks that the new operator has reconciled the listener without replacing a pod or closing a session.
fn touches_no_session(
    cluster: &Cluster,
    edge: &Edge,
    fleet: &Fleet,
    pods: &[crate::listener::Terminator],
) {
    edge.listener("  service: {annotations: {seen: by-the-new-operator}}");
    edge.settled();
    assert_eq!(edge.pods(), pods);
    cluster.block_on(fleet.wait_all_connected(SOON));
    let report = fleet.report();
    let of_clients = report.incidents.iter().filter(|it| it.who != Who::Monitor);
    assert_eq!(of_clients.count(), 0, "{report}");
}

/// Waits until all pods have the new drain deadline, and all devices have reconnected.
fn replaced(cluster: &Cluster, edge: &Edge, fleet: &Fleet, seconds: i64) {
    wait_for_deadline(edge, seconds);
    edge.settled();
    cluster.block_on(fleet.wait_all_connected(SOON));
}

/// Waits until the pod template has this drain deadline.
pub(crate) fn wait_for_deadline(edge: &Edge, seconds: i64) {
    eventually(SOON, "the operator has changed the Deployment", || {
        let deployment: serde_json::Value = edge.get("deployment", "edge-mqtts");
        let grace =
            deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"].as_i64()?;
        (seconds..seconds + 20).contains(&grace).then_some(())
    });
}

/// The pod of `helm test`.
const HOOK: &str = "pod/mqtt-tls-operator-test";

#[track_caller]
fn nothing_of_the_release_is_left(cluster: &Cluster) {
    let kinds = "deployments,pods,services,serviceaccounts,configmaps,secrets,roles,rolebindings,leases,jobs,\
                 networkpolicies,poddisruptionbudgets";
    eventually(SOON, "nothing of the release is left", || {
        let ours = [
            "-n",
            NAMESPACE,
            "get",
            kinds,
            "-l",
            "app.kubernetes.io/instance=smart-mqtt-tls",
            "-o",
            "name",
        ];
        let wide = ["get", "clusterroles,clusterrolebindings", "-o", "name"];
        let wide = cluster.kubectl(&wide);
        let lease = cluster.kubectl(&["-n", NAMESPACE, "get", "leases,secrets", "-o", "name"]);
        let left = cluster.kubectl(&ours) + &lease;
        // Helm leaves hooks: the pod of the last `helm test`, which has ended.
        let mut left = left
            .lines()
            .filter(|line| *line != HOOK && !line.is_empty());
        (left.next().is_none() && !wide.contains("mqtt-tls")).then_some(())
    });
}
