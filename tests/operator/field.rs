//! What users of other operators, gateways and ingress controllers have reported, tried on this one: a status that is not
//! true, Secrets that are not followed, Services that are written again and again or never. Each test names the kind.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tests::pods::config_of;
use tests::wait::eventually_async;

use crate::fixture::{Fixture, SOON};

const CHILD: &str = "edge-mqtts";

async fn ready(prefix: &str, more: &str) -> Fixture {
    let cluster = Fixture::start(prefix).await;
    cluster.programmed("edge", more).await;
    cluster.run_pods("edge").await;
    cluster.wait_for("edge", "Ready", "True", "Ready").await;
    cluster
}

async fn set_status<K>(cluster: &Fixture, status: &Value)
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + serde::de::DeserializeOwned
        + std::fmt::Debug,
{
    let patch = Patch::Merge(json!({"status": status}));
    let params = PatchParams::default();
    cluster
        .api::<K>()
        .patch_status(CHILD, &params, &patch)
        .await
        .unwrap();
}

/// A change that needs no rollout left the observed generation behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_without_a_rollout_is_observed() {
    let cluster = ready("field-observed", "").await;
    let chain = cluster.api::<Secret>().get("edge-tls").await.unwrap();
    let copy = Secret {
        metadata: kube::core::ObjectMeta {
            name: Some("other-tls".to_owned()),
            ..kube::core::ObjectMeta::default()
        },
        ..chain
    };
    let secrets = cluster.api::<Secret>();
    secrets.create(&PostParams::default(), &copy).await.unwrap();
    cluster.apply(&crate::fixture::listener("edge", "other-tls", ""));
    let look = || async {
        let listener = cluster.listener("edge").await;
        let generation = listener.metadata.generation;
        let status = listener.status?;
        let is_current = |one: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
            one.observed_generation == generation
        };
        let all = status.observed_generation == generation
            && status.conditions.iter().all(is_current)
            && status.certificates[0].secret_name == "other-tls";
        all.then_some(())
    };
    eventually_async(SOON, "each condition is about the new generation", look).await;
    cluster.wait_for("edge", "Ready", "True", "Ready").await;
}

/// Ready stayed after the last pod was gone.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_pod_that_serves_a_listener_is_not_ready_any_more() {
    let cluster = ready("field-gone", "").await;
    let none = json!({"replicas": 2, "readyReplicas": 0, "availableReplicas": 0, "unavailableReplicas": 2});
    set_status::<Deployment>(&cluster, &none).await;
    let look = || async {
        let conditions = cluster.listener("edge").await.status?.conditions;
        let ready = conditions.into_iter().find(|one| one.type_ == "Ready")?;
        (ready.status == "False").then_some(())
    };
    eventually_async(SOON, "it is not ready", look).await;
    cluster.run_pods("edge").await;
    cluster.wait_for("edge", "Ready", "True", "Ready").await;
}

/// What the API server adds to Services with node ports was taken for a difference, or was lost with the next change.
#[tokio::test(flavor = "multi_thread")]
async fn ports_that_the_api_server_assigns_are_left_and_kept() {
    let cluster = Fixture::start("field-ports").await;
    let more = "  service: {type: LoadBalancer, externalTrafficPolicy: Local}\n";
    cluster.put_tls("edge-tls", &cluster.leaf("edge")).await;
    cluster.apply_listener("edge", more);
    cluster.child::<Service>("edge").await;
    cluster.assign_address("edge").await;
    cluster.wait_until_programmed("edge").await;
    cluster.writes_nothing_more().await;
    let assigned = async |cluster: &Fixture| {
        let spec = cluster.child::<Service>("edge").await.spec.unwrap();
        let port = spec.ports.as_ref().unwrap()[0].node_port;
        (port, spec.health_check_node_port, spec.cluster_ip)
    };
    let before = assigned(&cluster).await;
    assert!(before.0.is_some() && before.1.is_some(), "{before:?}");
    let labelled = more.replace('}', ", labels: {team: iot}}");
    cluster.apply_listener("edge", &labelled);
    let look = || async {
        let service = cluster.child::<Service>("edge").await;
        service.labels().contains_key("team").then_some(())
    };
    eventually_async(SOON, "the label is there", look).await;
    assert_eq!(assigned(&cluster).await, before);
    // There and back: what only a load balancer has must not be in the way.
    cluster.apply_listener("edge", "");
    cluster.wait_until_programmed("edge").await;
    assert_eq!(assigned(&cluster).await.1, None);
    cluster.apply_listener("edge", more);
    cluster
        .wait_for("edge", "Programmed", "False", "AddressPending")
        .await;
    let status = cluster.listener("edge").await.status.unwrap();
    assert!(status.addresses.is_empty(), "{:?}", status.addresses);
}

