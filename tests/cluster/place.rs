//! The cluster in which the journeys run. It creates or finds one, and must know nothing about what is installed
//! there.
//!
//! The journeys connect to pods and Services by their cluster addresses. On the local node these are reachable; any
//! other cluster must make them so.

use std::fs::File;
use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tests::images::Images;
use tests::node::Node;
use tests::node::enclosure::{self, Ended};
use tests::process::run;
use tests::{assets, programs, workdir};

/// Time limit of kubectl.
const KUBECTL: Duration = Duration::from_secs(60);
/// Time limit of a node that starts, runs a pod and is killed.
const NODE: Duration = Duration::from_secs(1200);
/// What the journeys install and remove. If one of these exists in a user's cluster, it may be in use.
const NOT_OURS: [&str; 3] = [
    "crd/mqtttlslisteners.mqtt.smartboot.tech",
    "namespace/smart-mqtt-tls",
    "namespace/iot",
];
/// Confirms `E2E=context` without a terminal: the context's name.
const CONFIRM: &str = "E2E_CONTEXT";

/// The result of [`find`].
pub(crate) enum Way {
    /// The journeys ran in enclosures, which ended like this.
    Enclosed(Vec<Ended>),
    /// Run the journeys of a lane, or all, against this cluster.
    Here(Place, Option<Lane>),
    /// There is no usable cluster, for this reason.
    Nowhere(String),
}

/// A full run on this machine splits the journeys over two nodes, because much of their time is waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Regular use.
    Order,
    /// Failures.
    Trouble,
}

impl Lane {
    /// The name of its enclosure.
    fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Trouble => "trouble",
        }
    }
}

/// A cluster.
pub(crate) struct Place {
    /// A kubeconfig with an administrator's permissions.
    pub(crate) kubeconfig: PathBuf,
    pub(crate) owner: Owner,
}

/// Who owns the cluster.
pub(crate) enum Owner {
    /// A node on this machine, which ends with this process.
    Local(Box<Node>),
    /// A user's cluster, from which the journeys delete what they have created.
    Context,
}

/// Finds the cluster that `E2E` selects; enters the enclosure for a local node. `of_all` is false for a filtered run.
pub(crate) fn find(of_all: bool) -> Way {
    let wanted = std::env::var("E2E").unwrap_or_default();
    match wanted.as_str() {
        "" | "local" => local(of_all),
        "context" => context(),
        other => Way::Nowhere(format!("E2E={other}: use local or context")),
    }
}

fn local(of_all: bool) -> Way {
    if let Some((_, name)) = enclosure::made_by() {
        let lanes = [Lane::Order, Lane::Trouble];
        let lane = lanes.into_iter().find(|lane| lane.name() == name);
        return Way::Here(start_node(), lane);
    }
    if !rustix::process::geteuid().is_root() {
        return Way::Nowhere(
            "E2E=local needs root, because it creates namespaces and mounts".to_owned(),
        );
    }
    // Outside of the enclosure, where cargo and the image tools work.
    Images::built();
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    if !of_all {
        return Way::Enclosed(vec![enclosure::enter("some", &arguments, None)]);
    }
    let enter = |lane: Lane, output| enclosure::enter(lane.name(), &arguments, output);
    let log = workdir::logs().join("trouble.log");
    let output = File::create(&log).expect("the folder is writable");
    let ended = std::thread::scope(|scope| {
        let trouble = scope.spawn(|| {
            a_killed_run_leaves_nothing();
            enter(Lane::Trouble, Some(output))
        });
        let order = enter(Lane::Order, None);
        let trouble = trouble.join();
        // One after the other, so that the output is readable.
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

/// Kills a run with a pod on its node: nothing is left on this machine.
fn a_killed_run_leaves_nothing() {
    const SCRIPT: &str = "kubectl create deployment broker --image=smart-mqtt:0.42 && \
        kubectl rollout status deployment/broker --timeout=180s && \
        kill -KILL $PPID";
    let mut command = Command::new(programs::node());
    command.args(["bash", "-c", SCRIPT]);
    let finished = run(command, b"", NODE);
    let output = finished.stdout + &finished.stderr;
    assert!(output.contains("successfully rolled out"), "{output}");
    assert_eq!(finished.status.code(), Some(137), "{output}");
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
            "the cluster already has {what}. The journeys create and delete it, with everything that depends on it, \
             so they do not run where it may be in use. Delete it if an interrupted run has left it"
        ));
    }
    if there("crd/certificates.cert-manager.io").is_empty() {
        return Way::Nowhere(
            "the cluster has no cert-manager, which the journeys need. Install it".to_owned(),
        );
    }
    let owner = Owner::Context;
    Way::Here(Place { kubeconfig, owner }, None)
}

/// Returns the current context's name and a kubeconfig with only this context, so that a later change of the current
/// context does not redirect the journeys to another cluster.
fn current_context() -> Option<(String, PathBuf)> {
    let ask = |args: &[&str]| {
        let mut command = Command::new(assets::kubernetes("kubectl"));
        command.arg("config").args(args);
        let finished = run(command, b"", KUBECTL);
        finished.status.success().then_some(finished.stdout)
    };
    let name = ask(&["current-context"])?.trim().to_owned();
    let config = ask(&["view", "--raw", "--minify", "--flatten"])?;
    let folder = workdir::scratch("context");
    // It may contain a key.
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&folder, private).expect("the folder is writable");
    let kubeconfig = folder.join("kubeconfig");
    std::fs::write(&kubeconfig, config).expect("the folder is writable");
    Some((name, kubeconfig))
}

fn confirmed(context: &str) -> bool {
    if let Ok(answer) = std::env::var(CONFIRM) {
        return answer == context;
    }
    if !std::io::stdin().is_terminal() {
        return false;
    }
    print!("Install and remove an operator in the cluster of the context {context}? [yes/no] ");
    let mut answer = String::new();
    std::io::stdout().flush().is_ok()
        && std::io::stdin().lock().read_line(&mut answer).is_ok()
        && answer.trim() == "yes"
}

fn kubectl(kubeconfig: &Path, args: &[&str]) -> String {
    let mut command = Command::new(assets::kubernetes("kubectl"));
    command.arg("--kubeconfig").arg(kubeconfig).args(args);
    let finished = run(command, b"", KUBECTL).expect_success();
    finished.stdout.trim().to_owned()
}

/// The workspace's folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ is in the workspace")
}
