//! A real kube-apiserver on a real etcd, with RBAC and an audit log; on loopback, unless it is part of a whole
//! node ([`crate::node`]). Alone it has no controllers: garbage is not collected, Deployments get no pods, deleted
//! namespaces are not emptied, and the aggregated roles `view`, `edit` and `admin` stay empty. Tests stand in for
//! controllers where they need them.

mod audit;
mod flags;
mod kubeconfig;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use kube::config::Kubeconfig;
use mqtt_tls_config::yaml;

use crate::pki::Ca;
use crate::process::{Finished, Process, run};
use crate::wait::eventually_async;
use crate::{assets, ports, workdir};

pub use audit::AuditEvent;
use flags::Purpose;
pub use flags::SERVICE_CIDR;

/// Upper bound for a start, which takes ten seconds on an idle machine.
const START: Duration = Duration::from_secs(120);
/// Upper bound for what the API server does at once.
const SOON: Duration = Duration::from_secs(30);

/// An API server with its etcd.
pub struct ApiServer {
    folder: PathBuf,
    addr: SocketAddr,
    etcd: SocketAddr,
    /// etcd's address for its peers, of which there are none.
    peers: SocketAddr,
    ca: Arc<Ca>,
    purpose: Purpose,
    // Dropped in this order: an API server without etcd takes long to end.
    process: Option<Process>,
    etcd_process: Option<Process>,
}

impl ApiServer {
    /// The API server that all tests of this binary share. Do not stop it; create a [`ApiServer::namespace`] for each
    /// test.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<ApiServer> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Starts a separate API server, which the test may stop and start again.
    #[track_caller]
    pub fn start() -> Self {
        let folder = workdir::scratch("apiserver");
        Self::start_in(folder, ports::free_addr(), Purpose::Alone)
    }

    /// Starts the API server of a whole node, whose other parts the caller starts. It listens at `addr` and keeps its
    /// files, etcd's included, in `folder`, which must exist.
    #[track_caller]
    pub fn start_for_a_node(folder: PathBuf, addr: SocketAddr) -> Self {
        Self::start_in(folder, addr, Purpose::Node)
    }

    /// Starts a second API server of the same cluster, which reaches etcd at this address.
    #[must_use]
    #[track_caller]
    pub fn beside(&self, etcd: SocketAddr) -> Self {
        let folder = workdir::scratch("apiserver");
        for name in flags::FILES {
            let copied = std::fs::copy(self.folder.join(name), folder.join(name));
            copied.expect("the first one has the file");
        }
        let mut server = Self {
            folder,
            addr: ports::free_addr(),
            etcd,
            peers: self.peers,
            ca: Arc::clone(&self.ca),
            purpose: self.purpose,
            process: None,
            etcd_process: None,
        };
        let admin = server.kubeconfig();
        let groups = ["system:masters"];
        kubeconfig::write(&admin, &server.url(), &self.ca, "admin", &groups);
        server.start_again();
        server
    }

    #[track_caller]
    fn start_in(folder: PathBuf, addr: SocketAddr, purpose: Purpose) -> Self {
        let ca = Ca::new("kubernetes");
        flags::write_files(&folder, &ca, addr.ip(), purpose);
        let (etcd, peers) = (ports::free_addr(), ports::free_addr());
        let mut server = Self {
            folder,
            addr,
            etcd,
            peers,
            ca: Arc::new(ca),
            purpose,
            process: None,
            etcd_process: None,
        };
        server.start_etcd();
        let admin = server.kubeconfig();
        kubeconfig::write(
            &admin,
            &server.url(),
            &server.ca,
            "admin",
            &["system:masters"],
        );
        server.start_again();
        server
    }

    /// Stops the API server; etcd keeps running, so nothing is lost.
    pub fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    /// Kills etcd, while the API server goes on without it.
    pub fn kill_etcd(&mut self) {
        if let Some(process) = self.etcd_process.take() {
            process.kill();
        }
    }

    /// Starts etcd with its data of before.
    #[track_caller]
    pub fn start_etcd(&mut self) {
        let command = flags::etcd(&self.folder, self.etcd, self.peers);
        let process = Process::spawn("etcd", command);
        process.wait_for_port(self.etcd, START);
        self.etcd_process = Some(process);
    }

    /// Starts it again at the same address, and waits until it is ready.
    #[track_caller]
    pub fn start_again(&mut self) {
        let command = flags::kube_apiserver(&self.folder, self.addr, self.etcd, self.purpose);
        let process = Process::spawn("kube-apiserver", command);
        process.wait_for_port(self.addr, START);
        // kubectl instead of a kube::Client, so that this works inside and outside of a tokio runtime. The default
        // namespace is created last.
        process.wait_until("it is ready", START, || {
            let steps: [&[&str]; 2] = [
                &["get", "--raw", "/readyz"],
                &["get", "namespace", "default"],
            ];
            let mut steps = steps.iter();
            steps
                .all(|step| self.kubectl_at(&process, step).status.success())
                .then_some(())
        });
        self.process = Some(process);
    }

    /// `https://ADDRESS:PORT`
    pub fn url(&self) -> String {
        format!("https://{}", self.addr)
    }

    /// The address at which it listens; it stays the same after a restart.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// etcd's address, in plaintext, for tests of data at rest.
    pub fn etcd_addr(&self) -> SocketAddr {
        self.etcd
    }

    /// The CA of the cluster's own certificates.
    pub fn ca(&self) -> &Ca {
        &self.ca
    }

