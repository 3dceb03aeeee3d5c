//! Where the journeys run. It makes a cluster, or finds one, and knows nothing of what is installed there.
//!
//! Wherever it is, the suite talks to pods and Services by their own addresses. On the local node they are its
//! own; to a kind cluster this adds two routes; any other cluster must be reachable so.

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tests::images::Images;
use tests::node::enclosure::{self, Ended};
use tests::node::{Node, cert_manager};
use tests::process::{Process, run};
use tests::{assets, workdir};

/// To make or to delete a kind cluster.
const KIND: Duration = Duration::from_secs(600);
/// The kind cluster's name; one of this name is ours to delete.
const KIND_NAME: &str = "smart-mqtt-tls-tests";
/// Pods and Services of a kind cluster, as kind has them by default.
const KIND_NETWORKS: [&str; 2] = ["10.244.0.0/16", "10.96.0.0/16"];
/// What the journeys install and remove for a whole cluster: where one of these is, somebody may live by it.
const NOT_OURS: [&str; 3] = [
    "crd/mqtttlslisteners.mqtt.smartboot.tech",
    "namespace/smart-mqtt-tls",
    "namespace/iot",
];
/// The answer that `E2E=context` wants where nobody can be asked: the context's name.
const CONFIRM: &str = "E2E_CONTEXT";

/// What [`find`] came to.
pub(crate) enum Way {
    /// All was run in an enclosure; this is how it ended.
    Enclosed(Ended),
    /// Run here, against this.
    Here(Place),
    /// It cannot be.
    Nowhere(String),
}

/// A cluster.
pub(crate) struct Place {
    /// With an administrator's rights.
    pub(crate) kubeconfig: PathBuf,
    pub(crate) owner: Owner,
}

/// Whose it is.
pub(crate) enum Owner {
    /// A node on this machine, which ends with us.
    Local(Box<Node>),
    /// A kind cluster, which we delete, and the cert-manager that runs here for it.
    Kind { _cert_manager: Process },
    /// Somebody's, where we delete what we have made.
    Context,
}

/// Finds the place that `E2E` names; enters the enclosure for a local node.
pub(crate) fn find() -> Way {
    let wanted = std::env::var("E2E").unwrap_or_default();
    match wanted.as_str() {
        "" | "local" => local(),
        "kind" => kind(),
        "context" => context(),
        other => Way::Nowhere(format!("E2E={other}: it is local, kind or context")),
    }
}

fn local() -> Way {
    if enclosure::inside() {
        let node = Node::start();
        for archive in archives() {
            node.load_image(&archive);
        }
        return Way::Here(Place {
            kubeconfig: node.server().kubeconfig(),
            owner: Owner::Local(Box::new(node)),
        });
    }
    if !rustix::process::geteuid().is_root() {
        return Way::Nowhere("E2E=local needs root: it makes namespaces and mounts".to_owned());
    }
    // Outside: cargo and the image tools need the machine as it is.
    archives();
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    Way::Enclosed(enclosure::enter(&arguments))
}

/// The images' files.
fn archives() -> Vec<PathBuf> {
    let images = Images::built();
    let all = [
        &images.operator,
        &images.terminator,
        &images.smart_mqtt,
        &images.mosquitto,
    ];
    all.map(|image| image.file.clone()).into()
}

fn kind() -> Way {
    let archives = archives();
    // One that an interrupted run has left.
    delete_kind();
    let made = std::panic::catch_unwind(|| make_kind(&archives));
    Way::Here(made.unwrap_or_else(|panic| {
        delete_kind();
        std::panic::resume_unwind(panic)
    }))
}

