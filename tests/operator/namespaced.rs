//! With one namespace to watch, the operator needs only a Role in that namespace, beside the one for its Lease.

use k8s_openapi::api::core::v1::Secret;
use kube::api::DeleteParams;
use mqtt_tls_operator::crd::MqttTlsListener;

use crate::account::{Account, lease_rules, working_rules};
use crate::fixture::{Fixture, SOON, spawn_operator};

#[tokio::test(flavor = "multi_thread")]
async fn requests_stay_within_the_namespace() {
    let cluster = Fixture::without_operator("scoped").await;
    let server = cluster.server;
    let account = Account::new(server, &cluster.namespace, "operator");
    let mut rules = working_rules(server).await;
    rules.extend(lease_rules(server).await);
    account.grant(rules).await;
    let namespace = cluster.namespace.as_str();
    let args = ["--namespace", namespace, "--lease-namespace", namespace];
    let operator = spawn_operator(&account.kubeconfig, &args);
    operator.wait_for_line("listed all listeners", SOON);

    cluster.apply_listener("edge", "  backend: {service: {name: smart-mqtt}}\n");
    cluster
        .wait_for("edge", "ResolvedRefs", "False", "SecretNotFound")
        .await;
    cluster.put_tls("edge-tls", &cluster.leaf("old")).await;
    cluster.apply(
        "apiVersion: v1\nkind: Service\nmetadata: {name: smart-mqtt}\nspec: {ports: [{port: 1883}]}\n",
    );
    cluster.wait_until_programmed("edge").await;
    cluster.make_pod("edge", "edge-mqtts-1").await;
    cluster.run_pods("edge").await;
    cluster.wait_for("edge", "Ready", "True", "Ready").await;
    let new = cluster.leaf("new");
    cluster.put_tls("edge-tls", &new).await;
    let is_new =
        |config: &mqtt_tls_config::Config| config.pem.expose().contains(new.key_pem.trim());
    cluster
        .wait_for_config("edge", "the new certificate is there", is_new)
        .await;
    // With one replica the PodDisruptionBudget is deleted.
    cluster.apply_listener("edge", "  replicas: 1\n");
    cluster.wait_until_programmed("edge").await;
    let params = DeleteParams::default();
    cluster
        .api::<Secret>()
        .delete("edge-mqtts", &params)
        .await
        .unwrap();
    cluster.child::<Secret>("edge").await;
    cluster
        .api::<MqttTlsListener>()
        .delete("edge", &params)
        .await
        .unwrap();
    cluster.settle().await;
    operator.signal(rustix::process::Signal::TERM);
    assert_eq!(operator.wait_exit(SOON).code(), Some(0));

    only_this_namespace(&account, namespace);
}

/// Checks that no request left the namespace, and that none was forbidden.
fn only_this_namespace(account: &Account, namespace: &str) {
    let requests = account.requests();
    assert!(requests.len() > 30, "{}", requests.len());
    for request in requests {
        let about = request.object_ref.as_ref();
        let place = about.map(|about| about.namespace.as_str());
        let asked = format!("{} {}", request.verb, request.request_uri);
        assert_eq!(place, Some(namespace), "{asked}");
        let code = request.response_status.map_or(0, |status| status.code);
        assert_ne!(code, 403, "{asked}");
    }
}
