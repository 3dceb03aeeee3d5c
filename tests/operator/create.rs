//! A listener and a Secret, in either order, lead to children, status and events.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Resource;
use kube::api::ListParams;
use tests::pki::Leaf;
use tests::wait::eventually_async;

use crate::fixture::{Fixture, SOON};

#[tokio::test(flavor = "multi_thread")]
async fn children_belong_to_the_listener_and_it_becomes_ready() {
    let cluster = Fixture::start("create").await;
    let leaf = cluster.leaf("edge");
    cluster.put_tls("edge-tls", &leaf).await;
    cluster.apply_listener("edge", "");

    let config = cluster
        .wait_for_config("edge", "it is rendered", |_| true)
        .await;
    assert_eq!(config.port, 8883);
    assert_eq!(config.backend.to_string(), "broker.example.com:1883");
    assert!(config.pem.expose().contains(leaf.key_pem.trim()));

    let uid = cluster.listener("edge").await.metadata.uid.unwrap();
    let owner = |meta: &kube::core::ObjectMeta| {
        let owners = meta.owner_references.clone().unwrap();
        assert_eq!(owners.len(), 1);
        (
            owners[0].uid.clone(),
            owners[0].controller,
            owners[0].kind.clone(),
        )
    };
    let wanted = (uid, Some(true), "MqttTlsListener".to_owned());
    assert_eq!(owner(cluster.child::<Secret>("edge").await.meta()), wanted);
    assert_eq!(owner(cluster.child::<Service>("edge").await.meta()), wanted);
    assert_eq!(
        owner(cluster.child::<PodDisruptionBudget>("edge").await.meta()),
        wanted
    );
    assert_eq!(
        owner(cluster.child::<Deployment>("edge").await.meta()),
        wanted
    );

    cluster.wait_until_programmed("edge").await;
    cluster
        .wait_for("edge", "Ready", "Unknown", "Progressing")
        .await;
    cluster.run_pods("edge").await;
    cluster.wait_for("edge", "Ready", "True", "Ready").await;

    status_is_complete(&cluster, &leaf).await;
    it_scales(&cluster).await;
}

async fn status_is_complete(cluster: &Fixture, leaf: &Leaf) {
    let status = cluster.listener("edge").await.status.unwrap();
    assert_eq!(status.ready_replicas, Some(2));
    assert_eq!(status.certificates[0].secret_name, "edge-tls");
    assert_eq!(status.certificates[0].fingerprint, leaf.fingerprint());
    assert_eq!(status.certificates[0].dns_names[0], "edge.example.com");
    assert_eq!(
        status.addresses[0].value,
        format!("edge-mqtts.{}.svc", cluster.namespace)
    );
    let table = cluster
        .server
        .kubectl(&["get", "mtl", "-n", &cluster.namespace])
        .expect_success()
        .stdout;
    let heads: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    let wanted = [
        "NAME", "READY", "REASON", "PODS", "ADDRESS", "EXPIRES", "AGE",
    ];
    assert_eq!(heads, wanted);
    let address = format!("mqtts://edge-mqtts.{}.svc:8883", cluster.namespace);
    let row: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row[..5], ["edge", "True", "Ready", "2/2", &address]);
}

