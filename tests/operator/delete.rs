//! The operator does nothing for a deleted listener: the garbage collector deletes the children by their owner
//! references. A new listener of the name takes over what is left, so that pods and Service stay. No collector runs here.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::core::ObjectMeta;
use kube::{Api, ResourceExt};
use mqtt_tls_operator::crd::MqttTlsListener;
use serde_json::{Value, json};
use tests::wait::eventually_async;

use crate::fixture::{Fixture, SOON};

/// The metadata of all children.
async fn children(cluster: &Fixture) -> Vec<ObjectMeta> {
    vec![
        cluster.child::<Secret>("edge").await.metadata,
        cluster.child::<Service>("edge").await.metadata,
        cluster.child::<PodDisruptionBudget>("edge").await.metadata,
        cluster.child::<Deployment>("edge").await.metadata,
    ]
}

fn uids(children: &[ObjectMeta]) -> Vec<Option<String>> {
    children.iter().map(|child| child.uid.clone()).collect()
}

/// Checks that every child has the listener as its only owner.
async fn assert_owned(cluster: &Fixture) {
    let uid = cluster.listener("edge").await.metadata.uid.unwrap();
    for child in children(cluster).await {
        let owners = child.owner_references.unwrap();
        assert_eq!(owners.len(), 1, "{owners:?}");
        assert_eq!(owners[0].uid, uid);
    }
}

async fn delete_listener(cluster: &Fixture) {
    let listeners = cluster.api::<MqttTlsListener>();
    let params = DeleteParams::default();
    listeners.delete("edge", &params).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_listener_is_not_touched_and_a_new_one_takes_its_children_over() {
    let cluster = Fixture::start("delete").await;
    cluster.programmed("edge", "").await;
    cluster.settle().await;
    let writes = cluster.writes().len();
    let before = children(&cluster).await;
    delete_listener(&cluster).await;
    cluster.settle().await;
    assert_eq!(
        cluster.writes().len(),
        writes,
        "nothing is written for a deleted listener"
    );

    cluster.apply_listener("edge", "");
    cluster.wait_until_programmed("edge").await;
    assert_eq!(uids(&children(&cluster).await), uids(&before));
    assert_owned(&cluster).await;
    cluster.writes_nothing_more().await;
}

/// As a backup tool leaves them: with the owner of that time, written by another field manager.
#[tokio::test(flavor = "multi_thread")]
async fn children_from_a_backup_are_taken_over() {
    let mut cluster = Fixture::start("backup").await;
    cluster.programmed("edge", "").await;
    cluster.kill_operator();
    let owner = json!({
        "apiVersion": "mqtt.smartboot.tech/v1alpha1", "kind": "MqttTlsListener", "name": "edge", "controller": true,
        "uid": "00000000-0000-0000-0000-000000000000",
    });
    let restored =
        Patch::Merge(json!({"metadata": {"managedFields": [{}], "ownerReferences": [owner]}}));
    let params = PatchParams {
        field_manager: Some("backup".to_owned()),
        ..PatchParams::default()
    };
    let name = "edge-mqtts";
    cluster
        .api::<Secret>()
        .patch(name, &params, &restored)
        .await
        .unwrap();
    cluster
        .api::<Service>()
        .patch(name, &params, &restored)
        .await
        .unwrap();
    cluster
        .api::<Deployment>()
        .patch(name, &params, &restored)
        .await
        .unwrap();
    let budgets: Api<PodDisruptionBudget> = cluster.api();
    budgets.patch(name, &params, &restored).await.unwrap();
    let before = children(&cluster).await;
    cluster.start_operator();
    let look = async || {
        let uid = cluster.listener("edge").await.metadata.uid.unwrap();
        let is_owned = |child: &ObjectMeta| {
            let owners = child.owner_references.as_deref().unwrap_or_default();
            owners.iter().any(|owner| owner.uid == uid)
        };
        children(&cluster).await.iter().all(is_owned).then_some(())
    };
    eventually_async(SOON, "the children are taken over", look).await;
    assert_owned(&cluster).await;
    assert_eq!(uids(&children(&cluster).await), uids(&before));
    cluster.wait_until_programmed("edge").await;
}

/// Their pods may accept clients that the new listener refuses.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_configuration_of_its_own_a_listener_takes_nothing_over() {
    let cluster = Fixture::start("unconfigured").await;
    cluster.programmed("edge", "").await;
    let before = children(&cluster).await;
    delete_listener(&cluster).await;
    let more = "  clientAuth: {mode: Require, caRef: {kind: ConfigMap, name: device-ca}}\n";
    cluster.apply_listener("edge", more);
    cluster
        .wait_for("edge", "Programmed", "False", "NotRendered")
        .await;
    let owners = |children: &[ObjectMeta]| -> Vec<Option<Value>> {
        let owners = children.iter().map(|child| child.owner_references.as_ref());
        owners
            .map(|owners| serde_json::to_value(owners).ok())
            .collect()
    };
    assert_eq!(owners(&children(&cluster).await), owners(&before));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_a_finalizer_holds_is_reported_and_created_again() {
    let cluster = Fixture::start("held").await;
    cluster.programmed("edge", "").await;
    let services = cluster.api::<Service>();
    let (name, params) = ("edge-mqtts", PatchParams::default());
    let hold = json!({"metadata": {"finalizers": ["example.com/hold"]}});
    let first = services
        .patch(name, &params, &Patch::Merge(hold))
        .await
        .unwrap();
    services
        .delete(name, &DeleteParams::default())
        .await
        .unwrap();
    let condition = cluster
        .wait_for("edge", "Programmed", "False", "BeingDeleted")
        .await;
    assert!(
        condition.message.contains("example.com/hold"),
        "{}",
        condition.message
    );
    let release = json!({"metadata": {"finalizers": null}});
    services
        .patch(name, &params, &Patch::Merge(release))
        .await
        .unwrap();
    cluster.wait_until_programmed("edge").await;
    let look = async || {
        let service = services.get_opt(name).await.unwrap()?;
        (service.uid() != first.uid()).then_some(())
    };
    eventually_async(SOON, "there is a new Service", look).await;
}
