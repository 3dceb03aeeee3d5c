//! An operator under test: a namespace of a real API server, the operator's program with the permissions of
//! `deploy/base` only, and stand-ins for the missing controllers. It must not decide what is tested.

use std::fmt::Debug;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Secret, Service, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt};
use mqtt_tls_config::Config;
use mqtt_tls_operator::crd::{self, MqttTlsListener};
use serde::de::DeserializeOwned;
use serde_json::json;
use tests::apiserver::{ApiServer, AuditEvent};
use tests::operator::{ACCOUNT, install_base};
pub(crate) use tests::operator::{NAMESPACE, spawn as spawn_operator};
use tests::pki::{Ca, Leaf};
use tests::pods::config_of;
use tests::process::Process;
use tests::wait::eventually_async;

/// Upper bound for what normally takes no time. Reaching it is a failure, not a measurement.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// How long the operator must write nothing to count as settled.
const QUIET: Duration = Duration::from_secs(2);

/// A namespace, and optionally an operator for it.
pub(crate) struct Fixture {
    pub(crate) server: &'static ApiServer,
    pub(crate) client: Client,
    pub(crate) namespace: String,
    pub(crate) ca: Ca,
    pub(crate) operator: Option<Process>,
}

/// The workspace's folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The API server that all tests share, with the CRD and `deploy/base` in it.
pub(crate) async fn installed() -> &'static ApiServer {
    static BASE: Once = Once::new();
    let server = ApiServer::shared();
    server.install_crd_yaml(&crd::yaml()).await;
    BASE.call_once(|| install_base(server));
    server
}

impl Fixture {
    /// A namespace with a running operator.
    pub(crate) async fn start(prefix: &str) -> Self {
        let mut fixture = Self::without_operator(prefix).await;
        fixture.start_operator();
        fixture
    }

    /// A namespace without an operator.
    pub(crate) async fn without_operator(prefix: &str) -> Self {
        Self::of(installed().await, prefix).await
    }

    /// The same on an API server of its own.
    pub(crate) async fn on(server: &'static ApiServer, prefix: &str) -> Self {
        server.install_crd_yaml(&crd::yaml()).await;
        install_base(server);
        Self::of(server, prefix).await
    }

    async fn of(server: &'static ApiServer, prefix: &str) -> Self {
        let client = server.client().await;
        let namespace = server.namespace(prefix).await;
        Self {
            server,
            client,
            namespace,
            ca: Ca::new("server CA"),
            operator: None,
        }
    }

    /// Starts the operator for this namespace only: other tests have their own operators.
    pub(crate) fn start_operator(&mut self) {
        let process = start_operator(self.server, &["--namespace", &self.namespace]);
        self.operator = Some(process);
    }

    /// Kills the operator, as a crash would.
    pub(crate) fn kill_operator(&mut self) {
        self.operator.take().expect("it runs").kill();
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Waits for a child of a listener and returns it.
    pub(crate) async fn child<K>(&self, listener: &str) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + Debug,
    {
        let what = format!("there is a {} of {listener}", K::kind(&()));
        let name = format!("{listener}-mqtts");
        let api = self.api::<K>();
        eventually_async(SOON, &what, || async { api.get_opt(&name).await.unwrap() }).await
    }

    /// Applies manifests as a user would.
    #[track_caller]
    pub(crate) fn apply(&self, yaml: &str) {
        let args = [
            "apply",
            "--server-side",
            "--force-conflicts",
            "-n",
            &self.namespace,
            "-f",
            "-",
        ];
        self.server.kubectl_with_input(&args, yaml).expect_success();
    }

    /// A listener `name` with one certificate, from the Secret `NAME-tls`.
    pub(crate) fn apply_listener(&self, name: &str, more: &str) {
        self.apply(&listener(name, &format!("{name}-tls"), more));
    }

    /// A leaf for `name.example.com`. The wildcard covers the names of all others, so a renewal loses no name, and is not tried first.
    pub(crate) fn leaf(&self, name: &str) -> Leaf {
        let name = format!("{name}.example.com");
        self.ca.leaf().dns(&name).dns("*.example.com").issue()
    }

    /// Puts chain and key into a Secret of type kubernetes.io/tls.
    pub(crate) async fn put_tls(&self, name: &str, leaf: &Leaf) {
        let (chain, key) = (leaf.chain_pem.as_bytes(), leaf.key_pem.as_bytes());
        self.put_secret(name, &[("tls.crt", chain), ("tls.key", key)])
            .await;
    }

    /// Applies a Secret with exactly this data.
    pub(crate) async fn put_secret(&self, name: &str, data: &[(&str, &[u8])]) {
        let api = self.api::<Secret>();
        let data = data
            .iter()
            .map(|(key, bytes)| ((*key).to_owned(), k8s_openapi::ByteString(bytes.to_vec())));
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            data: Some(data.collect()),
            ..Secret::default()
        };
        let params = PatchParams::apply("user").force();
        api.patch(name, &params, &Patch::Apply(&secret))
            .await
            .unwrap();
    }

    pub(crate) async fn listener(&self, name: &str) -> MqttTlsListener {
        self.api().get(name).await.unwrap()
    }

    /// Waits until a condition has this status and reason, for the current generation.
    pub(crate) async fn wait_for(
        &self,
        listener: &str,
        type_: &str,
        status: &str,
        reason: &str,
    ) -> Condition {
        let what = format!("{listener}: {type_}={status} {reason}");
        let look = || async {
            let found = self.listener(listener).await;
            let generation = found.metadata.generation;
            let conditions = found.status.unwrap_or_default().conditions;
            conditions.into_iter().find(|one| {
                (one.type_.as_str(), one.status.as_str(), one.reason.as_str())
                    == (type_, status, reason)
                    && one.observed_generation == generation
            })
        };
        eventually_async(SOON, &what, look).await
    }

