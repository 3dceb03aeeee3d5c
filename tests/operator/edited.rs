//! Children that someone else edited or deleted are restored; objects of others are left alone.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tests::wait::eventually_async;

use crate::fixture::{Fixture, SOON};

#[tokio::test(flavor = "multi_thread")]
async fn edited_children_are_restored() {
    let cluster = Fixture::start("edited").await;
    cluster.programmed("edge", "").await;
    let params = PatchParams::default();
    let name = "edge-mqtts";

    let services = cluster.api::<Service>();
    let edit = json!({
        "metadata": {"labels": {"theirs": "stays", "app.kubernetes.io/component": "other"}},
        "spec": {"selector": {"app": "elsewhere"}, "ports": [{"port": 1, "protocol": "TCP"}]},
    });
    services
        .patch(name, &params, &Patch::Merge(edit))
        .await
        .unwrap();
    let look = || async {
        let service = services.get(name).await.unwrap();
        let spec = service.spec.clone().unwrap();
        let is_right = spec.ports.unwrap().iter().any(|port| port.port == 8883)
            && spec.selector.unwrap()["app.kubernetes.io/instance"] == "edge"
            && service.labels()["app.kubernetes.io/component"] == "terminator"
            && service.labels()["theirs"] == "stays";
        is_right.then_some(())
    };
    eventually_async(SOON, "the Service is as planned", look).await;

    let deployments = cluster.api::<Deployment>();
    let edit = json!({"spec": {"replicas": 7, "template": {"spec": {"terminationGracePeriodSeconds": 20}}}});
    deployments
        .patch(name, &params, &Patch::Merge(edit))
        .await
        .unwrap();
    let look = || async {
        let spec = deployments.get(name).await.unwrap().spec.unwrap();
        let grace = spec.template.spec.unwrap().termination_grace_period_seconds;
        (spec.replicas == Some(2) && grace == Some(45)).then_some(())
    };
    eventually_async(SOON, "the Deployment is as planned", look).await;

    let budgets = cluster.api::<PodDisruptionBudget>();
    let edit = json!({"spec": {"maxUnavailable": null, "minAvailable": 2}});
    budgets
        .patch(name, &params, &Patch::Merge(edit))
        .await
        .unwrap();
    let look = || async {
        let spec = budgets.get(name).await.unwrap().spec.unwrap();
        let is_right = spec.min_available.is_none() && spec.max_unavailable.is_some();
        is_right.then_some(())
    };
    eventually_async(SOON, "the PodDisruptionBudget is as planned", look).await;

    let secrets = cluster.api::<Secret>();
    let edit: Value = json!({"metadata": {"ownerReferences": null}, "data": {"config.yaml": ""}});
    secrets
        .patch(name, &params, &Patch::Merge(edit))
        .await
        .unwrap();
    let look = || async {
        let secret = secrets.get(name).await.unwrap();
        let is_full = secret
            .data
            .as_ref()
            .is_some_and(|data| data["config.yaml"].0.len() > 100);
        (is_full && secret.owner_references().len() == 1).then_some(())
    };
    eventually_async(SOON, "the Secret is as planned", look).await;
}

