//! etcd is killed, and the operator is started again meanwhile: afterwards it works on, and writes only what has changed.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use mqtt_tls_operator::crd;
use serde_json::json;
use tests::apiserver::ApiServer;
use tests::pki::Ca;
use tests::wait::eventually_async;

use crate::fixture::{SOON, listener, root, spawn_operator};

/// Upper bound for a recovery: the API server itself waits with its retries.
const RECOVERY: Duration = Duration::from_secs(120);

const WAIT: [&str; 4] = [
    "wait",
    "--for=condition=Programmed",
    "--timeout=50s",
    "mtl/edge",
];

#[tokio::test(flavor = "multi_thread")]
async fn work_goes_on_after_etcd_was_killed() {
    let mut server = ApiServer::start();
    server.install_crd_yaml(&crd::yaml()).await;
    let base = root().join("deploy/base");
    let apply = ["apply", "--server-side", "-k", base.to_str().unwrap()];
    server.kubectl(&apply).expect_success();
    let leaf = Ca::new("server CA").leaf().dns("edge.example.com").issue();
    let (chain, key) = leaf.files();
    let (chain, key) = (chain.display().to_string(), key.display().to_string());
    let create = [
        "create", "secret", "tls", "edge-tls", "--cert", &chain, "--key", &key,
    ];
    server.kubectl(&create).expect_success();
    let apply = ["apply", "-f", "-"];
    let manifest = listener("edge", "edge-tls", "");
    server
        .kubectl_with_input(&apply, &manifest)
        .expect_success();
    let operator = spawn_operator(&server.kubeconfig(), &[]);
    operator.wait_for_line("listed all listeners", SOON);
    server.kubectl(&WAIT).expect_success();

    let api: Api<Deployment> = Api::namespaced(server.client().await, "default");
    let before = api.get("edge-mqtts").await.unwrap().resource_version();
    server.kill_etcd();
    operator.kill();
    let operator = spawn_operator(&server.kubeconfig(), &[]);
    operator.wait_for_line("watch failed; retrying", RECOVERY);
    server.start_etcd();
    operator.wait_for_line("listed all listeners", RECOVERY);
    let look = || async { api.get("edge-mqtts").await.ok()?.resource_version() };
    let after = eventually_async(RECOVERY, "the API server works again", look).await;
    assert_eq!(Some(after), before, "nothing has changed");
    let patch = Patch::Merge(json!({"spec": {"replicas": 3}}));
    let listeners: Api<crd::MqttTlsListener> = Api::namespaced(server.client().await, "default");
    let params = PatchParams::default();
    listeners.patch("edge", &params, &patch).await.unwrap();
    let look = || async {
        let found = api.get("edge-mqtts").await.ok()?.spec?.replicas;
        (found == Some(3)).then_some(())
    };
    eventually_async(RECOVERY, "the change is applied", look).await;
}
