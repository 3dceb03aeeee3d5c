//! After restarts and evictions of terminators and brokers, devices reconnect by themselves, and no acknowledged
//! message is lost.
//!
//! smart-mqtt does not keep sessions over its own restart, so its test checks only that devices reconnect. That no
//! message is lost is checked with mosquitto, which keeps sessions.

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::EvictParams;
use serde_json::Value;
use tests::fleet::{Fleet, FleetPlan, Report};
use tests::wait::{eventually, eventually_async};

use crate::cluster::{Cluster, SOON};
use crate::install;
use crate::listener::{Edge, HOST, MOSQUITTO, Terminator};
use crate::operator::Fate;
use crate::processes;

const CLIENTS: usize = 500;
/// A step's name and its action.
type Step = (&'static str, fn(&Edge));

pub(crate) fn pods_come_and_go(cluster: &'static Cluster) {
    journey(cluster, Fate::Lives);
}

pub(crate) fn pods_come_and_go_despite_operator_kills(cluster: &'static Cluster) {
    journey(cluster, Fate::IsKilled);
}

fn journey(cluster: &'static Cluster, fate: Fate) {
    install::ensure(cluster);
    let edge = Edge::start(cluster, &format!("disruption{}", fate.suffix()));
    let fleet = start_fleet(&edge, "edge", "smart-mqtt");
    let steps: [Step; 6] = [
        ("a terminator is killed", kill),
        ("a pod is deleted", |edge| {
            edge.kubectl(&["delete", "pod", &first(edge).name]);
        }),
        ("a pod is evicted", evict),
        ("more pods", |edge| scale(edge, 4)),
        ("fewer pods", |edge| scale(edge, 2)),
        ("other resources", |edge| {
            let patch = r#"{"spec": {"pod": {"resources": {"requests": {"cpu": "60m", "memory": "70Mi"}}}}}"#;
            edge.kubectl(&["patch", "mtl", "edge", "--type=merge", "-p", patch]);
        }),
    ];
    for (name, step) in steps {
        println!("{name}");
        step(&edge);
        fate.strikes(cluster);
        edge.settled();
        cluster.block_on(fleet.wait_all_connected(SOON));
    }
    let report = cluster.block_on(fleet.stop());
    println!("{report}");
    nothing_is_lost(&report);
}

pub(crate) fn brokers_restart(cluster: &'static Cluster) {
    install::ensure(cluster);
    let edge = Edge::start(cluster, "brokers");
    let fleet = start_fleet(&edge, "edge", "smart-mqtt");
    edge.kubectl(&["delete", "pod", "-l", "app.kubernetes.io/name=smart-mqtt"]);
    Fate::IsKilled.strikes(cluster);
    let before = fleet.report().up.acknowledged;
    cluster.block_on(async {
        fleet.wait_all_connected(SOON).await;
        eventually_async(SOON, "messages are acknowledged again", async || {
            let more = fleet.report().up.acknowledged - before;
            (more > 2 * CLIENTS as u64).then_some(())
        })
        .await;
        drop(fleet);
    });

    edge.deploy("mosquitto", MOSQUITTO);
    edge.listener_named(
        "keeping",
        "  port: 8884\n  backend: {service: {name: mosquitto, port: 1883}}",
    );
    edge.ready("keeping");
    let fleet = start_fleet(&edge, "keeping", "mosquitto");
    Fate::IsKilled.strikes(cluster);
    restart_in_its_pod(&edge);
    cluster.block_on(fleet.wait_all_connected(SOON));
    let report = cluster.block_on(fleet.stop());
    println!("{report}");
    assert!(
        report.connects >= 2 * CLIENTS,
        "all of them were disconnected: {report}"
    );
    nothing_is_lost(&report);
}

fn start_fleet(edge: &Edge, listener: &str, broker: &str) -> Fleet {
    let broker_keeps_sessions = broker == "mosquitto";
    edge.cluster.block_on(async {
        let (address, broker) = (
            edge.address(listener).to_string(),
            edge.service(broker).to_string(),
        );
        let plan = FleetPlan {
            clients: CLIENTS,
            broker_keeps_sessions,
            ..FleetPlan::new(&address, HOST, &edge.ca.cert_pem(), &broker)
        };
        let fleet = Fleet::start(plan).await;
        fleet.wait_all_connected(SOON).await;
        fleet
    })
}

#[track_caller]
fn nothing_is_lost(report: &Report) {
    assert!(report.up.acknowledged > 1000, "{report}");
    assert!(report.up.lost.is_empty(), "{report}");
}

fn first(edge: &Edge) -> Terminator {
    edge.pods().into_iter().next().expect("there is a pod")
}

fn scale(edge: &Edge, replicas: usize) {
    edge.kubectl(&["scale", "mtl/edge", &format!("--replicas={replicas}")]);
}

/// Kills the terminator's process on a local node; elsewhere deletes its pod without grace.
fn kill(edge: &Edge) {
    let pod = first(edge);
    if processes::kill(edge.cluster, &pod.uid, "mqtt-tls-terminator") {
        eventually(SOON, "the kubelet has restarted it", || {
            let pods = edge.pods();
            pods.iter()
                .any(|it| it.name == pod.name && it.restarts == 1)
                .then_some(())
        });
    } else {
        edge.kubectl(&["delete", "pod", &pod.name, "--grace-period=0", "--force"]);
    }
}

fn evict(edge: &Edge) {
    let name = first(edge).name;
    edge.cluster.block_on(async {
        let pods: Api<Pod> = Api::namespaced(edge.cluster.client().await, &edge.namespace);
        pods.evict(&name, &EvictParams::default())
            .await
            .expect("the budget allows one");
    });
}

/// Sets another name of the same image: the kubelet stops the container gracefully and restarts it in the same pod,
/// which keeps the broker's volume.
fn restart_in_its_pod(edge: &Edge) {
    let label = ["-l", "app.kubernetes.io/name=mosquitto"];
    let pod = edge.kubectl(&[
        "get",
        "pods",
        label[0],
        label[1],
        "-o",
        "jsonpath={.items[0].metadata.name}",
    ]);
    edge.kubectl(&[
        "set",
        "image",
        &format!("pod/{pod}"),
        "mosquitto=docker.io/library/mosquitto:test",
    ]);
    eventually(SOON, "the broker has restarted", || {
        let pod: Value = edge.get("pod", &pod);
        let status = &pod["status"]["containerStatuses"][0];
        (status["restartCount"] == 1 && status["ready"] == true).then_some(())
    });
}
