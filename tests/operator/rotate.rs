//! A changed Secret reaches the pods through the mount and their annotation, without a rollout.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tests::wait::eventually_async;

use crate::fixture::{Fixture, SOON};

const VERSION: &str = "mqtt.smartboot.tech/config-version";

/// Waits until a pod is annotated with the version of the configuration Secret, and returns it.
async fn wait_for_version(cluster: &Fixture, pod: &str) -> String {
    let look = || async {
        let version = cluster
            .child::<Secret>("edge")
            .await
            .resource_version()
            .unwrap();
        let pod = cluster.api::<Pod>().get(pod).await.unwrap();
        (pod.annotations().get(VERSION) == Some(&version)).then_some(version)
    };
    eventually_async(SOON, "the pod has the configuration's version", look).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_replaces_no_pod() {
    let cluster = Fixture::start("rotate").await;
    let (old, new) = (cluster.leaf("old"), cluster.leaf("new"));
    cluster.put_tls("edge-tls", &old).await;
    cluster.apply_listener("edge", "");
    cluster.make_pod("edge", "edge-mqtts-1").await;
    cluster.make_pod("edge", "edge-mqtts-2").await;
    // An evicted pod stays as an object, mounts nothing, and needs no annotation.
    let evicted = json!({"status": {"phase": "Failed", "reason": "Evicted"}});
    let pods = cluster.api::<Pod>();
    cluster.make_pod("edge", "edge-mqtts-0").await;
    pods.patch_status(
        "edge-mqtts-0",
        &PatchParams::default(),
        &Patch::Merge(evicted),
    )
    .await
    .unwrap();
    let first = wait_for_version(&cluster, "edge-mqtts-1").await;
    wait_for_version(&cluster, "edge-mqtts-2").await;
    let deployment = cluster.child::<Deployment>("edge").await;

    cluster.put_tls("edge-tls", &new).await;
    let is_new =
        |config: &mqtt_tls_config::Config| config.pem.expose().contains(new.key_pem.trim());
    let config = cluster
        .wait_for_config("edge", "the new certificate is rendered", is_new)
        .await;
    assert!(!config.pem.expose().contains(old.key_pem.trim()));
    let second = wait_for_version(&cluster, "edge-mqtts-1").await;
    wait_for_version(&cluster, "edge-mqtts-2").await;
    assert_ne!(first, second);
    let ended = pods.get("edge-mqtts-0").await.unwrap();
    assert_ne!(ended.annotations().get(VERSION), Some(&second));
    let after = cluster.child::<Deployment>("edge").await;
    assert_eq!(after.metadata.generation, deployment.metadata.generation);
    assert_eq!(
        after.spec.unwrap().template,
        deployment.spec.unwrap().template
    );
    let look = || async {
        let status = cluster.listener("edge").await.status.unwrap();
        (status.certificates[0].fingerprint == new.fingerprint()).then_some(())
    };
    eventually_async(SOON, "the status has the new fingerprint", look).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_a_ca_config_map_are_rendered() {
    let cluster = Fixture::start("ca").await;
    let (one, other) = (tests::pki::Ca::new("one"), tests::pki::Ca::new("other"));
    let map = |ca: &tests::pki::Ca| {
        let text = ca
            .cert_pem()
            .trim()
            .replace('\n', "\n    ")
            .replace('\r', "");
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: device-ca}}\ndata:\n  ca.crt: |\n    {text}\n"
        )
    };
    cluster.put_tls("edge-tls", &cluster.leaf("edge")).await;
    let auth = "  clientAuth: {mode: Require, caRef: {kind: ConfigMap, name: device-ca}}\n";
    cluster.apply_listener("edge", auth);
    cluster
        .wait_for("edge", "ResolvedRefs", "False", "CaNotFound")
        .await;
    let none = cluster.api::<Secret>().get_opt("edge-mqtts").await.unwrap();
    assert!(none.is_none(), "without a CA nothing is served");
    for ca in [&one, &other] {
        cluster.apply(&map(ca));
        let text = ca.cert_pem().replace('\r', "");
        let is_there = |config: &mqtt_tls_config::Config| {
            config
                .client_auth
                .ca
                .as_ref()
                .is_some_and(|found| found.expose().contains(text.trim()))
        };
        cluster
            .wait_for_config("edge", "the CA is rendered", is_there)
            .await;
    }
}
