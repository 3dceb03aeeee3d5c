//! Where the journeys run. It makes a cluster, or finds one, and knows nothing of what is installed there.
//!
//! Wherever it is, the suite talks to pods and Services by their own addresses. On the local node they are its
//! own; to a kind cluster this adds two routes; any other cluster must be reachable so.

use std::fs::File;
use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tests::images::Images;
use tests::node::enclosure::{self, Ended};
use tests::node::{Node, cert_manager};
use tests::process::{Process, run};
use tests::{assets, programs, workdir};

/// To make or to delete a kind cluster.
const KIND: Duration = Duration::from_secs(600);
/// The kind cluster's name; one of this name is ours to delete.
const KIND_NAME: &str = "smart-mqtt-tls-tests";
/// Pods and Services of a kind cluster, as kind has them by default.
const KIND_NETWORKS: [&str; 2] = ["10.244.0.0/16", "10.96.0.0/16"];
/// The protocol number of our routes, by which they are told from others' when they are deleted.
const OUR_ROUTES: &str = "99";
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
    /// All was run in enclosures; this is how they ended.
    Enclosed(Vec<Ended>),
    /// Those of a lane are to be run here, against this.
    Here(Place, Option<Lane>),
    /// It cannot be.
    Nowhere(String),
}

/// Two nodes at once share the journeys of a whole run on this machine: much of each is waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// What users do.
    Order,
    /// What goes wrong.
    Trouble,
}

impl Lane {
    /// What its enclosure is called.
    fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Trouble => "trouble",
        }
    }
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

/// Finds the place that `E2E` names; enters the enclosure for a local node. `of_all` journeys, or of some only.
pub(crate) fn find(of_all: bool) -> Way {
    let wanted = std::env::var("E2E").unwrap_or_default();
    match wanted.as_str() {
        "" | "local" => local(of_all),
        "kind" => kind(),
        "context" => context(),
        other => Way::Nowhere(format!("E2E={other}: it is local, kind or context")),
    }
}

fn local(of_all: bool) -> Way {
    if let Some((_, name)) = enclosure::made_by() {
        let lanes = [Lane::Order, Lane::Trouble];
        let lane = lanes.into_iter().find(|lane| lane.name() == name);
        return Way::Here(start_node(), lane);
    }
    if !rustix::process::geteuid().is_root() {
        return Way::Nowhere("E2E=local needs root: it makes namespaces and mounts".to_owned());
    }
    // Outside: cargo and the image tools need the machine as it is.
    Images::built();
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    if !of_all {
        return Way::Enclosed(vec![enclosure::enter("some", &arguments, None)]);
    }
    let enter = |lane: Lane, output| enclosure::enter(lane.name(), &arguments, output);
    let log = workdir::logs().join("trouble.log");
    let output = File::create(&log).expect("the folder is ours");
    let ended = std::thread::scope(|scope| {
        let trouble = scope.spawn(|| {
            killed_with_its_node();
            enter(Lane::Trouble, Some(output))
        });
        let order = enter(Lane::Order, None);
        let trouble = trouble.join();
        // One after the other, for readers.
        print!("{}", std::fs::read_to_string(&log).unwrap_or_default());
        let trouble = trouble.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        vec![order, trouble]
    });
    Way::Enclosed(ended)
}

fn start_node() -> Place {
    let node = Node::start();
    node.load(Images::built());
    Place {
        kubeconfig: node.server().kubeconfig(),
        owner: Owner::Local(Box::new(node)),
    }
}

/// The worst end that a run can have, with a pod on the node: it leaves nothing on this machine either.
fn killed_with_its_node() {
    const SCRIPT: &str = "kubectl create deployment broker --image=smart-mqtt:0.42 && \
        kubectl rollout status deployment/broker --timeout=180s && \
        kill -KILL $PPID";
    let mut command = Command::new(programs::node());
    command.args(["bash", "-c", SCRIPT]);
    let finished = run(command, b"", 2 * KIND);
    let said = finished.stdout + &finished.stderr;
    assert!(said.contains("successfully rolled out"), "{said}");
    assert_eq!(finished.status.code(), Some(137), "{said}");
}

fn kind() -> Way {
    // Also whether there is a container engine that answers.
    let mut clusters = Command::new("kind");
    clusters.args(["get", "clusters"]);
    match clusters.output() {
        Ok(said) if said.status.success() => {}
        Ok(said) => {
            let said = String::from_utf8_lossy(&said.stderr).into_owned();
            return Way::Nowhere(format!("E2E=kind: kind does not work here: {said}"));
        }
        Err(error) => {
            return Way::Nowhere(format!("E2E=kind needs kind and docker or podman: {error}"));
        }
    }
    let images = Images::built();
    // One that an interrupted run has left.
    delete_kind();
    let made = std::panic::catch_unwind(|| make_kind(images));
    let place = made.unwrap_or_else(|panic| {
        delete_kind();
        std::panic::resume_unwind(panic)
    });
    Way::Here(place, None)
}

fn make_kind(images: &Images) -> Place {
    let kubeconfig = workdir::scratch("kind").join("kubeconfig");
    let mut create = kind_command("create");
    create
        .args(["--wait", "5m", "--kubeconfig"])
        .arg(&kubeconfig)
        // The README's; the name is ours all the same.
        .arg("--config")
        .arg(root().join("deploy/overlays/kind/cluster.yaml"));
    run(create, b"", KIND).expect_success();
    for image in images.all() {
        let mut load = Command::new("kind");
        load.args(["load", "image-archive", "--name", KIND_NAME])
            .arg(&image.file);
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
        run(route(&["del", network, "proto", OUR_ROUTES]), b"", KIND);
    }
}

fn kind_command(verb: &str) -> Command {
    let mut command = Command::new("kind");
    command.args([verb, "cluster", "--name", KIND_NAME]);
    command
}

/// kind's node is a container on this machine: pods and Services are behind its address. A route that somebody has
/// for these addresses is not replaced: then this fails.
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
        let add = ["add", network, "via", &node, "proto", OUR_ROUTES];
        run(route(&add), b"", KIND).expect_success();
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
    let Some((name, kubeconfig)) = current_context() else {
        return Way::Nowhere("E2E=context: kubectl has no current context".to_owned());
    };
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
    let owner = Owner::Context;
    Way::Here(Place { kubeconfig, owner }, None)
}

/// Its name, and a file with it alone: whoever changes the current context meanwhile does not lead the journeys to
/// another cluster.
fn current_context() -> Option<(String, PathBuf)> {
    let ask = |args: &[&str]| {
        let mut command = Command::new(assets::kubernetes("kubectl"));
        command.arg("config").args(args);
        let finished = run(command, b"", KIND);
        finished.status.success().then_some(finished.stdout)
    };
    let name = ask(&["current-context"])?.trim().to_owned();
    let config = ask(&["view", "--raw", "--minify", "--flatten"])?;
    let folder = workdir::scratch("context");
    // It may hold a key.
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&folder, private).expect("the folder is ours");
    let kubeconfig = folder.join("kubeconfig");
    std::fs::write(&kubeconfig, config).expect("the folder is ours");
    Some((name, kubeconfig))
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
