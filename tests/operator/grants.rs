//! Secrets of another namespace, which the Gateway API's ReferenceGrants permit, in both versions of its definition, and in a cluster that
//! does not have it at first.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use tests::apiserver::ApiServer;
use tests::assets;
use tests::wait::eventually_async;

use crate::fixture::{Fixture, SOON, start_operator};

/// Allows for the backoff of a watch that has failed several times.
const NOTICED: Duration = Duration::from_secs(90);

/// What the other namespace has, beside the Secret.
struct Owner<'o> {
    cluster: &'o Fixture,
    namespace: String,
}

impl Owner<'_> {
    /// Permits listeners in the cluster's namespace to use all Secrets.
    fn permit(&self, version: &str) {
        let from = &self.cluster.namespace;
        let grant = format!(
            "apiVersion: gateway.networking.k8s.io/{version}
kind: ReferenceGrant
metadata: {{name: listeners, namespace: {}}}
spec:
  from: [{{group: mqtt.smartboot.tech, kind: MqttTlsListener, namespace: {from}}}]
  to: [{{group: '', kind: Secret}}]
",
            self.namespace
        );
        let apply = ["apply", "--server-side", "-f", "-"];
        let applied = self.cluster.server.kubectl_with_input(&apply, &grant);
        applied.expect_success();
    }

    fn withdraw(&self) {
        let delete = [
            "-n",
            &self.namespace,
            "delete",
            "referencegrants",
            "listeners",
        ];
        self.cluster.server.kubectl(&delete).expect_success();
    }
}

/// Installs the definition of ReferenceGrants, with the older version only or with both.
fn define(server: &ApiServer, is_older_only: bool) {
    let definition = std::fs::read_to_string(assets::reference_grant_crd()).unwrap();
    let definition = if is_older_only {
        // The newest version comes first.
        definition.replacen("served: true", "served: false", 1)
    } else {
        definition
    };
    let apply = ["apply", "--server-side", "-f", "-"];
    server
        .kubectl_with_input(&apply, &definition)
        .expect_success();
    let crd = "crd/referencegrants.gateway.networking.k8s.io";
    let wait = ["wait", "--for=condition=Established", "--timeout=60s", crd];
    server.kubectl(&wait).expect_success();
}

fn listener(owner: &Owner<'_>, grace: &str) -> String {
    format!(
        "apiVersion: mqtt.smartboot.tech/v1alpha1
kind: MqttTlsListener
metadata: {{name: edge}}
spec:
  referenceGrace: {grace}
  certificates: [{{secretRef: {{namespace: {}, name: edge-tls}}}}]
  backend: {{address: {{host: broker.example.com}}}}
",
        owner.namespace
    )
}

/// Waits until `ResolvedRefs` has a reason, for as long as a watch may need to notice a new kind.
async fn resolved(cluster: &Fixture, reason: &str) -> Condition {
    let look = || async {
        let status = cluster.listener("edge").await.status.unwrap_or_default();
        let mut conditions = status.conditions.into_iter();
        conditions.find(|one| one.type_ == "ResolvedRefs" && one.reason == reason)
    };
    eventually_async(NOTICED, &format!("ResolvedRefs is {reason}"), look).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_elsewhere_is_used_under_a_reference_grant() {
    // Other tests must not find the definition, and the operator watches all namespaces.
    let server: &'static ApiServer = Box::leak(Box::new(ApiServer::start()));
    let mut cluster = Fixture::on(server, "grants").await;
    cluster.operator = Some(start_operator(server, &[]));
    let owner = Owner {
        cluster: &cluster,
        namespace: server.namespace("certs").await,
    };
    let leaf = cluster.leaf("edge");
    let (cert, key) = leaf.files();
    let (cert, key) = (
        format!("--cert={}", cert.display()),
        format!("--key={}", key.display()),
    );
    let create = [
        "-n",
        &owner.namespace,
        "create",
        "secret",
        "tls",
        "edge-tls",
        &cert,
        &key,
    ];
    server.kubectl(&create).expect_success();

    cluster.apply(&listener(&owner, "24h"));
    let refs = resolved(&cluster, "RefNotPermitted").await;
    let secret = format!("Secret {}/edge-tls: no ReferenceGrant", owner.namespace);
    assert!(refs.message.contains(&secret), "{}", refs.message);
    define(server, true);
    owner.permit("v1beta1");
    resolved(&cluster, "ResolvedRefs").await;
    cluster.wait_until_programmed("edge").await;

    // What is served stays for a while, and its end is said.
    owner.withdraw();
    let refs = resolved(&cluster, "RefNotPermitted").await;
    let stays = "the previous certificate stays in use until 20";
    assert!(refs.message.contains(stays), "{}", refs.message);
    define(server, false);
    owner.permit("v1");
    resolved(&cluster, "ResolvedRefs").await;

    cluster.apply(&listener(&owner, "0s"));
    cluster.wait_until_programmed("edge").await;
    owner.withdraw();
    let deployments = cluster.api::<Deployment>();
    let look = || async {
        let deployment = deployments.get("edge-mqtts").await.unwrap();
        (deployment.spec?.replicas == Some(0)).then_some(())
    };
    eventually_async(SOON, "the pods are stopped", look).await;
    // The status follows the pods.
    let is_ready = || async {
        let status = cluster.listener("edge").await.status.unwrap_or_default();
        let mut conditions = status.conditions.into_iter();
        conditions.find(|one| one.type_ == "Ready" && one.reason == "RefNotPermitted")
    };
    let ready = eventually_async(SOON, "Ready is RefNotPermitted", is_ready).await;
    assert_eq!(ready.status, "False");
}