async fn it_scales(cluster: &Fixture) {
    let scale = format!("--replicas=3 -n {} mtl/edge", cluster.namespace);
    let args: Vec<&str> = ["scale"].into_iter().chain(scale.split(' ')).collect();
    cluster.server.kubectl(&args).expect_success();
    cluster.wait_until_programmed("edge").await;
    assert_eq!(
        cluster
            .child::<Deployment>("edge")
            .await
            .spec
            .unwrap()
            .replicas,
        Some(3)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_of_the_template_passes_restricted_pod_security() {
    let cluster = Fixture::start("restricted").await;
    cluster.put_tls("edge-tls", &cluster.leaf("edge")).await;
    // A privileged port.
    cluster.apply_listener("edge", "  port: 883\n");
    cluster.make_pod("edge", "edge-mqtts-1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_may_precede_its_secret() {
    let cluster = Fixture::start("before").await;
    cluster.apply_listener("edge", "");
    let missing = cluster
        .wait_for("edge", "ResolvedRefs", "False", "SecretNotFound")
        .await;
    assert!(
        missing.message.contains("Secret edge-tls"),
        "{}",
        missing.message
    );
    let found = cluster
        .api::<Deployment>()
        .get_opt("edge-mqtts")
        .await
        .unwrap();
    assert!(found.is_none(), "pods without a configuration cannot start");

    cluster.put_tls("edge-tls", &cluster.leaf("edge")).await;
    cluster.wait_until_programmed("edge").await;
    cluster.child::<Deployment>("edge").await;
    cluster.settle().await;
    let events = cluster
        .api::<Event>()
        .list(&ListParams::default())
        .await
        .unwrap();
    let mut reasons: Vec<String> = events
        .items
        .into_iter()
        .filter_map(|one| one.reason)
        .collect();
    reasons.sort();
    reasons.dedup();
    for reason in [
        "CertificateLoaded",
        "Programmed",
        "ResolvedRefs",
        "SecretNotFound",
    ] {
        assert!(
            reasons.iter().any(|found| found == reason),
            "{reason} is not in {reasons:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_spec_reaches_the_children() {
    let cluster = Fixture::start("update").await;
    cluster
        .programmed(
            "edge",
            "  service: {labels: {team: iot}, annotations: {example.com/a: b}}\n",
        )
        .await;
    let template = cluster
        .child::<Deployment>("edge")
        .await
        .metadata
        .generation;

    cluster.apply_listener("edge", "  port: 9443\n  service: {type: NodePort}\n");
    cluster
        .wait_for_config("edge", "the port is the new one", |config| {
            config.port == 9443
        })
        .await;
    cluster.wait_until_programmed("edge").await;
    let service = cluster.child::<Service>("edge").await;
    assert_eq!(
        service.spec.as_ref().unwrap().type_.as_deref(),
        Some("NodePort")
    );
    assert_eq!(service.spec.unwrap().ports.unwrap()[0].port, 9443);
    let labels = service.metadata.labels.unwrap();
    assert!(
        !labels.contains_key("team"),
        "labels removed from the spec are removed: {labels:?}"
    );
    assert_eq!(service.metadata.annotations, None);
    let after = cluster
        .child::<Deployment>("edge")
        .await
        .metadata
        .generation;
    assert_eq!(after, template, "a port replaces no pod");

    cluster.apply_listener("edge", "  replicas: 1\n");
    cluster.wait_until_programmed("edge").await;
    let budgets = cluster.api::<PodDisruptionBudget>();
    assert!(
        budgets.get_opt("edge-mqtts").await.unwrap().is_none(),
        "one pod has no budget"
    );
}

/// Several certificates, at once and one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn each_certificate_has_its_own_event() {
    let cluster = Fixture::start("events").await;
    cluster.put_tls("edge-tls", &cluster.leaf("edge")).await;
    cluster.put_tls("other-tls", &cluster.leaf("other")).await;
    let certificates =
        "  certificates: [{secretRef: {name: edge-tls}}, {secretRef: {name: other-tls}}]\n";
    cluster.apply_listener("edge", certificates);
    cluster.wait_until_programmed("edge").await;
    cluster.put_tls("edge-tls", &cluster.leaf("renewed")).await;
    let events = cluster.api::<Event>();
    let look = || async {
        let events = events.list(&ListParams::default()).await.unwrap().items;
        let loaded = |event: &Event| event.reason.as_deref() == Some("CertificateLoaded");
        let notes = events.into_iter().filter(loaded).filter_map(|one| one.note);
        let mut notes: Vec<String> = notes
            .map(|note| note.split(',').next().unwrap_or_default().to_owned())
            .collect();
        notes.sort();
        let wanted = [
            "Secret edge-tls: certificate for edge.example.com",
            "Secret edge-tls: certificate for renewed.example.com",
            "Secret other-tls: certificate for other.example.com",
        ];
        (notes == wanted).then_some(())
    };
    eventually_async(SOON, "each certificate has an event", look).await;
}
