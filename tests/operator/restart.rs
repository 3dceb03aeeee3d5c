//! An operator that was down, or was killed during a reconciliation, converges to the same state.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;
use kube::api::DeleteParams;
use rustix::process::Signal;

use crate::fixture::{Fixture, SOON};

#[tokio::test(flavor = "multi_thread")]
async fn changes_made_while_it_was_down_are_seen() {
    let mut cluster = Fixture::start("away").await;
    cluster.put_tls("edge-tls", &cluster.leaf("old")).await;
    cluster.apply_listener("edge", "");
    cluster.wait_until_programmed("edge").await;
    cluster.kill_operator();

    let new = cluster.leaf("new");
    cluster.put_tls("edge-tls", &new).await;
    cluster
        .api::<Service>()
        .delete("edge-mqtts", &DeleteParams::default())
        .await
        .unwrap();
    cluster.apply_listener("edge", "  replicas: 1\n");
    cluster.start_operator();
    cluster.wait_until_programmed("edge").await;
    let key = new.key_pem.trim().to_owned();
    let is_new = |config: &mqtt_tls_config::Config| config.pem.expose().contains(&key);
    cluster
        .wait_for_config("edge", "the new certificate is rendered", is_new)
        .await;
    cluster.child::<Service>("edge").await;
    assert_eq!(
        cluster
            .child::<Deployment>("edge")
            .await
            .spec
            .unwrap()
            .replicas,
        Some(1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_writes_nothing() {
    let mut cluster = Fixture::start("again").await;
    cluster.programmed("edge", "").await;
    cluster.settle().await;
    let writes = cluster.writes().len();
    cluster.kill_operator();
    cluster.start_operator();
    cluster.settle().await;
    assert_eq!(cluster.writes().len(), writes);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_converges_after_a_kill_at_any_moment() {
    let mut cluster = Fixture::without_operator("killed").await;
    cluster.put_tls("edge-tls", &cluster.leaf("edge")).await;
    cluster.apply_listener("edge", "");
    for milliseconds in [0, 20, 40, 80, 120, 160, 240] {
        cluster.start_operator();
        // Not synchronization: it varies the moment of the kill.
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        cluster.kill_operator();
    }
    cluster.start_operator();
    cluster.wait_until_programmed("edge").await;
    let versions = || async {
        [
            cluster.child::<Secret>("edge").await.resource_version(),
            cluster.child::<Service>("edge").await.resource_version(),
            cluster
                .child::<PodDisruptionBudget>("edge")
                .await
                .resource_version(),
            cluster.child::<Deployment>("edge").await.resource_version(),
        ]
    };
    cluster.settle().await;
    let before = versions().await;
    cluster.settle().await;
    assert_eq!(versions().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_shuts_it_down_gracefully() {
    let cluster = Fixture::start("sigterm").await;
    // The next reconciliation is due in ten minutes: it must not delay the shutdown.
    cluster.programmed("edge", "").await;
    let operator = cluster.operator.as_ref().unwrap();
    operator.signal(Signal::TERM);
    let status = operator.wait_exit(SOON);
    assert!(status.success(), "{status}\n{}", operator.log());
    operator.wait_for_line("all reconciliations have finished", SOON);
}
