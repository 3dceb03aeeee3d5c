//! A namespace with a listener whose pods run, its operator, and devices that use it. It must not judge what happens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::DynamicObject;
use kube::{Api, ResourceExt};
use mqtt_tls_operator::crd::MqttTlsListener;
use serde_json::{Value, json};
use tests::clients::tls::Connector;
use tests::operator;
use tests::process::Process;
use tests::state::{self, CHILDREN, State, TOUCHED};

use crate::Cluster;
use crate::devices::Devices;

/// The listener, and its children.
pub(crate) const LISTENER: &str = "edge";
pub(crate) const CHILD: &str = "edge-mqtts";

/// The pause between two looks.
const LOOK: Duration = Duration::from_millis(150);
/// Upper bound for the first start, of two pods among other things.
const START: Duration = Duration::from_secs(180);
/// How long a listener that is not ready must stay the same to count as settled.
const STILL: Duration = Duration::from_secs(4);
/// Upper bound until a listener has settled.
const SETTLED: Duration = Duration::from_secs(90);
/// How long the operator is watched for writes after the way back.
const QUIET: Duration = Duration::from_secs(2);

/// Fields that Kubernetes' controllers count up, or that depend on the way.
const COUNTED: [&str; 6] = [
    "collisionCount",
    "generation",
    "observedGeneration",
    "deployment.kubernetes.io/revision",
    "terminatingReplicas",
    "since",
];

/// A listener with all around it.
pub(crate) struct Stage {
    cluster: &'static Cluster,
    pub(crate) namespace: String,
    pub(crate) operator: Process,
    pub(crate) devices: Devices,
    /// The state before any change.
    pub(crate) wanted: State,
}

/// The listener, and the versions or generations of all objects.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Look {
    pub(crate) listener: Value,
    versions: BTreeMap<String, String>,
}

impl Stage {
    /// Makes a listener, and waits until its pods serve.
    pub(crate) async fn start(cluster: &'static Cluster) -> Self {
        let namespace = cluster.server.namespace("mutations").await;
        let (kubeconfig, own) = (cluster.operators.clone(), namespace.clone());
        let operator = tokio::task::spawn_blocking(move || {
            operator::spawn(
                &kubeconfig,
                &["--namespace", &own, "--drain-deadline", "2s"],
            )
        });
        let connector = Connector::new(&cluster.material.ca).server_name("edge.example.com");
        let (kubelet, mirror) = (&cluster.kubelet, &cluster.mirror);
        let mut stage = Self {
            cluster,
            operator: operator.await.unwrap(),
            devices: Devices::start(connector, kubelet, mirror, &namespace, CHILD),
            namespace,
            wanted: State::new(),
        };
        stage.put_objects().await;
        let listener = json!({
            "apiVersion": "mqtt.smartboot.tech/v1alpha1", "kind": "MqttTlsListener",
            "metadata": {"name": LISTENER}, "spec": spec(),
        });
        let listeners: Api<MqttTlsListener> = stage.api();
        let params = PatchParams::apply("user").force();
        let patch = Patch::Apply(&listener);
        listeners.patch(LISTENER, &params, &patch).await.unwrap();
        let begin = Instant::now();
        let mut look = stage.look().await;
        while !look.is_ready() || stage.devices.seen().pings == 0 {
            assert!(
                begin.elapsed() < START,
                "{}: the first start takes too long: {:#}\n{}",
                stage.namespace,
                look.listener["status"],
                stage.operator.log()
            );
            tokio::time::sleep(LOOK).await;
            look = stage.look().await;
        }
        stage.settle(None).await.unwrap();
        stage.wanted = stage.state().await;
        stage.devices.take();
        stage
    }