    /// Waits until a listener's children match it.
    pub(crate) async fn wait_until_programmed(&self, name: &str) {
        self.wait_for(name, "Programmed", "True", "Programmed")
            .await;
    }

    /// Creates a certificate and a listener of one name, and waits until its children match it.
    pub(crate) async fn programmed(&self, name: &str, more: &str) {
        let secret = format!("{name}-tls");
        self.put_tls(&secret, &self.leaf(name)).await;
        self.apply_listener(name, more);
        self.wait_until_programmed(name).await;
    }

    /// Waits until `is_right` accepts the rendered configuration, and returns it.
    pub(crate) async fn wait_for_config(
        &self,
        listener: &str,
        what: &str,
        is_right: impl Fn(&Config) -> bool,
    ) -> Config {
        let (api, name) = (self.api::<Secret>(), format!("{listener}-mqtts"));
        let look = || async {
            let config = config_of(&api.get_opt(&name).await.unwrap()?);
            is_right(&config).then_some(config)
        };
        eventually_async(SOON, &format!("{listener}: {what}"), look).await
    }

    /// Writes the status that the Deployment controller would write when all pods run.
    pub(crate) async fn run_pods(&self, listener: &str) {
        let deployment = self.child::<Deployment>(listener).await;
        let replicas = deployment.spec.unwrap().replicas;
        let status = json!({"status": {
            "observedGeneration": deployment.metadata.generation,
            "replicas": replicas,
            "readyReplicas": replicas,
            "availableReplicas": replicas,
            "updatedReplicas": replicas,
        }});
        let api = self.api::<Deployment>();
        let name = format!("{listener}-mqtts");
        api.patch_status(&name, &PatchParams::default(), &Patch::Merge(status))
            .await
            .unwrap();
    }

    /// Writes the status that a load balancer controller would write.
    pub(crate) async fn assign_address(&self, listener: &str) {
        let name = self.child::<Service>(listener).await.name_any();
        let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}}});
        let (services, params) = (self.api::<Service>(), PatchParams::default());
        services
            .patch_status(&name, &params, &Patch::Merge(status))
            .await
            .unwrap();
    }

    /// Creates a pod from the Deployment's template, as its ReplicaSet would.
    pub(crate) async fn make_pod(&self, listener: &str, name: &str) {
        let accounts = self.api::<ServiceAccount>();
        let account: ServiceAccount =
            serde_json::from_value(json!({"metadata": {"name": "default"}})).unwrap();
        // It exists already for the second pod in a namespace.
        let _ = accounts.create(&PostParams::default(), &account).await;
        let template = self
            .child::<Deployment>(listener)
            .await
            .spec
            .unwrap()
            .template;
        let mut metadata = template.metadata.unwrap();
        metadata.name = Some(name.to_owned());
        let pod = Pod {
            metadata,
            spec: template.spec,
            status: None,
        };
        self.api::<Pod>()
            .create(&PostParams::default(), &pod)
            .await
            .unwrap();
    }

    /// The operator's writes in this namespace so far.
    pub(crate) fn writes(&self) -> Vec<AuditEvent> {
        let mut events = self.server.audit_events();
        events
            .retain(|event| event.is_write() && event.is_in(&self.namespace) && is_operator(event));
        events
    }

    /// Waits until the operator has written nothing for two seconds.
    pub(crate) async fn settle(&self) {
        let mut seen = self.writes().len();
        let mut since = tokio::time::Instant::now();
        let deadline = since + 2 * SOON;
        while since.elapsed() < QUIET {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let now = self.writes().len();
            if now != seen {
                (seen, since) = (now, tokio::time::Instant::now());
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "the operator does not settle: {seen} writes"
            );
        }
    }

    /// Waits until the operator has settled, and checks that another reconciliation writes nothing.
    pub(crate) async fn writes_nothing_more(&self) {
        self.settle().await;
        let writes = self.writes().len();
        // Triggers a reconciliation, and changes nothing.
        let label = Patch::Merge(json!({"metadata": {"labels": {"touched": "yes"}}}));
        let (secrets, params) = (self.api::<Secret>(), PatchParams::default());
        secrets.patch("edge-tls", &params, &label).await.unwrap();
        self.settle().await;
        let after = self.writes();
        assert_eq!(after.len(), writes, "{:?}", &after[writes..]);
    }
}

/// Starts the operator with the service account of `deploy/base`, and waits until it has listed all listeners.
pub(crate) fn start_operator(server: &ApiServer, args: &[&str]) -> Process {
    let process = spawn_operator(&kubeconfig(server), args);
    process.wait_for_line("listed all listeners", SOON);
    process
}

/// Sends a GET request to an operator's admin port and returns the response.
pub(crate) fn ask(operator: &Process, path: &str) -> String {
    let line = operator.wait_for_line("listening on admin port", SOON);
    let address = line.rsplit("address=").next().unwrap().trim();
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn kubeconfig(server: &ApiServer) -> PathBuf {
    server.kubeconfig_for_service_account(NAMESPACE, ACCOUNT)
}

/// Reports whether the operator made this request.
pub(crate) fn is_operator(event: &AuditEvent) -> bool {
    event.user.username == format!("system:serviceaccount:{NAMESPACE}:{ACCOUNT}")
}

/// A listener's manifest.
pub(crate) fn listener(name: &str, secret: &str, more: &str) -> String {
    format!(
        "apiVersion: mqtt.smartboot.tech/v1alpha1\nkind: MqttTlsListener\nmetadata: {{name: {name}}}\n\
         spec:\n  certificates: [{{secretRef: {{name: {secret}}}}}]\n  \
         backend: {{address: {{host: broker.example.com}}}}\n{more}"
    )
}
