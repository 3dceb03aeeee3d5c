//! A listener for the journeys: a namespace with a real smart-mqtt, a certificate, and pods that serve it.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Secret, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tests::clients::mosquitto::Endpoint;
use tests::clients::tls::Connector;
use tests::pki::{self, Ca, Leaf};
use tests::wait::eventually;

use crate::canary;
use crate::cluster::{Cluster, SOON};

/// A real smart-mqtt.
pub(crate) const BROKER: &str = include_str!("../../deploy/samples/smart-mqtt.yaml");
/// A broker that keeps sessions, and listens at port 1883.
pub(crate) const MOSQUITTO: &str = include_str!("mosquitto.yaml");

/// The host name that devices connect to.
pub(crate) const HOST: &str = "mqtt.example.com";

/// A listener `edge` with its broker, in its own namespace.
pub(crate) struct Edge {
    pub(crate) cluster: &'static Cluster,
    pub(crate) namespace: String,
    pub(crate) ca: Ca,
    /// The address of the Service of `edge`, once a certificate was issued for it.
    pub(crate) ip: OnceLock<String>,
}

/// A listener's pod, with what journeys compare.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Terminator {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) ip: IpAddr,
    pub(crate) restarts: i32,
}

impl Edge {
    /// Creates a namespace, a broker, and a certificate, without a listener.
    #[track_caller]
    pub(crate) fn prepare(cluster: &'static Cluster, namespace: &str) -> Self {
        let edge = Self {
            cluster,
            namespace: cluster.namespace(namespace),
            ca: Ca::new("device CA"),
            ip: OnceLock::new(),
        };
        edge.certificate("edge-tls", &edge.leaf());
        edge.broker("smart-mqtt", BROKER);
        edge
    }

    /// Like [`Edge::prepare`], with a Ready listener of two pods, whose Service forwards connections.
    #[track_caller]
    pub(crate) fn start(cluster: &'static Cluster, namespace: &str) -> Self {
        let edge = Self::prepare(cluster, namespace);
        edge.listener("");
        edge.wait("Ready", "True");
        edge.forwards("edge-mqtts");
        edge
    }

    /// Starts a broker of [`BROKER`], with this name.
    #[track_caller]
    pub(crate) fn broker(&self, name: &str, manifests: &str) {
        self.cluster.apply(&self.namespace, manifests);
        // Tests subscribe at the broker from outside of the cluster.
        self.kubectl(&["delete", "networkpolicy", name]);
        self.rolled_out(name);
    }

    /// Applies manifests with a Deployment, and waits until its pods are ready.
    #[track_caller]
    pub(crate) fn deploy(&self, deployment: &str, manifests: &str) {
        self.cluster.apply(&self.namespace, manifests);
        self.rolled_out(deployment);
    }

    #[track_caller]
    fn rolled_out(&self, deployment: &str) {
        let deployment = format!("deployment/{deployment}");
        self.kubectl(&["rollout", "status", &deployment, "--timeout=120s"]);
    }

    /// Waits until a Service forwards connections to its ready pods.
    #[track_caller]
    pub(crate) fn forwards(&self, service: &str) {
        let address = self.service(service);
        eventually(SOON, "kube-proxy has followed the ready pods", || {
            TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()
        });
    }

    /// A new certificate for [`HOST`], and for the address that the one before had: without it, it would be of another class, and
    /// be tried first.
    pub(crate) fn leaf(&self) -> Leaf {
        let leaf = self.ca.leaf().dns(HOST);
        match self.ip.get() {
            Some(ip) => leaf.ip(ip).issue(),
            None => leaf.issue(),
        }
    }

    /// Writes a certificate into a Secret, as `kubectl create secret tls` would.
    #[track_caller]
    pub(crate) fn certificate(&self, name: &str, leaf: &Leaf) {
        self.secret(
            name,
            "kubernetes.io/tls",
            &[("tls.crt", &leaf.chain_pem), ("tls.key", &leaf.key_pem)],
        );
    }

    /// Writes a Secret of any type and content.
    #[track_caller]
    pub(crate) fn secret(&self, name: &str, kind: &str, data: &[(&str, &str)]) {
        for (_, text) in data {
            canary::remember(text);
        }
        let data: serde_json::Map<String, Value> = data
            .iter()
            .map(|&(key, text)| (key.to_owned(), text.into()))
            .collect();
        let secret = serde_json::json!({
            "apiVersion": "v1", "kind": "Secret", "type": kind,
            "metadata": {"name": name}, "stringData": data,
        });
        // Not by client-side apply, which would keep a copy of the keys in an annotation.
        let text = secret.to_string();
        self.cluster.replace(&self.namespace, &text);
    }

