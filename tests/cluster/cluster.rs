//! The cluster of the journeys: kubectl, helm and shell commands against it, an API client, namespaces. It must know
//! nothing about what is installed there, except what must be removed at the end.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tests::process::{Finished, Process, run};
use tests::{assets, workdir};
use tokio::runtime::Runtime;

use crate::install;
use crate::place::{Owner, Place, root};

/// Upper bound for a command. Reaching it is a failure, not a measurement.
pub(crate) const SOON: Duration = Duration::from_secs(180);
/// The namespaces that the README's commands create.
const OURS: [&str; 2] = [install::NAMESPACE, install::FIRST];

/// A cluster and the tools to work with it.
pub(crate) struct Cluster {
    pub(crate) place: Place,
    runtime: Runtime,
    /// A writable folder to run commands in, with the checkout's files.
    desk: PathBuf,
    /// The namespaces that journeys have created.
    namespaces: Mutex<Vec<String>>,
    /// Those in which pods may still run.
    full: Mutex<Vec<String>>,
}

impl Cluster {
    pub(crate) fn new(place: Place) -> Self {
        Self {
            place,
            runtime: Runtime::new().expect("a runtime can be made"),
            desk: desk(),
            namespaces: Mutex::default(),
            full: Mutex::default(),
        }
    }

    /// Runs a journey's asynchronous part.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// A client with an administrator's permissions.
    pub(crate) async fn client(&self) -> Client {
        let kubeconfig =
            Kubeconfig::read_from(&self.place.kubeconfig).expect("the kubeconfig is readable");
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await;
        Client::try_from(config.expect("the kubeconfig is valid")).expect("the kubeconfig is valid")
    }

    /// Runs a shell script as a reader of the README would: in the checkout, with kubectl and helm on the path.
    #[track_caller]
    pub(crate) fn sh(&self, script: &str) -> Finished {
        self.try_sh(script).expect_success()
    }

    /// Like [`Cluster::sh`], but it may fail.
    #[track_caller]
    pub(crate) fn try_sh(&self, script: &str) -> Finished {
        run(self.shell(script), b"", 4 * SOON)
    }

    /// Starts a long-running shell script, such as a port-forward.
    #[track_caller]
    pub(crate) fn sh_in_background(&self, name: &str, script: &str) -> Process {
        Process::spawn(name, self.shell(script))
    }

    /// The folder in which [`Cluster::sh`] runs.
    pub(crate) fn desk(&self) -> &Path {
        &self.desk
    }

    fn shell(&self, script: &str) -> Command {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let tools = [self.desk.join(".bin")]
            .into_iter()
            .chain(std::env::split_paths(&path));
        let path = std::env::join_paths(tools).expect("no folder has a colon in its name");
        let mut command = Command::new("bash");
        command
            .args(["-euo", "pipefail", "-c", script])
            .current_dir(&self.desk)
            .env("PATH", path)
            .env("KUBECONFIG", &self.place.kubeconfig);
        self.isolate_home(&mut command);
        command
    }

    /// Keeps caches and settings of kubectl, helm and mosquitto out of the user's home folder. With `E2E=context` HOME
    /// stays, because the credentials for that cluster may be there.
    fn isolate_home(&self, command: &mut Command) {
        let home = self.desk.join(".home");
        for variable in [
            "HELM_CACHE_HOME",
            "HELM_CONFIG_HOME",
            "HELM_DATA_HOME",
            "KUBECACHEDIR",
        ] {
            command.env(variable, &home);
        }
        command.env("KUBERC", "off");
        if !matches!(self.place.owner, Owner::Context) {
            command.env("HOME", home);
        }
    }

    /// Runs kubectl, which may fail.
    #[track_caller]
    pub(crate) fn try_kubectl(&self, args: &[&str]) -> Finished {
        self.kubectl_with(args, "")
    }

    /// Runs kubectl, which must succeed, and returns its output.
    #[track_caller]
    pub(crate) fn kubectl(&self, args: &[&str]) -> String {
        self.try_kubectl(args).expect_success().stdout
    }

    /// Lists the objects of a kind that kubectl's arguments select.
    #[track_caller]
    pub(crate) fn list<T: DeserializeOwned>(&self, kind: &str, args: &[&str]) -> Vec<T> {
        let list = self.kubectl(&[&["get", kind, "-o", "json"], args].concat());
        let mut list: Value = serde_json::from_str(&list).expect("kubectl prints JSON");
        serde_json::from_value(list["items"].take()).expect("objects of one kind")
    }

    /// kubectl's arguments, used one after the other, for all objects that the journeys have created. In a user's
    /// cluster these are the journeys' namespaces: the rest must be left alone.
    pub(crate) fn scopes(&self) -> Vec<String> {
        if !matches!(self.place.owner, Owner::Context) {
            return vec!["--all-namespaces".to_owned()];
        }
        let namespace = |name| format!("--namespace={name}");
        self.created().iter().map(namespace).collect()
    }

    /// The namespaces that the journeys and the README's commands create.
    fn created(&self) -> Vec<String> {
        let mut created = self
            .namespaces
            .lock()
            .expect("no holder of the lock panics")
            .clone();
        created.extend(OURS.map(str::to_owned));
        created
    }

    /// All objects of a kind in [`Cluster::scopes`].
    #[track_caller]
    pub(crate) fn list_all<T: DeserializeOwned>(&self, kind: &str) -> Vec<T> {
        let scopes = self.scopes();
        let of_one = |scope: &String| self.list(kind, &[scope]);
        scopes.iter().flat_map(of_one).collect()
    }