/// Only its name shows whose it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_without_owner_and_labels_is_restored() {
    let cluster = Fixture::start("stripped").await;
    cluster.programmed("edge", "").await;
    let strip = json!({"metadata": {"ownerReferences": null, "labels": null}, "spec": {"ports": [
        {"name": "mqtts", "port": 1, "protocol": "TCP"},
    ]}});
    let services = cluster.api::<Service>();
    services
        .patch("edge-mqtts", &PatchParams::default(), &Patch::Merge(strip))
        .await
        .unwrap();
    let look = || async {
        let service = services.get("edge-mqtts").await.unwrap();
        let is_owned = service.owner_references().len() == 1 && service.labels().len() > 3;
        let ports = service.spec.unwrap().ports.unwrap();
        (is_owned && ports[0].port == 8883).then_some(())
    };
    eventually_async(SOON, "the Service is as planned", look).await;
    cluster.wait_until_programmed("edge").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_secret_that_cannot_be_written_is_reported_before_the_write() {
    let cluster = Fixture::start("immutable").await;
    cluster.programmed("edge", "").await;
    let secrets = cluster.api::<Secret>();
    let (name, params) = ("edge-mqtts", PatchParams::default());
    let freeze = json!({"immutable": true});
    let frozen = secrets
        .patch(name, &params, &Patch::Merge(freeze))
        .await
        .unwrap();
    let condition = cluster
        .wait_for("edge", "Programmed", "False", "ConfigImmutable")
        .await;
    for part in [
        "Secret edge-mqtts is immutable",
        "kubectl rollout restart deployment/edge-mqtts",
    ] {
        assert!(condition.message.contains(part), "{}", condition.message);
    }
    // As the message says.
    secrets
        .delete(name, &DeleteParams::default())
        .await
        .unwrap();
    cluster.wait_until_programmed("edge").await;
    assert_ne!(cluster.child::<Secret>("edge").await.uid(), frozen.uid());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_secret_of_another_type_is_reported_before_the_write() {
    let mut cluster = Fixture::start("type").await;
    cluster.programmed("edge", "").await;
    cluster.kill_operator();
    let secrets = cluster.api::<Secret>();
    let mut other = cluster.child::<Secret>("edge").await;
    secrets
        .delete("edge-mqtts", &DeleteParams::default())
        .await
        .unwrap();
    other.type_ = Some("example.com/other".to_owned());
    other.metadata.uid = None;
    other.metadata.resource_version = None;
    other.metadata.managed_fields = None;
    secrets
        .create(&PostParams::default(), &other)
        .await
        .unwrap();
    cluster.start_operator();
    let condition = cluster
        .wait_for("edge", "Programmed", "False", "ConfigType")
        .await;
    for part in [
        "Secret edge-mqtts has the immutable type example.com/other",
        "delete it",
    ] {
        assert!(condition.message.contains(part), "{}", condition.message);
    }
    secrets
        .delete("edge-mqtts", &DeleteParams::default())
        .await
        .unwrap();
    cluster.wait_until_programmed("edge").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_children_are_recreated() {
    let cluster = Fixture::start("deleted").await;
    cluster.programmed("edge", "").await;
    let params = DeleteParams::default();
    cluster
        .api::<Secret>()
        .delete("edge-mqtts", &params)
        .await
        .unwrap();
    cluster.child::<Secret>("edge").await;
    cluster
        .api::<Service>()
        .delete("edge-mqtts", &params)
        .await
        .unwrap();
    cluster.child::<Service>("edge").await;
    cluster
        .api::<Deployment>()
        .delete("edge-mqtts", &params)
        .await
        .unwrap();
    cluster.child::<Deployment>("edge").await;
    cluster
        .api::<PodDisruptionBudget>()
        .delete("edge-mqtts", &params)
        .await
        .unwrap();
    cluster.child::<PodDisruptionBudget>("edge").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_others_are_left_alone() {
    let cluster = Fixture::start("foreign").await;
    cluster.apply(
        "apiVersion: v1\nkind: Service\nmetadata: {name: edge-mqtts}\n\
         spec: {ports: [{port: 80}], selector: {app: theirs}}\n",
    );
    cluster.put_tls("edge-tls", &cluster.leaf("edge")).await;
    cluster.apply_listener("edge", "");
    let condition = cluster
        .wait_for("edge", "Programmed", "False", "NameTaken")
        .await;
    assert!(
        condition.message.contains("Service edge-mqtts"),
        "{}",
        condition.message
    );
    cluster.child::<Deployment>("edge").await;
    let theirs = cluster.child::<Service>("edge").await;
    assert_eq!(theirs.spec.unwrap().ports.unwrap()[0].port, 80);
    assert_eq!(theirs.metadata.owner_references, None);

    cluster
        .api::<Service>()
        .delete("edge-mqtts", &DeleteParams::default())
        .await
        .unwrap();
    cluster.wait_until_programmed("edge").await;
}
