//! An API server, the workload of the operator's measures, and the operator on it. It must not measure.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ::tests::apiserver::ApiServer;
use ::tests::operator::{self, ACCOUNT, NAMESPACE};
use ::tests::pki::Ca;
use ::tests::process::{Process, run};
use futures::{StreamExt, stream};
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use super::trace::Trace;

/// Maximum number of concurrent requests that make the workload.
const CONCURRENCY: usize = 8;

/// Upper bound for what a program does at its start.
const SOON: Duration = Duration::from_secs(60);

/// An API server with the definition and `deploy/base`, and clients for it.
pub(crate) struct Cluster {
    pub(crate) server: ApiServer,
    client: kube::Client,
    ca: Ca,
    listeners: ApiResource,
    secrets: ApiResource,
}

impl Cluster {
    /// Starts an API server, and installs the definition of this operator and `deploy/base`.
    pub(crate) async fn start(operator: &Path) -> Self {
        let server = ApiServer::start();
        operator::install_base(&server);
        let mut command = Command::new(operator);
        command.arg("crd");
        let definition = run(command, b"", SOON).expect_success().stdout;
        server.install_crd_yaml(&definition).await;
        let kind = GroupVersionKind::gvk("mqtt.smartboot.tech", "v1alpha1", "MqttTlsListener");
        Self {
            client: server.client().await,
            server,
            ca: Ca::new("benchmark"),
            listeners: ApiResource::from_gvk(&kind),
            secrets: ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Secret")),
        }
    }

    /// Starts the operator as a leader with its own service account.
    pub(crate) fn run_operator(&self, program: &Path) -> Process {
        let kubeconfig = operator::kubeconfig(&self.server);
        let mut command = operator::run(program, &kubeconfig);
        command.args(["--log", "info", "--lease-namespace", NAMESPACE]);
        Process::spawn("operator", command)
    }

    /// Reads the operator's requests.
    pub(crate) fn trace(&self) -> Trace {
        let user = format!("system:serviceaccount:{NAMESPACE}:{ACCOUNT}");
        Trace::open(self.server.audit_log(), user)
    }

    /// Creates a namespace.
    pub(crate) async fn namespace(&self, prefix: &str) -> String {
        self.server.namespace(prefix).await
    }

    /// Writes new certificates into Secrets of these names.
    pub(crate) async fn put_secrets(&self, namespace: &str, names: &[String]) {
        // One leaf for all: nothing depends on what it certifies.
        let leaf = self.ca.leaf().dns("edge.example.com").issue();
        let secret = |name: &str| {
            json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "kubernetes.io/tls",
                "stringData": {"tls.crt": leaf.chain_pem, "tls.key": leaf.key_pem},
            })
        };
        let objects = names.iter().map(|name| (name.clone(), secret(name)));
        self.put(namespace, &self.secrets, objects.collect()).await;
    }

    /// Creates listeners of these names, each with its Secret.
    pub(crate) async fn put_listeners(&self, namespace: &str, names: &[(String, String)]) {
        let listener = |name: &str, secret: &str| {
            json!({
                "apiVersion": "mqtt.smartboot.tech/v1alpha1", "kind": "MqttTlsListener",
                "metadata": {"name": name},
                "spec": {
                    "certificates": [{"secretRef": {"name": secret}}],
                    "backend": {"address": {"host": "broker.example.com"}},
                },
            })
        };
        let objects = names
            .iter()
            .map(|(name, secret)| (name.clone(), listener(name, secret)));
        self.put(namespace, &self.listeners, objects.collect())
            .await;
    }

    async fn put(&self, namespace: &str, kind: &ApiResource, objects: Vec<(String, Value)>) {
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, kind);
        let params = PatchParams::apply("user").force();
        stream::iter(objects)
            .for_each_concurrent(CONCURRENCY, async |(name, object)| {
                let written = api.patch(&name, &params, &Patch::Apply(object)).await;
                written.unwrap_or_else(|error| panic!("failed to write {name}: {error}"));
            })
            .await;
    }
}

/// Reports memory of a process in MiB: all that is in memory, and its proportional share.
pub(crate) fn memory(pid: u32) -> (f64, f64) {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
        .expect("the operator is our child");
    let kib = |key: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        let number = line.and_then(|line| line.split_whitespace().next());
        number
            .and_then(|number| number.parse().ok())
            .expect("the kernel has this line")
    };
    (kib("Rss:") / 1024.0, kib("Pss:") / 1024.0)
}