/// An address was shown after the load balancer had taken it away.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_taken_away_is_not_shown() {
    let cluster = Fixture::start("field-address").await;
    cluster.put_tls("edge-tls", &cluster.leaf("edge")).await;
    cluster.apply_listener("edge", "  service: {type: LoadBalancer}\n");
    cluster.child::<Service>("edge").await;
    cluster.assign_address("edge").await;
    cluster.wait_until_programmed("edge").await;
    set_status::<Service>(&cluster, &json!({"loadBalancer": {"ingress": null}})).await;
    cluster
        .wait_for("edge", "Programmed", "False", "AddressPending")
        .await;
    let status = cluster.listener("edge").await.status.unwrap();
    assert!(status.addresses.is_empty(), "{:?}", status.addresses);
}

/// A Secret that was deleted and made again, with another type, was not followed; and what serves was lost meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_made_again_with_another_type_is_followed() {
    let cluster = ready("field-secret", "").await;
    let secrets = cluster.api::<Secret>();
    let before = config_of(&secrets.get(CHILD).await.unwrap());
    let params = DeleteParams::default();
    secrets.delete("edge-tls", &params).await.unwrap();
    cluster
        .wait_for("edge", "ResolvedRefs", "False", "SecretNotFound")
        .await;
    let kept = config_of(&secrets.get(CHILD).await.unwrap());
    assert_eq!(kept.pem.expose(), before.pem.expose());
    let leaf = cluster.leaf("edge");
    let new = json!({
        "metadata": {"name": "edge-tls"}, "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": leaf.chain_pem, "tls.key": leaf.key_pem},
    });
    let new: Secret = serde_json::from_value(new).unwrap();
    secrets.create(&PostParams::default(), &new).await.unwrap();
    cluster
        .wait_for_config("edge", "the new certificate", |config| {
            config.pem.expose().contains(leaf.key_pem.trim())
        })
        .await;
}

/// An issuer writes the key first and the certificate later: a half Secret took effect, or its end was not noticed.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_written_in_two_steps_takes_effect_as_a_whole() {
    let cluster = ready("field-steps", "").await;
    let before = config_of(&cluster.api::<Secret>().get(CHILD).await.unwrap());
    let leaf = cluster.leaf("edge");
    let key = leaf.key_pem.as_bytes();
    cluster
        .put_secret(
            "edge-tls",
            &[("tls.crt", b""), ("tls.key", key), ("ca.crt", b"")],
        )
        .await;
    cluster
        .wait_for("edge", "ResolvedRefs", "False", "MissingKey")
        .await;
    let kept = config_of(&cluster.api::<Secret>().get(CHILD).await.unwrap());
    assert_eq!(kept.pem.expose(), before.pem.expose());
    let chain = leaf.chain_pem.as_bytes();
    cluster
        .put_secret(
            "edge-tls",
            &[("tls.crt", chain), ("tls.key", key), ("ca.crt", b"")],
        )
        .await;
    cluster
        .wait_for_config("edge", "the new certificate", |config| {
            config.pem.expose().contains(leaf.key_pem.trim())
        })
        .await;
    cluster
        .wait_for("edge", "ResolvedRefs", "True", "ResolvedRefs")
        .await;
}

/// Headless can be neither set nor unset: an operator failed for ever at a Service that others had made so.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_others_made_headless_is_reported_with_the_way_out() {
    let cluster = Fixture::start("field-headless").await;
    cluster.programmed("edge", "").await;
    let services = cluster.api::<Service>();
    let mut headless = services.get(CHILD).await.unwrap();
    headless.metadata.resource_version = None;
    headless.metadata.uid = None;
    headless.metadata.managed_fields = None;
    let spec = headless.spec.as_mut().unwrap();
    (spec.cluster_ip, spec.cluster_ips) = (Some("None".to_owned()), Some(vec!["None".to_owned()]));
    cluster
        .operator
        .as_ref()
        .unwrap()
        .signal(rustix::process::Signal::STOP);
    let params = DeleteParams::default();
    services.delete(CHILD, &params).await.unwrap();
    services
        .create(&PostParams::default(), &headless)
        .await
        .unwrap();
    cluster
        .operator
        .as_ref()
        .unwrap()
        .signal(rustix::process::Signal::CONT);
    // A load balancer needs an address of the cluster.
    cluster.apply_listener("edge", "  service: {type: LoadBalancer}\n");
    let condition = cluster
        .wait_for("edge", "Programmed", "False", "Invalid")
        .await;
    assert!(
        condition
            .message
            .contains("kubectl delete Service edge-mqtts"),
        "{}",
        condition.message
    );
    services.delete(CHILD, &params).await.unwrap();
    cluster
        .wait_for("edge", "Programmed", "False", "AddressPending")
        .await;
}
