//! A changed port: the configuration has the former one too, until the Service has followed.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Secret, Service};
use kube::ResourceExt;
use mqtt_tls_config::Config;
use mqtt_tls_operator::plan::ports::LINGERING;
use tests::wait::eventually_async;

use crate::account::{Account, without, working_rules};
use crate::fixture::{Fixture, SOON, spawn_operator};

/// Returns the port of the Service.
async fn service_port(cluster: &Fixture) -> i32 {
    let spec = cluster.child::<Service>("edge").await.spec.unwrap();
    spec.ports.unwrap()[0].port
}

fn has_both(config: &Config) -> bool {
    config.port == 883 && config.also_listen == [8883]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_former_port_stays_open_until_the_service_has_followed() {
    let cluster = Fixture::without_operator("ports").await;
    let account = Account::operator(cluster.server, &cluster.namespace, "operator").await;
    let all = working_rules(cluster.server).await;
    cluster.put_tls("edge-tls", &cluster.leaf("edge")).await;
    cluster.apply_listener("edge", "");
    let _operator = spawn_operator(&account.kubeconfig, &["--namespace", &cluster.namespace]);
    cluster.wait_until_programmed("edge").await;

    account.grant(without(&all, "patch", "services")).await;
    cluster.apply_listener("edge", "  port: 883\n");
    cluster
        .wait_for_config("edge", "both ports", has_both)
        .await;
    // The Service follows later, and cannot.
    cluster
        .wait_for("edge", "Programmed", "False", "Forbidden")
        .await;
    assert_eq!(service_port(&cluster).await, 8883);
    cluster
        .wait_for_config("edge", "still both ports", has_both)
        .await;

    account.grant(all).await;
    let look = || async { (service_port(&cluster).await == 883).then_some(()) };
    eventually_async(2 * SOON, "the Service has followed", look).await;
    cluster.wait_until_programmed("edge").await;
    cluster
        .wait_for_config("edge", "both ports, for a while", has_both)
        .await;
    let secrets = cluster.api::<Secret>();
    let before = secrets.get("edge-mqtts").await.unwrap().resource_version();
    let look = || async {
        let secret = secrets.get("edge-mqtts").await.unwrap();
        let config = tests::pods::config_of(&secret);
        assert!(config.also_listen.is_empty() || secret.resource_version() == before);
        config.also_listen.is_empty().then_some(())
    };
    let patience = LINGERING + Duration::from_secs(60);
    eventually_async(patience, "the former port is closed", look).await;
    cluster.wait_until_programmed("edge").await;
}