    /// The objects that listeners name.
    async fn put_objects(&self) {
        let material = &self.cluster.material;
        for (name, data) in &material.secrets {
            let secret = json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data,
            });
            self.put::<Secret>(name, &secret).await;
        }
        for (name, data) in &material.maps {
            let map = json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data,
            });
            self.put::<ConfigMap>(name, &map).await;
        }
        let broker = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "broker"},
            "spec": {"ports": [{"name": "mqtt", "port": 1883}]},
        });
        self.put::<Service>("broker", &broker).await;
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "broker", "labels": {"kubernetes.io/service-name": "broker"}},
            "endpoints": [{"addresses": ["10.1.2.3"], "conditions": {"ready": true}}],
            "ports": [{"name": "mqtt", "port": 1883}],
        });
        self.put::<EndpointSlice>("broker", &slice).await;
    }

    async fn put<K>(&self, name: &str, object: &Value)
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned,
    {
        let params = PatchParams::apply("user").force();
        let patch = Patch::Apply(object);
        self.api::<K>().patch(name, &params, &patch).await.unwrap();
    }

    /// Replaces the listener's spec as a user does, with strict validation. Returns its generation, or why it was refused.
    pub(crate) async fn change(&self, spec: &Value) -> Result<i64, String> {
        let uri = format!(
            "/apis/mqtt.smartboot.tech/v1alpha1/namespaces/{}/mqtttlslisteners/{LISTENER}?fieldValidation=Strict",
            self.namespace
        );
        let patch = json!([{"op": "replace", "path": "/spec", "value": spec}]);
        let request = http::Request::patch(uri)
            .header("content-type", "application/json-patch+json")
            .body(patch.to_string().into_bytes())
            .unwrap();
        let changed = self.cluster.users.request::<DynamicObject>(request).await;
        match changed {
            Ok(changed) => Ok(changed.metadata.generation.unwrap()),
            Err(kube::Error::Api(status)) => Err(status.message.clone()),
            Err(error) => panic!("{error}"),
        }
    }

    /// Waits until the status is about the present generation, and the listener is ready or stays as it is. Returns the
    /// last look, or why it does not settle.
    pub(crate) async fn settle(&self, generation: Option<i64>) -> Result<Look, String> {
        let begin = Instant::now();
        let (mut last, mut since) = (self.look().await, Instant::now());
        loop {
            let is_about = generation.is_none_or(|wanted| last.is_about(wanted));
            if is_about && (last.is_ready() || since.elapsed() > STILL) {
                return Ok(last);
            }
            if begin.elapsed() > SETTLED {
                let status = &last.listener["status"];
                let why = if is_about {
                    "the objects change again and again"
                } else {
                    "the status is about an earlier generation"
                };
                return Err(format!("{why} after {SETTLED:?}: {status:#}"));
            }
            tokio::time::sleep(LOOK).await;
            let now = self.look().await;
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
    }

    /// Waits until the state is as before the change. Returns what differs, if it stays different.
    pub(crate) async fn heal(&self, within: Duration) -> Result<(), String> {
        let begin = Instant::now();
        loop {
            let mut differences = state::differences(&self.wanted, &self.state().await);
            if !self.look().await.is_present() {
                differences.push("the status is about an earlier generation".to_owned());
            }
            if differences.is_empty() {
                return Ok(());
            }
            if begin.elapsed() > within {
                return Err(format!("after {within:?}: {}", differences.join("\n")));
            }
            tokio::time::sleep(2 * LOOK).await;
        }
    }

    /// Makes the operator look again, and returns what it has written.
    pub(crate) async fn written_at_rest(&self) -> Vec<String> {
        let label = json!({"metadata": {"labels": {TOUCHED: Timestamp::now().as_nanosecond().to_string()}}});
        let listeners: Api<MqttTlsListener> = self.api();
        let patch = Patch::Merge(label);
        let params = PatchParams::default();
        let touched = listeners.patch(LISTENER, &params, &patch).await.unwrap();
        let mut before = self.look().await.versions;
        before.insert(
            format!("MqttTlsListener/{LISTENER}"),
            touched.resource_version().unwrap(),
        );
        tokio::time::sleep(QUIET).await;
        let after = self.look().await.versions;
        let names = before.keys().chain(after.keys());
        let changed = names.filter(|name| before.get(*name) != after.get(*name));
        let mut changed: Vec<String> = changed.cloned().collect();
        changed.sort();
        changed.dedup();
        changed
    }

    pub(crate) async fn look(&self) -> Look {
        let kind = ["mqtt.smartboot.tech", "v1alpha1", "MqttTlsListener"];
        let listener = state::api(&self.cluster.users, &self.namespace, kind);
        let listener = listener.get(LISTENER).await.unwrap();
        let mut versions = BTreeMap::new();
        let name = format!("MqttTlsListener/{LISTENER}");
        versions.insert(name, listener.resource_version().unwrap());
        for kind in CHILDREN {
            let api = state::api(&self.cluster.users, &self.namespace, kind);
            for child in api.list(&ListParams::default()).await.unwrap() {
                let name = format!("{}/{}", kind[2], child.name_any());
                // Other controllers write statuses of their own.
                let version = match child.metadata.generation {
                    Some(generation) => generation.to_string(),
                    None => child.resource_version().unwrap(),
                };
                versions.insert(name, version);
            }
        }
        let listener = serde_json::to_value(listener).unwrap();
        Look { listener, versions }
    }

    /// The state as it is compared: without pods, which have names of their own, and in a fixed order.
    async fn state(&self) -> State {
        let mut state = state::read(&self.cluster.users, &self.namespace).await;
        state.retain(|name, _| !name.starts_with("Pod/"));
        for (name, object) in &mut state {
            simplify(object);
            let conditions = object.pointer_mut("/status/conditions");
            let conditions = conditions.and_then(Value::as_array_mut).into_iter();
            if name.starts_with("Deployment/") {
                // It names the ReplicaSet, which has another name while that of a deleted Deployment is still there.
                for condition in conditions.flatten().filter_map(Value::as_object_mut) {
                    condition.remove("message");
                }
            }
        }
        state
    }

    /// The API of a kind of children.
    pub(crate) fn children(&self, kind: usize) -> Api<DynamicObject> {
        state::api(&self.cluster.users, &self.namespace, CHILDREN[kind])
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.cluster.users.clone(), &self.namespace)
    }

    /// Ends all of it.
    pub(crate) async fn end(self) {
        let listeners: Api<MqttTlsListener> = self.api();
        let _ = listeners
            .delete(LISTENER, &kube::api::DeleteParams::default())
            .await;
        let operator = Arc::new(self.operator);
        let killed = tokio::task::spawn_blocking(move || operator.kill());
        let _ = killed.await;
    }
}