    /// The folder of its files: `ca.crt`, `service-account.key`, `audit.log` and more.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The running API server. Panics while it is stopped.
    #[track_caller]
    pub fn process(&self) -> &Process {
        self.process.as_ref().expect("the API server was stopped")
    }

    /// The administrator's kubeconfig file.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("admin.kubeconfig")
    }

    /// Writes a kubeconfig file for any user, with up to two groups, who authenticates by a client certificate; RBAC
    /// decides what the user may do.
    pub fn kubeconfig_for(&self, user: &str, groups: &[&str]) -> PathBuf {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        let name = format!("user-{}.kubeconfig", NEXT.fetch_add(1, Ordering::Relaxed));
        let path = self.folder.join(name);
        kubeconfig::write(&path, &self.url(), &self.ca, user, groups);
        path
    }

    /// Writes a kubeconfig file for a user with a ServiceAccount's name and groups.
    pub fn kubeconfig_for_service_account(&self, namespace: &str, name: &str) -> PathBuf {
        let user = format!("system:serviceaccount:{namespace}:{name}");
        let group = format!("system:serviceaccounts:{namespace}");
        self.kubeconfig_for(&user, &["system:serviceaccounts", &group])
    }

    /// A client with the administrator's permissions. Call it in the tokio runtime that will use the client.
    pub async fn client(&self) -> kube::Client {
        self.client_from(&self.kubeconfig()).await
    }

    /// A client for the user of a kubeconfig file.
    pub async fn client_from(&self, kubeconfig: &Path) -> kube::Client {
        kube::Client::try_from(self.config_from(kubeconfig).await).expect("the kubeconfig is valid")
    }

    /// A client's configuration, for changes before its use (timeouts, impersonation, layers).
    pub async fn config_from(&self, kubeconfig: &Path) -> kube::Config {
        let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("the kubeconfig is valid");
        let options = kube::config::KubeConfigOptions::default();
        kube::Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .expect("the kubeconfig is valid")
    }

    /// Creates a namespace `PREFIX-N` with `restricted` pod security. It lives as long as the server.
    pub async fn namespace(&self, prefix: &str) -> String {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        let name = format!("{prefix}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let label = (
            "pod-security.kubernetes.io/enforce".to_owned(),
            "restricted".to_owned(),
        );
        let metadata = ObjectMeta {
            name: Some(name.clone()),
            labels: Some([label].into()),
            ..ObjectMeta::default()
        };
        let namespace = Namespace {
            metadata,
            ..Namespace::default()
        };
        let namespaces: Api<Namespace> = Api::all(self.client().await);
        namespaces
            .create(&PostParams::default(), &namespace)
            .await
            .expect("the name is new");
        name
    }

    /// Applies a CRD, and waits until its resources can be used. It may be called repeatedly.
    pub async fn install_crd(&self, crd: &CustomResourceDefinition) {
        let name = crd.metadata.name.as_deref().expect("a CRD has a name");
        let crds: Api<CustomResourceDefinition> = Api::all(self.client().await);
        let apply = PatchParams::apply("harness").force();
        crds.patch(name, &apply, &Patch::Apply(crd))
            .await
            .expect("the API server accepts the CRD");
        eventually_async(SOON, &format!("{name} is established"), || async {
            let found = crds.get(name).await.ok()?.status?;
            let conditions = found.conditions.unwrap_or_default();
            conditions
                .iter()
                .any(|it| it.type_ == "Established" && it.status == "True")
                .then_some(())
        })
        .await;
    }

    /// [`ApiServer::install_crd`] from YAML.
    pub async fn install_crd_yaml(&self, yaml: &str) {
        let crd = yaml::value(yaml).and_then(yaml::from_value);
        self.install_crd(&crd.expect("a CustomResourceDefinition in YAML"))
            .await;
    }

    /// Runs kubectl with the administrator's permissions.
    #[track_caller]
    pub fn kubectl(&self, args: &[&str]) -> Finished {
        run(kubectl_command(&self.kubeconfig(), args), b"", 2 * SOON)
    }

    /// [`ApiServer::kubectl`] with `input` on its standard input, for `apply -f -`.
    #[track_caller]
    pub fn kubectl_with_input(&self, args: &[&str], input: &str) -> Finished {
        run(
            kubectl_command(&self.kubeconfig(), args),
            input.as_bytes(),
            2 * SOON,
        )
    }

    /// The audit log; see [`ApiServer::audit_events`]. A node's server also logs request bodies, except of Secrets.
    pub fn audit_log(&self) -> PathBuf {
        self.folder.join("audit.log")
    }

    /// All requests in the audit log so far: one event for each completed request, with metadata only.
    pub fn audit_events(&self) -> Vec<AuditEvent> {
        audit::read(&self.audit_log())
    }

    /// Runs kubectl during the start; panics at once if the server has ended.
    fn kubectl_at(&self, process: &Process, args: &[&str]) -> Finished {
        assert!(
            process.is_running(),
            "kube-apiserver ended\n{}",
            process.log()
        );
        let mut command = kubectl_command(&self.kubeconfig(), args);
        command.arg("--request-timeout=5s");
        run(command, b"", SOON)
    }
}

/// `kubectl` for the cluster of `kubeconfig`.
pub fn kubectl_command(kubeconfig: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(assets::kubernetes("kubectl"));
    // Its discovery cache would otherwise be in the home folder and shared with other servers.
    let cache = kubeconfig.with_file_name("kubectl-cache");
    command
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .arg("--cache-dir")
        .arg(cache)
        .args(args);
    command
}

#[cfg(test)]
mod tests;
