//! The operator does nothing for a deleted listener: the garbage collector deletes the children by their owner
//! references. No collector runs here, so the children remain and belong to a predecessor of the next listener.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::DeleteParams;
use mqtt_tls_operator::crd::MqttTlsListener;

use crate::fixture::Fixture;

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_listener_is_not_touched_and_a_new_one_waits_for_the_collector() {
    let cluster = Fixture::start("delete").await;
    cluster.programmed("edge", "").await;
    cluster.settle().await;
    let writes = cluster.writes().len();
    let listeners = cluster.api::<MqttTlsListener>();
    listeners
        .delete("edge", &DeleteParams::default())
        .await
        .unwrap();
    cluster.settle().await;
    assert_eq!(
        cluster.writes().len(),
        writes,
        "nothing is written for a deleted listener"
    );

    cluster.apply_listener("edge", "");
    cluster
        .wait_for("edge", "Programmed", "False", "PredecessorRemains")
        .await;
    // In place of the garbage collector.
    let name = "edge-mqtts";
    let params = DeleteParams::default();
    cluster.api::<Secret>().delete(name, &params).await.unwrap();
    cluster
        .api::<Service>()
        .delete(name, &params)
        .await
        .unwrap();
    cluster
        .api::<PodDisruptionBudget>()
        .delete(name, &params)
        .await
        .unwrap();
    cluster
        .api::<Deployment>()
        .delete(name, &params)
        .await
        .unwrap();
    cluster.wait_until_programmed("edge").await;
    let uid = cluster.listener("edge").await.metadata.uid.unwrap();
    let owners = cluster
        .child::<Secret>("edge")
        .await
        .metadata
        .owner_references
        .unwrap();
    assert_eq!(owners[0].uid, uid);
}
