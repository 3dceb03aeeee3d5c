//! Changes without end, an operator that is killed again and again, and two operators at once: the last change counts,
//! and then nothing is written.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;
use kube::api::DeleteParams;
use mqtt_tls_operator::crd::MqttTlsListener;
use rustix::process::Signal;
use tests::wait::eventually_async;

use crate::fixture::{Fixture, SOON, start_operator};

/// Time between two changes.
const PACE: Duration = Duration::from_millis(100);

/// Number of changes.
const CHANGES: usize = 80;

/// The operator is killed and started again after so many changes.
const KILL: usize = 7;

/// Ports of the listener in turn: the last change has the last one.
const PORTS: [u16; 3] = [8883, 9443, 883];

/// Makes the change of this number.
async fn change(cluster: &Fixture, number: usize) {
    let port = PORTS[number % PORTS.len()];
    let replicas = 1 + number % 3;
    match number % 5 {
        0 => {
            let leaf = cluster.leaf(&format!("edge-{number}"));
            cluster.put_tls("edge-tls", &leaf).await;
        }
        1 => {
            // It may be gone already.
            let _ = cluster
                .api::<Service>()
                .delete("edge-mqtts", &DeleteParams::default())
                .await;
        }
        _ => {
            let more = format!("  port: {port}\n  replicas: {replicas}\n");
            cluster.apply_listener("edge", &more);
        }
    }
}

/// Waits until all children are as in the last change, and checks that nothing is written then.
async fn ends_with(cluster: &Fixture, port: u16, replicas: i32) {
    let last = cluster.leaf("last");
    cluster.put_tls("edge-tls", &last).await;
    let more = format!("  port: {port}\n  replicas: {replicas}\n");
    cluster.apply_listener("edge", &more);
    cluster.wait_until_programmed("edge").await;
    cluster
        .wait_for_config("edge", "it has the last change", |config| {
            config.port == port && config.pem.expose().contains(last.key_pem.trim())
        })
        .await;
    let deployment = cluster.child::<Deployment>("edge").await;
    assert_eq!(deployment.spec.unwrap().replicas, Some(replicas));
    let service = cluster.child::<Service>("edge").await;
    assert_eq!(
        service.spec.unwrap().ports.unwrap()[0].port,
        i32::from(port)
    );
    cluster.writes_nothing_more().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_of_many_changes_counts_despite_kills() {
    let mut cluster = Fixture::start("churn").await;
    cluster.programmed("edge", "").await;
    for number in 0..CHANGES {
        // Not synchronization: it is the pace of the changes.
        tokio::time::sleep(PACE).await;
        change(&cluster, number).await;
        if number % KILL == 0 {
            cluster.kill_operator();
            cluster.start_operator();
        }
    }
    ends_with(&cluster, 8883, 3).await;
    let writes = cluster.writes().len();
    cluster.kill_operator();
    cluster.start_operator();
    cluster.settle().await;
    assert_eq!(cluster.writes().len(), writes, "a restart writes nothing");
}

/// As between an upgrade's old and new operator, if both work without a Lease.
#[tokio::test(flavor = "multi_thread")]
async fn two_operators_at_once_do_not_fight() {
    let cluster = Fixture::start("two").await;
    let other = start_operator(cluster.server, &["--namespace", &cluster.namespace]);
    cluster.programmed("edge", "").await;
    for number in 0..10 {
        change(&cluster, number).await;
    }
    ends_with(&cluster, 9443, 2).await;
    cluster
        .api::<MqttTlsListener>()
        .delete("edge", &DeleteParams::default())
        .await
        .unwrap();
    cluster.settle().await;
    assert!(other.is_running());
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_made_while_it_was_stopped_are_seen() {
    let cluster = Fixture::start("stopped").await;
    cluster.programmed("edge", "").await;
    let operator = cluster.operator.as_ref().unwrap();
    operator.signal(Signal::STOP);
    cluster
        .api::<Service>()
        .delete("edge-mqtts", &DeleteParams::default())
        .await
        .unwrap();
    cluster.put_tls("edge-tls", &cluster.leaf("passing")).await;
    operator.signal(Signal::CONT);
    let services = cluster.api::<Service>();
    let look = || async { services.get_opt("edge-mqtts").await.unwrap() };
    eventually_async(SOON, "the Service is there again", look).await;
    ends_with(&cluster, 8883, 2).await;
}