impl Look {
    fn conditions(&self) -> impl Iterator<Item = &Value> {
        let conditions = self.listener["status"]["conditions"].as_array();
        conditions.into_iter().flatten()
    }

    /// The status of a condition; empty if there is none.
    pub(crate) fn status(&self, type_: &str) -> &str {
        let found = self.conditions().find(|one| one["type"] == type_);
        found
            .and_then(|one| one["status"].as_str())
            .unwrap_or_default()
    }

    /// The messages of the conditions that are not as they are in a ready listener.
    pub(crate) fn messages(&self) -> String {
        let unusual = self.conditions().filter(|one| {
            let is_change = one["type"] == "Reconciling" || one["type"] == "Stalled";
            (one["status"] == "True") == is_change
        });
        let lines = unusual.map(|one| {
            let text = |field: &str| one[field].as_str().unwrap_or_default();
            let (type_, status, reason) = (text("type"), text("status"), text("reason"));
            format!("{type_}={status} {reason}: {}", text("message"))
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Whether all pods serve what the spec says.
    pub(crate) fn is_ready(&self) -> bool {
        let conditions = ["Ready", "Programmed", "Available", "CertificateServed"];
        let is_changing = ["Reconciling", "Stalled"]
            .iter()
            .any(|one| self.status(one) == "True");
        !is_changing && conditions.iter().all(|one| self.status(one) == "True")
    }

    /// Whether all of the status is about the present generation.
    fn is_present(&self) -> bool {
        let generation = self.listener["metadata"]["generation"].as_i64();
        generation.is_some_and(|generation| self.is_about(generation))
    }

    /// Whether all of the status is about this generation.
    fn is_about(&self, generation: i64) -> bool {
        let status = &self.listener["status"];
        let is_about = |value: &Value| value["observedGeneration"] == generation;
        is_about(status) && self.conditions().all(is_about)
    }
}

/// The spec of the listener. Each field that a mutation removes has a valid value without it.
pub(crate) fn spec() -> Value {
    json!({
        "certificates": [{"secretRef": {"name": "edge-tls"}}],
        "backend": {"service": {"name": "broker", "port": 1883}},
        "port": 8883, "replicas": 2, "clientAuth": {"mode": "None"},
        "service": {"type": "ClusterIP"}, "tls": {}, "timeouts": {}, "limits": {},
    })
}

/// Removes what is counted up, and brings conditions into an order.
fn simplify(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !COUNTED.contains(&name.as_str()));
            for (name, value) in fields.iter_mut() {
                if let (true, Some(list)) = (name == "conditions", value.as_array_mut()) {
                    list.sort_by_key(|one| one["type"].to_string());
                }
                simplify(value);
            }
        }
        Value::Array(list) => list.iter_mut().for_each(simplify),
        Value::String(text) if text.contains("\nversion: ") || text.starts_with("version: ") => {
            // The counter of the configuration.
            let lines = text.lines().filter(|line| !line.starts_with("version: "));
            *text = lines.collect::<Vec<_>>().join("\n");
        }
        _ => {}
    }
}
