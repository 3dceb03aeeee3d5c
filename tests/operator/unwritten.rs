//! The status does not report a renewed certificate that could not be delivered to the pods.

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::api::ListParams;
use kube::{Resource, ResourceExt};
use tests::wait::eventually_async;

use crate::account::{Account, without, working_rules};
use crate::fixture::{Fixture, SOON, spawn_operator};

/// The fingerprints in the listener's status.
async fn reported(cluster: &Fixture) -> Vec<String> {
    let status = cluster.listener("edge").await.status.unwrap();
    let certificates = status.certificates.into_iter();
    certificates.map(|one| one.fingerprint).collect()
}

async fn loaded(cluster: &Fixture) -> usize {
    let events = cluster.api::<Event>().list(&ListParams::default()).await;
    let is_loaded = |event: &&Event| event.reason.as_deref() == Some("CertificateLoaded");
    events.unwrap().items.iter().filter(is_loaded).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_reports_what_is_served() {
    let cluster = Fixture::without_operator("unwritten").await;
    let account = Account::operator(cluster.server, &cluster.namespace, "operator").await;
    let all = working_rules(cluster.server).await;
    let (old, new) = (cluster.leaf("old"), cluster.leaf("new"));
    cluster.put_tls("edge-tls", &old).await;
    cluster.apply_listener("edge", "");
    let _operator = spawn_operator(&account.kubeconfig, &["--namespace", &cluster.namespace]);
    cluster.wait_until_programmed("edge").await;
    cluster.settle().await;
    let served = cluster.child::<Secret>("edge").await.resource_version();

    account.grant(without(&all, "patch", "secrets")).await;
    cluster.put_tls("edge-tls", &new).await;
    cluster
        .wait_for("edge", "Programmed", "False", "Forbidden")
        .await;
    assert_eq!(reported(&cluster).await, [old.fingerprint()]);
    assert_eq!(loaded(&cluster).await, 1);
    let child = cluster.child::<Secret>("edge").await;
    assert_eq!(
        child.meta().resource_version,
        served,
        "{}",
        child.name_any()
    );

    account.grant(all).await;
    let look = || async { (reported(&cluster).await == [new.fingerprint()]).then_some(()) };
    eventually_async(SOON, "the status has the new certificate", look).await;
    let look = || async { (loaded(&cluster).await == 2).then_some(()) };
    eventually_async(SOON, "there is an event for it", look).await;
}