    /// Writes a ConfigMap.
    #[track_caller]
    pub(crate) fn map(&self, name: &str, data: &[(&str, &str)]) {
        let data: serde_json::Map<String, Value> = data
            .iter()
            .map(|&(key, text)| (key.to_owned(), text.into()))
            .collect();
        let map = serde_json::json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data,
        });
        self.cluster.apply(&self.namespace, &map.to_string());
    }

    /// Applies the listener `edge`; `more` is YAML of its spec, each line indented by two.
    #[track_caller]
    pub(crate) fn listener(&self, more: &str) {
        self.listener_named("edge", more);
    }

    /// Applies a listener; keys in `more` replace the defaults.
    #[track_caller]
    pub(crate) fn listener_named(&self, name: &str, more: &str) {
        let mut spec = String::new();
        for (key, text) in [
            (
                "certificates",
                "  certificates: [{secretRef: {name: edge-tls}}]\n",
            ),
            (
                "backend",
                "  backend: {service: {name: smart-mqtt, port: 1883}}\n",
            ),
            ("replicas", "  replicas: 2\n"),
        ] {
            if !more.contains(&format!("  {key}:")) {
                spec.push_str(text);
            }
        }
        self.cluster.apply(
            &self.namespace,
            &format!(
                "apiVersion: mqtt.smartboot.tech/v1alpha1\nkind: MqttTlsListener\n\
                 metadata: {{name: {name}}}\nspec:\n{spec}{more}\n"
            ),
        );
    }

    /// Waits until a condition of `edge` has a status for the newest generation, and returns it.
    #[track_caller]
    pub(crate) fn wait(&self, kind: &str, status: &str) -> Condition {
        self.wait_for("edge", &format!("{kind} is {status}"), |condition| {
            condition.type_ == kind && condition.status == status
        })
    }

    /// Waits until a listener is Ready in its newest generation.
    #[track_caller]
    pub(crate) fn ready(&self, listener: &str) {
        self.wait_for(listener, "Ready", |it| {
            it.type_ == "Ready" && it.status == "True"
        });
    }

    /// Waits until a listener has a matching condition for the newest generation, and returns it.
    #[track_caller]
    pub(crate) fn wait_for(
        &self,
        name: &str,
        what: &str,
        like: impl Fn(&Condition) -> bool,
    ) -> Condition {
        let what = format!("{}/{name}: {what}", self.namespace);
        eventually(SOON, &what, || {
            let listener: Value = self.get("mtl", name);
            let generation = listener["metadata"]["generation"].as_i64();
            let conditions = listener["status"]["conditions"].clone();
            let conditions: Vec<Condition> = serde_json::from_value(conditions).ok()?;
            conditions
                .into_iter()
                .find(|it| it.observed_generation == generation && like(it))
        })
    }

    /// Reads an object of this namespace.
    #[track_caller]
    pub(crate) fn get<T: DeserializeOwned>(&self, kind: &str, name: &str) -> T {
        let args = ["-n", &self.namespace, "get", kind, name, "-o", "json"];
        serde_json::from_str(&self.cluster.kubectl(&args)).expect("kubectl prints JSON")
    }

    /// The address and port of a listener's Service.
    #[track_caller]
    pub(crate) fn address(&self, listener: &str) -> SocketAddr {
        self.service(&format!("{listener}-mqtts"))
    }

    /// The address and port of a Service, such as a broker's.
    #[track_caller]
    pub(crate) fn service(&self, name: &str) -> SocketAddr {
        service_address(&self.get("service", name))
    }

    /// Waits until `edge` is Ready in its newest generation, and its Deployment has no pod too many or too few.
    #[track_caller]
    pub(crate) fn settled(&self) {
        self.wait("Ready", "True");
        self.rolled_out("edge-mqtts");
        eventually(SOON, "no pod is starting or ending", || {
            let deployment: Value = self.get("deployment", "edge-mqtts");
            let (wanted, status) = (&deployment["spec"]["replicas"], &deployment["status"]);
            let settled = ["replicas", "readyReplicas", "updatedReplicas"];
            let settled = settled.iter().all(|key| status[*key] == *wanted);
            // Draining pods are no longer counted by the Deployment, and still have connections.
            let all = self.all_pods_of("edge").len() as u64;
            (settled && Some(all) == wanted.as_u64()).then_some(())
        });
    }

    /// Returns an endpoint for clients that verify the address to which they connect: once the listener is Ready, `ca`
    /// issues a new certificate for its Service's address, in the key `pem` if that key exists.
    #[track_caller]
    pub(crate) fn endpoint(&self, listener: &str, secret: &str, ca: &Ca) -> Endpoint {
        self.ready(listener);
        let address = self.address(listener);
        let ip = address.ip().to_string();
        let leaf = ca.leaf().dns(HOST).ip(&ip).issue();
        if listener == "edge" {
            self.ip.get_or_init(|| ip);
        }
        let now: Secret = self.get("secret", secret);
        if now.data.unwrap_or_default().contains_key("pem") {
            let pem = format!("{}{}", leaf.chain_pem, leaf.key_pem);
            self.secret(secret, "Opaque", &[("pem", &pem)]);
        } else {
            self.certificate(secret, &leaf);
        }
        self.all_pods_serve(listener, ca, &leaf);
        Endpoint::tls(address.port(), ca).host(&address.ip().to_string())
    }

    /// Waits until each pod, addressed directly, presents this certificate to a client that verifies it.
    #[track_caller]
    pub(crate) fn all_pods_serve(&self, listener: &str, ca: &Ca, leaf: &Leaf) {
        let wanted = pki::fingerprint(&leaf.cert_der);
        let connector = Connector::new(ca).server_name(HOST);
        let port = self.address(listener).port();
        let replicas = self.get::<Value>("mtl", listener)["spec"]["replicas"].as_u64();
        let what = format!(
            "each pod of {}/{listener} serves the certificate",
            self.namespace
        );
        eventually(SOON, &what, || {
            let ask = |pod: &Terminator| {
                let addr = SocketAddr::new(pod.ip, port);
                let client = self.cluster.block_on(connector.connect(addr)).ok()?;
                Some(pki::fingerprint(&client.server_cert()))
            };
            let pods = self.pods_of(listener);
            let served = pods.iter().map(ask).collect::<Option<Vec<_>>>()?;
            let all = u64::try_from(served.len()).ok() == replicas;
            (all && served.iter().all(|one| *one == wanted)).then_some(())
        });
    }

    /// The running pods of `edge`, by name.
    #[track_caller]
    pub(crate) fn pods(&self) -> Vec<Terminator> {
        self.pods_of("edge")
    }

    /// The running pods of a listener, by name.
    #[track_caller]
    pub(crate) fn pods_of(&self, listener: &str) -> Vec<Terminator> {
        let pods = self.all_pods_of(listener).into_iter();
        let mut pods: Vec<Terminator> = pods.filter_map(terminator).collect();
        pods.sort();
        pods
    }

    /// Waits until `edge` has no pod any more.
    #[track_caller]
    pub(crate) fn none_runs(&self) {
        eventually(SOON, "all pods have ended", || {
            self.all_pods_of("edge").is_empty().then_some(())
        });
    }

    #[track_caller]
    fn all_pods_of(&self, listener: &str) -> Vec<Pod> {
        let name = "app.kubernetes.io/name=mqtt-tls-terminator";
        let selector = format!("{name},app.kubernetes.io/instance={listener}");
        let args = ["-n", &self.namespace, "-l", &selector];
        self.cluster.list("pods", &args)
    }

    /// Returns what a pod's admin port answers, by way of the API server.
    #[track_caller]
    pub(crate) fn admin(&self, pod: &Terminator, path: &str) -> String {
        let (namespace, name) = (&self.namespace, &pod.name);
        let url = format!("/api/v1/namespaces/{namespace}/pods/{name}:9883/proxy/{path}");
        self.cluster.kubectl(&["get", "--raw", &url])
    }

    /// Returns the sum of a counter, with its labels, over the pods of a listener.
    #[track_caller]
    pub(crate) fn count(&self, listener: &str, metric: &str) -> u64 {
        let of_one = |pod: &Terminator| -> u64 {
            let text = self.admin(pod, "metrics");
            let mut lines = text.lines();
            let value = lines.find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
            value
                .and_then(|value| value.parse().ok())
                .unwrap_or_else(|| panic!("{} has no {metric}:\n{text}", pod.name))
        };
        self.pods_of(listener).iter().map(of_one).sum()
    }

    /// Runs kubectl in this namespace.
    #[track_caller]
    pub(crate) fn kubectl(&self, args: &[&str]) -> String {
        self.cluster
            .kubectl(&[&["-n", &self.namespace][..], args].concat())
    }
}

/// Reports whether a device can connect and publish.
pub(crate) fn sends(at: &Endpoint) -> bool {
    let sending = at.publish("state").qos(1).payload("here");
    sending.send().status.success()
}

fn service_address(service: &Service) -> SocketAddr {
    let spec = service.spec.as_ref().expect("a Service has one");
    let ip = spec.cluster_ip.as_ref().expect("it is not headless");
    let port = spec
        .ports
        .as_ref()
        .and_then(|ports| ports.first())
        .expect("it has a port")
        .port;
    let port = u16::try_from(port).expect("a port");
    SocketAddr::new(ip.parse().expect("an IP address"), port)
}

/// Returns None for a pod that is starting or ending.
fn terminator(pod: Pod) -> Option<Terminator> {
    let status = pod.status?;
    if pod.metadata.deletion_timestamp.is_some() || status.phase.as_deref() != Some("Running") {
        return None;
    }
    let restarts = status.container_statuses.unwrap_or_default();
    Some(Terminator {
        name: pod.metadata.name?,
        uid: pod.metadata.uid?,
        ip: status.pod_ip?.parse().ok()?,
        restarts: restarts
            .iter()
            .map(|container| container.restart_count)
            .sum(),
    })
}
