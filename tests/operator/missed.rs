//! While one watch is refused, changes of its kind are missed; they are found afterwards, for each kind that is watched.
//! The other watches go on, so that nothing else reveals the change.

use std::fmt::Debug;
use std::time::Duration;

use axum::http::StatusCode;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Secret, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::DeleteParams;
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tests::pki::Ca;
use tests::pods::config_of;
use tests::process::Process;
use tests::wait::eventually_async;

use crate::fixture::{Fixture, spawn_operator};
use crate::proxy::{Fault, Proxy};

/// Upper bound for the next try of a watch, which doubles its wait with each failure.
const AGAIN: Duration = Duration::from_secs(90);

/// The annotation of pods with the version of the configuration.
const VERSION: &str = "mqtt.smartboot.tech/config-version";

const CA: &str = "  clientAuth: {mode: Require, caRef: {kind: ConfigMap, name: device-ca}}\n";

/// All resources that are watched.
const RESOURCES: [(&str, &str); 7] = [
    ("configmaps", "ConfigMap"),
    ("deployments", "Deployment"),
    ("mqtttlslisteners", "MqttTlsListener"),
    ("poddisruptionbudgets", "PodDisruptionBudget"),
    ("pods", "Pod"),
    ("secrets", "Secret"),
    ("services", "Service"),
];

#[tokio::test(flavor = "multi_thread")]
async fn changes_missed_by_an_expired_watch_are_found_for_each_kind() {
    each_kind("missed-gone", StatusCode::GONE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_missed_by_a_forbidden_watch_are_found_for_each_kind() {
    each_kind("missed-forbidden", StatusCode::FORBIDDEN).await;
}

async fn each_kind(prefix: &str, code: StatusCode) {
    let cluster = Fixture::without_operator(prefix).await;
    let proxy = Proxy::start(cluster.client.clone()).await;
    put_ca(&cluster, &Ca::new("first"));
    cluster.put_tls("edge-tls", &cluster.leaf("edge")).await;
    cluster.apply_listener("edge", CA);
    let operator = spawn_operator(&proxy.kubeconfig, &["--namespace", &cluster.namespace]);
    for (resource, kind) in RESOURCES {
        cluster.wait_until_programmed("edge").await;
        refuse(&proxy, &operator, resource, kind, code);
        let seen = change(&cluster, resource).await;
        proxy.set(Fault::None);
        eventually_async(AGAIN, &format!("the change of {kind} is seen"), || {
            is_seen(&cluster, &seen)
        })
        .await;
    }
}

/// Makes a watch fail, and waits until it has.
fn refuse(proxy: &Proxy, operator: &Process, resource: &'static str, kind: &str, code: StatusCode) {
    let mark = operator.mark();
    proxy.set(Fault::Refused(resource, code));
    operator.wait_until(&format!("the watch of {kind} fails"), AGAIN, || {
        let lines = operator.lines();
        let is_it = |line: &&String| line.contains("watch failed; retrying") && line.contains(kind);
        lines.iter().skip(mark).find(is_it).map(|_| ())
    });
}

/// What shows that a change was seen.
enum Seen {
    /// The rendered configuration contains this.
    Rendered(String),
    /// The pod has the version of the configuration.
    Marked(&'static str),
    /// The Deployment has so many replicas.
    Scaled(i32),
    /// There is a child again.
    Back(&'static str),
}

/// Changes an object of a kind.
async fn change(cluster: &Fixture, resource: &str) -> Seen {
    let (name, params) = ("edge-mqtts", DeleteParams::default());
    match resource {
        "configmaps" => {
            let ca = Ca::new("second");
            put_ca(cluster, &ca);
            Seen::Rendered(ca.cert_pem().replace('\r', "").trim().to_owned())
        }
        "secrets" => {
            let leaf = cluster.leaf("renewed");
            cluster.put_tls("edge-tls", &leaf).await;
            Seen::Rendered(leaf.key_pem.trim().to_owned())
        }
        "mqtttlslisteners" => {
            cluster.apply_listener("edge", &format!("{CA}  replicas: 3\n"));
            Seen::Scaled(3)
        }
        "pods" => {
            cluster.make_pod("edge", "edge-mqtts-1").await;
            Seen::Marked("edge-mqtts-1")
        }
        "deployments" => {
            let api = cluster.api::<Deployment>();
            api.delete(name, &params).await.unwrap();
            Seen::Back("deployments")
        }
        "poddisruptionbudgets" => {
            let api = cluster.api::<PodDisruptionBudget>();
            api.delete(name, &params).await.unwrap();
            Seen::Back("poddisruptionbudgets")
        }
        "services" => {
            let api = cluster.api::<Service>();
            api.delete(name, &params).await.unwrap();
            Seen::Back("services")
        }
        other => panic!("{other} is not in the table"),
    }
}

async fn is_seen(cluster: &Fixture, seen: &Seen) -> Option<()> {
    let name = "edge-mqtts";
    let is_seen = match seen {
        Seen::Rendered(text) => {
            let secret = cluster.api::<Secret>().get(name).await.unwrap();
            let config = config_of(&secret);
            let ca = config.client_auth.ca.as_ref();
            config.pem.expose().contains(text) || ca.is_some_and(|ca| ca.expose().contains(text))
        }
        Seen::Marked(pod) => {
            let version = cluster.api::<Secret>().get(name).await.unwrap();
            let pod = cluster.api::<Pod>().get(pod).await.unwrap();
            pod.annotations().get(VERSION) == version.resource_version().as_ref()
        }
        Seen::Scaled(replicas) => {
            let deployment = cluster.api::<Deployment>().get(name).await.unwrap();
            deployment.spec.unwrap().replicas == Some(*replicas)
        }
        Seen::Back("deployments") => exists::<Deployment>(cluster).await,
        Seen::Back("services") => exists::<Service>(cluster).await,
        Seen::Back(_) => exists::<PodDisruptionBudget>(cluster).await,
    };
    is_seen.then_some(())
}

async fn exists<K>(cluster: &Fixture) -> bool
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Debug,
{
    let found = cluster.api::<K>().get_opt("edge-mqtts").await;
    found.unwrap().is_some()
}

fn put_ca(cluster: &Fixture, ca: &Ca) {
    let text = ca
        .cert_pem()
        .trim()
        .replace('\r', "")
        .replace('\n', "\n    ");
    cluster.apply(&format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: device-ca}}\ndata:\n  ca.crt: |\n    {text}\n"
    ));
}
