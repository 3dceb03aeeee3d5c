//! An expired token stops the work until there is a new one in its file, as the kubelet would put it there.

use std::time::Duration;

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::{Api, Resource};
use serde_json::json;
use tests::pods::config_of;
use tests::wait::eventually_async;
use tests::workdir;

use crate::fixture::{Fixture, NAMESPACE, spawn_operator};

/// Upper bound for a new token to be read, which is once a minute, and for the next retry after it.
const RENEWAL: Duration = Duration::from_secs(180);

/// Requests a token that is valid as long as a Secret exists.
async fn token(cluster: &Fixture, secret: &str) -> String {
    let secrets: Api<Secret> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    let bound = Secret {
        metadata: ObjectMeta {
            name: Some(secret.to_owned()),
            ..ObjectMeta::default()
        },
        ..Secret::default()
    };
    let bound = secrets
        .create(&PostParams::default(), &bound)
        .await
        .unwrap();
    let request = TokenRequest {
        spec: TokenRequestSpec {
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Secret".to_owned()),
                name: Some(secret.to_owned()),
                uid: bound.meta().uid.clone(),
            }),
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    let granted = accounts
        .create_token_request("mqtt-tls-operator", &PostParams::default(), &request)
        .await;
    granted.unwrap().status.unwrap().token
}

#[tokio::test(flavor = "multi_thread")]
async fn work_goes_on_with_a_new_token_after_the_old_one_has_expired() {
    let cluster = Fixture::without_operator("token").await;
    let folder = workdir::scratch("token");
    let file = folder.join("token");
    std::fs::write(&file, token(&cluster, "token-one").await).unwrap();
    let kubeconfig = folder.join("kubeconfig");
    let ca = cluster.server.folder().join("ca.crt");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {
            "server": cluster.server.url(), "certificate-authority": ca,
        }}],
        "users": [{"name": "test", "user": {"tokenFile": file}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    });
    // JSON is YAML.
    std::fs::write(&kubeconfig, config.to_string()).unwrap();
    let operator = spawn_operator(&kubeconfig, &["--namespace", &cluster.namespace]);
    cluster.programmed("edge", "").await;

    let secrets: Api<Secret> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    secrets
        .delete("token-one", &DeleteParams::default())
        .await
        .unwrap();
    operator.wait_for_line("Unauthorized", RENEWAL);
    let new = cluster.leaf("renewed");
    cluster.put_tls("edge-tls", &new).await;
    assert!(operator.is_running());
    std::fs::write(&file, token(&cluster, "token-two").await).unwrap();
    let (api, key) = (cluster.api::<Secret>(), new.key_pem.trim());
    let look = || async {
        let config = config_of(&api.get("edge-mqtts").await.unwrap());
        config.pem.expose().contains(key).then_some(())
    };
    eventually_async(RENEWAL, "the new certificate is rendered", look).await;
    cluster.wait_until_programmed("edge").await;
}
