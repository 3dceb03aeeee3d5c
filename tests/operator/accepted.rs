//! The configuration that all pods have accepted is kept in a Secret of its own, which a pod starts from if it refuses the
//! current one.

use k8s_openapi::api::core::v1::Secret;
use kube::api::DeleteParams;
use mqtt_tls_config::{ClientAuthMode, Config};
use tests::pki::Ca;
use tests::pods::config_of;
use tests::pods::write;
use tests::wait::eventually_async;

use crate::fixture::{Fixture, SOON};
use crate::prove::{broker, mounted, start};

const NAME: &str = "edge-mqtts-accepted";

/// Waits until the Secret holds a configuration (or none) that is as wanted.
async fn wait_for_accepted(cluster: &Fixture, what: &str, is: impl Fn(Option<&Config>) -> bool) {
    let secrets = cluster.api::<Secret>();
    eventually_async(SOON, what, || async {
        let secret = secrets.get_opt(NAME).await.unwrap()?;
        let text = secret.data.unwrap_or_default().remove("accepted.yaml");
        let config = text.map(|text| Config::parse(std::str::from_utf8(&text.0).unwrap()).unwrap());
        is(config.as_ref()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_configuration_does_not_replace_the_accepted_one() {
    let cluster = Fixture::start("accepted").await;
    let (_broker, port) = broker().await;
    cluster.put_tls("edge-tls", &cluster.leaf("edge")).await;
    cluster.apply_listener("edge", "  replicas: 1");
    cluster.wait_until_programmed("edge").await;
    assert!(
        cluster
            .api::<Secret>()
            .get_opt(NAME)
            .await
            .unwrap()
            .is_none()
    );
    cluster.run_pods("edge").await;
    let pod = start(&cluster, "edge-mqtts-1", port).await;
    let first = config_of(&cluster.child::<Secret>("edge").await);
    let is_first = |config: Option<&Config>| config == Some(&first);
    wait_for_accepted(&cluster, "the first one is accepted", is_first).await;
    cluster.writes_nothing_more().await;

    // No pod has this address.
    cluster.apply_listener("edge", "  replicas: 1\n  host: 192.0.2.1");
    let is_new = |config: &Config| config.host.is_some();
    cluster
        .wait_for_config("edge", "it is rendered", is_new)
        .await;
    let mut refused = mounted(&cluster, pod.ip, port).await;
    refused.host = Some("192.0.2.1".parse().unwrap());
    write(&pod.file, &refused);
    let (type_, reason) = ("CertificateServed", "ConfigurationRefused");
    cluster.wait_for("edge", type_, "False", reason).await;
    wait_for_accepted(&cluster, "the first one stays", is_first).await;

    // Someone deletes it: only what pods accept is written again.
    let secrets = cluster.api::<Secret>();
    secrets
        .delete(NAME, &DeleteParams::default())
        .await
        .unwrap();
    cluster.writes_nothing_more().await;
    assert!(secrets.get_opt(NAME).await.unwrap().is_none());
    cluster.apply_listener("edge", "  replicas: 1");
    let is_back = |config: &Config| config.host.is_none();
    cluster
        .wait_for_config("edge", "it is rendered", is_back)
        .await;
    write(&pod.file, &mounted(&cluster, pod.ip, port).await);
    let is_written = |config: Option<&Config>| config.is_some_and(|config| config.host.is_none());
    wait_for_accepted(&cluster, "the way back is accepted", is_written).await;
    cluster.writes_nothing_more().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_never_accepts_clients_that_the_current_one_refuses() {
    let cluster = Fixture::start("stricter").await;
    let (_broker, port) = broker().await;
    cluster.put_tls("edge-tls", &cluster.leaf("edge")).await;
    let ca = Ca::new("device CA").cert_pem();
    cluster
        .put_secret("device-ca", &[("ca.crt", ca.as_bytes())])
        .await;
    cluster.apply_listener("edge", "  replicas: 1");
    cluster.wait_until_programmed("edge").await;
    cluster.run_pods("edge").await;
    let pod = start(&cluster, "edge-mqtts-1", port).await;
    wait_for_accepted(&cluster, "the first one is accepted", |config| {
        config.is_some()
    })
    .await;
    let auth =
        "  replicas: 1\n  clientAuth: {mode: Require, caRef: {kind: Secret, name: device-ca}}";
    cluster.apply_listener("edge", auth);
    let is_strict = |config: &Config| config.client_auth.mode == ClientAuthMode::Require;
    cluster
        .wait_for_config("edge", "it is rendered", is_strict)
        .await;
    wait_for_accepted(&cluster, "nothing is left", |config| config.is_none()).await;
    write(&pod.file, &mounted(&cluster, pod.ip, port).await);
    wait_for_accepted(&cluster, "the stricter one is accepted", |config| {
        config.is_some_and(is_strict)
    })
    .await;
    cluster.writes_nothing_more().await;
}