fn make_kind(archives: &[PathBuf]) -> Place {
    let kubeconfig = workdir::scratch("kind").join("kubeconfig");
    let mut create = kind_command("create");
    create
        .args(["--wait", "5m", "--kubeconfig"])
        .arg(&kubeconfig);
    run(create, b"", KIND).expect_success();
    for archive in archives {
        let mut load = Command::new("kind");
        load.args(["load", "image-archive", "--name", KIND_NAME])
            .arg(archive);
        run(load, b"", KIND).expect_success();
    }
    add_routes(&kubeconfig);
    Place {
        owner: Owner::Kind {
            _cert_manager: cert_manager(&kubeconfig),
        },
        kubeconfig,
    }
}

fn delete_kind() {
    run(kind_command("delete"), b"", KIND).expect_success();
    for network in KIND_NETWORKS {
        // There may be none.
        run(route(&["del", network]), b"", KIND);
    }
}

fn kind_command(verb: &str) -> Command {
    let mut command = Command::new("kind");
    command.args([verb, "cluster", "--name", KIND_NAME]);
    command
}

/// kind's node is a container on this machine: pods and Services are behind its address.
fn add_routes(kubeconfig: &Path) {
    let node = kubectl(
        kubeconfig,
        &[
            "get",
            "nodes",
            "-o",
            "jsonpath={.items[0].status.addresses[?(@.type=='InternalIP')].address}",
        ],
    );
    for network in KIND_NETWORKS {
        run(route(&["replace", network, "via", &node]), b"", KIND).expect_success();
    }
}

/// `ip route`, with the rights that it needs; nobody is asked for a password.
fn route(args: &[&str]) -> Command {
    let mut command = if rustix::process::geteuid().is_root() {
        Command::new("ip")
    } else {
        let mut command = Command::new("sudo");
        command.args(["-n", "ip"]);
        command
    };
    command.arg("route").args(args);
    command
}

fn context() -> Way {
    let kubeconfig = std::env::var_os("KUBECONFIG").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".kube/config"),
        PathBuf::from,
    );
    let name = kubectl(&kubeconfig, &["config", "current-context"]);
    if !confirmed(&name) {
        return Way::Nowhere(format!(
            "not confirmed: this suite installs and removes an operator, a CustomResourceDefinition and \
             namespaces in the cluster of the context {name}. Answer yes, or set {CONFIRM}={name}"
        ));
    }
    let there = |what| {
        kubectl(
            &kubeconfig,
            &["get", what, "--ignore-not-found", "-o", "name"],
        )
    };
    if let Some(what) = NOT_OURS.into_iter().find(|what| !there(what).is_empty()) {
        return Way::Nowhere(format!(
            "the cluster has a {what} already. The journeys make one and delete it, with all that depends on \
             it: they do so in no cluster where somebody may use it. Delete it if an interrupted run has left it"
        ));
    }
    if there("crd/certificates.cert-manager.io").is_empty() {
        return Way::Nowhere(
            "the cluster has no cert-manager, and the journeys need one".to_owned(),
        );
    }
    Way::Here(Place {
        kubeconfig,
        owner: Owner::Context,
    })
}

fn confirmed(context: &str) -> bool {
    if let Ok(answer) = std::env::var(CONFIRM) {
        return answer == context;
    }
    if !std::io::stdin().is_terminal() {
        return false;
    }
    print!("Install and remove things in the cluster of the context {context}? [yes/no] ");
    let mut answer = String::new();
    std::io::stdout().flush().is_ok()
        && std::io::stdin().lock().read_line(&mut answer).is_ok()
        && answer.trim() == "yes"
}

impl Place {
    /// Deletes a cluster that was made for the tests.
    pub(crate) fn end(&self) {
        if matches!(self.owner, Owner::Kind { .. }) {
            delete_kind();
        }
    }
}

fn kubectl(kubeconfig: &Path, args: &[&str]) -> String {
    let mut command = Command::new(assets::kubernetes("kubectl"));
    command.arg("--kubeconfig").arg(kubeconfig).args(args);
    let finished = run(command, b"", KIND).expect_success();
    finished.stdout.trim().to_owned()
}

/// The workspace's folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ lies in the workspace")
}
