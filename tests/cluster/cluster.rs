//! The cluster under the journeys: kubectl, helm and shell commands against it, an API client, namespaces. It
//! knows nothing of what is installed there.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::Value;
use tests::process::{Finished, Process, run};
use tests::{assets, workdir};
use tokio::runtime::Runtime;

use crate::place::{Place, root};

/// How long a command may take: a failure, not a measure.
pub(crate) const SOON: Duration = Duration::from_secs(180);

/// A cluster, and the tools to work with it.
pub(crate) struct Cluster {
    pub(crate) place: Place,
    runtime: Runtime,
    /// A folder to run commands in, which looks like the checkout and may be written to.
    desk: PathBuf,
    namespaces: Mutex<Vec<String>>,
}

impl Cluster {
    pub(crate) fn new(place: Place) -> Self {
        Self {
            place,
            runtime: Runtime::new().expect("a runtime can be made"),
            desk: desk(),
            namespaces: Mutex::default(),
        }
    }

    /// Runs a journey's asynchronous part.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// A client with an administrator's rights.
    pub(crate) async fn client(&self) -> Client {
        let kubeconfig = Kubeconfig::read_from(&self.place.kubeconfig).expect("it was used before");
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await;
        Client::try_from(config.expect("it is sound")).expect("it is sound")
    }

    /// Runs a shell script as the README's reader would: in the checkout, with kubectl and helm on the path.
    #[track_caller]
    pub(crate) fn sh(&self, script: &str) -> Finished {
        self.try_sh(script).expect_success()
    }

    /// [`Cluster::sh`], which may fail.
    #[track_caller]
    pub(crate) fn try_sh(&self, script: &str) -> Finished {
        run(self.shell(script), b"", 4 * SOON)
    }

    /// Starts a shell script that goes on, such as a port-forward.
    #[track_caller]
    pub(crate) fn sh_in_background(&self, name: &str, script: &str) -> Process {
        Process::spawn(name, self.shell(script))
    }

    /// Where [`Cluster::sh`] runs.
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
            .env("KUBECONFIG", &self.place.kubeconfig)
            // helm and kubectl keep caches and settings: not those of whoever runs this.
            .env("HOME", self.desk.join(".home"));
        command
    }

    /// kubectl, to its end; it may fail.
    #[track_caller]
    pub(crate) fn try_kubectl(&self, args: &[&str]) -> Finished {
        self.kubectl_with(args, "")
    }

    /// kubectl, which must succeed; what it prints.
    #[track_caller]
    pub(crate) fn kubectl(&self, args: &[&str]) -> String {
        self.try_kubectl(args).expect_success().stdout
    }

    /// All pods there are.
    #[track_caller]
    pub(crate) fn pods(&self) -> Vec<Pod> {
        let list = self.kubectl(&["get", "pods", "-A", "-o", "json"]);
        let list: Value = serde_json::from_str(&list).expect("kubectl prints JSON");
        serde_json::from_value(list["items"].clone()).expect("a list of pods")
    }

    /// What every container that there is has said, at most so many lines of each: the pod's namespace and name, and
    /// the text. -1 is all lines.
    #[track_caller]
    pub(crate) fn logs(&self, lines: i32) -> Vec<(String, String, String)> {
        let tail = format!("--tail={lines}");
        let of_one = |pod: Pod| {
            let namespace = pod.metadata.namespace.unwrap_or_default();
            let name = pod.metadata.name.unwrap_or_default();
            let args = ["-n", &namespace, "logs", &name, "--all-containers", &tail];
            // A pod may be gone since, or not have begun yet.
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

    /// [`Cluster::apply`] by another user.
    #[track_caller]
    pub(crate) fn apply_as(&self, user: &str, namespace: &str, manifests: &str) {
        let user = format!("--as={user}");
        self.kubectl_with(&["-n", namespace, &user, "apply", "-f", "-"], manifests)
            .expect_success();
    }

    /// Creates or replaces an object, without the copy that `apply` keeps in an annotation.
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

    /// What the API server would say to an object, without writing it.
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
        command
            .env("HOME", self.desk.join(".home"))
            .current_dir(&self.desk);
        run(command, input.as_bytes(), SOON)
    }

    /// helm, to its end; it may fail.
    #[track_caller]
    pub(crate) fn try_helm(&self, args: &[&str]) -> Finished {
        let mut command = self.shell("exec helm \"$@\"");
        command.arg("helm").args(args);
        run(command, b"", 2 * SOON)
    }

    /// helm, which must succeed; what it prints.
    #[track_caller]
    pub(crate) fn helm(&self, args: &[&str]) -> String {
        self.try_helm(args).expect_success().stdout
    }

    /// A new namespace, where restricted pod security is enforced. One that is there already is somebody's.
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
        self.namespaces
            .lock()
            .expect("no one panics here")
            .push(name.to_owned());
        name.to_owned()
    }

    /// Makes room for the next journey: what ran in the namespaces so far runs no more, and its objects stay.
    pub(crate) fn make_room(&self) {
        for name in self.namespaces.lock().expect("no one panics here").iter() {
            // There may be no listeners, or no such kind of objects any more.
            self.try_kubectl(&["-n", name, "scale", "mtl", "--all", "--replicas=0"]);
            self.try_kubectl(&[
                "-n",
                name,
                "delete",
                "deployments",
                "-l",
                "!app.kubernetes.io/managed-by",
            ]);
        }
    }

    /// Leaves the place as it was found, as far as these tools have changed it.
    pub(crate) fn end(&self) {
        if matches!(self.place.owner, crate::place::Owner::Context) {
            for name in self.namespaces.lock().expect("no one panics here").iter() {
                self.kubectl(&["delete", "namespace", name, "--ignore-not-found"]);
            }
        }
        self.place.end();
    }
}

/// A folder with links to what the README's commands name, kubectl and helm among them.
fn desk() -> PathBuf {
    let desk = workdir::scratch("desk");
    let bin = desk.join(".bin");
    std::fs::create_dir_all(&bin).expect("the folder is ours");
    std::fs::create_dir_all(desk.join(".home")).expect("the folder is ours");
    let link = |from: PathBuf, to: PathBuf| {
        std::os::unix::fs::symlink(from, to).expect("the folder is ours");
    };
    for name in ["deploy", "charts"] {
        link(root().join(name), desk.join(name));
    }
    link(assets::kubernetes("kubectl"), bin.join("kubectl"));
    link(assets::tool("helm"), bin.join("helm"));
    desk
}