    /// All pods in [`Cluster::scopes`].
    #[track_caller]
    pub(crate) fn pods(&self) -> Vec<Pod> {
        self.list_all("pods")
    }

    /// The logs of [`Cluster::pods`], with at most `lines` lines of each container (-1: all): the pod's namespace and
    /// name, and the text.
    #[track_caller]
    pub(crate) fn logs(&self, lines: i32) -> Vec<(String, String, String)> {
        let tail = format!("--tail={lines}");
        let of_one = |pod: Pod| {
            let namespace = pod.metadata.namespace.unwrap_or_default();
            let name = pod.metadata.name.unwrap_or_default();
            let args = ["-n", &namespace, "logs", &name, "--all-containers", &tail];
            // A pod may be gone already, or not have started yet.
            let text = self.try_kubectl(&args).stdout;
            (namespace, name, text)
        };
        self.pods().into_iter().map(of_one).collect()
    }

    /// Applies manifests to a namespace, as a user would.
    #[track_caller]
    pub(crate) fn apply(&self, namespace: &str, manifests: &str) {
        self.kubectl_with(&["-n", namespace, "apply", "-f", "-"], manifests)
            .expect_success();
    }

    /// Like [`Cluster::apply`], as another user.
    #[track_caller]
    pub(crate) fn apply_as(&self, user: &str, namespace: &str, manifests: &str) {
        let user = format!("--as={user}");
        self.kubectl_with(&["-n", namespace, &user, "apply", "-f", "-"], manifests)
            .expect_success();
    }

    /// Applies an object server-side, which keeps no copy of it in an annotation.
    #[track_caller]
    pub(crate) fn replace(&self, namespace: &str, manifest: &str) {
        let args = [
            "-n",
            namespace,
            "apply",
            "--server-side",
            "--force-conflicts",
            "-f",
            "-",
        ];
        self.kubectl_with(&args, manifest).expect_success();
    }

    /// Creates an object as a dry run, which may fail.
    #[track_caller]
    pub(crate) fn try_dry_run(&self, namespace: &str, manifest: &str) -> Finished {
        self.kubectl_with(
            &["-n", namespace, "create", "--dry-run=server", "-f", "-"],
            manifest,
        )
    }

    #[track_caller]
    fn kubectl_with(&self, args: &[&str], input: &str) -> Finished {
        let mut command = tests::apiserver::kubectl_command(&self.place.kubeconfig, args);
        command.current_dir(&self.desk);
        self.isolate_home(&mut command);
        run(command, input.as_bytes(), SOON)
    }

    /// Runs helm, which may fail.
    #[track_caller]
    pub(crate) fn try_helm(&self, args: &[&str]) -> Finished {
        let mut command = self.shell("exec helm \"$@\"");
        command.arg("helm").args(args);
        run(command, b"", 2 * SOON)
    }

    /// Runs helm, which must succeed, and returns its output.
    #[track_caller]
    pub(crate) fn helm(&self, args: &[&str]) -> String {
        self.try_helm(args).expect_success().stdout
    }

    /// Creates a namespace with restricted pod security. Fails if it exists, because it is not ours then.
    #[track_caller]
    pub(crate) fn namespace(&self, name: &str) -> String {
        self.kubectl_with(
            &["create", "-f", "-"],
            &format!(
                "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n  labels:\n    \
                 pod-security.kubernetes.io/enforce: restricted\n    \
                 pod-security.kubernetes.io/warn: restricted\n"
            ),
        )
        .expect_success();
        for list in [&self.namespaces, &self.full] {
            let mut list = list.lock().expect("no holder of the lock panics");
            list.push(name.to_owned());
        }
        name.to_owned()
    }

    /// Frees resources for the next journey: stops the pods in the namespaces so far, and keeps the objects.
    pub(crate) fn make_room(&self) {
        let mut full = self.full.lock().expect("no holder of the lock panics");
        for name in full.drain(..) {
            // There may be no listeners, or no resource definition any more.
            self.try_kubectl(&["-n", &name, "scale", "mtl", "--all", "--replicas=0"]);
            self.try_kubectl(&[
                "-n",
                &name,
                "delete",
                "deployments",
                "-l",
                "!app.kubernetes.io/managed-by",
            ]);
        }
    }

    /// Removes what these tools have installed, also after a failed journey, from a cluster of the user.
    pub(crate) fn end(&self) {
        if matches!(self.place.owner, Owner::Context) {
            self.try_helm(&["uninstall", "smart-mqtt-tls", "-n", OURS[0], "--wait"]);
            self.try_kubectl(&["delete", "-k", "deploy/base", "--ignore-not-found"]);
            for name in self.created() {
                let delete = ["delete", "namespace", &name, "--ignore-not-found"];
                let finished = self.try_kubectl(&delete);
                if !finished.status.success() {
                    eprintln!("failed to delete namespace {name}: {}", finished.stderr);
                }
            }
        }
    }
}

/// Creates a folder with links to what the README's commands need, kubectl and helm included.
fn desk() -> PathBuf {
    let desk = workdir::scratch("desk");
    let bin = desk.join(".bin");
    std::fs::create_dir_all(&bin).expect("the folder is writable");
    std::fs::create_dir_all(desk.join(".home")).expect("the folder is writable");
    let link = |from: PathBuf, to: PathBuf| {
        std::os::unix::fs::symlink(from, to).expect("the folder is writable");
    };
    for name in ["deploy", "charts"] {
        link(root().join(name), desk.join(name));
    }
    link(assets::kubernetes("kubectl"), bin.join("kubectl"));
    link(assets::tool("helm"), bin.join("helm"));
    desk
}
