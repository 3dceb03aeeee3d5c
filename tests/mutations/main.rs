//! Each field of a listener is changed to each of its values, and each child is edited by others; a device's session and new
//! connections must be served throughout, the status must explain, and the way back must heal. A mutation is called
//! `FIELD/VALUE`, and a hand `children/KIND/ACT` or `children/KIND/PART/ACT`.
//!
//! The mutations follow from the definition. A fixed share runs by default, all with `--include-ignored`, and one alone with
//! `--include-ignored --exact NAME`. Kubernetes' own controllers and scheduler run; only the kubelets are stand-ins.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod devices;
mod hands;
mod hints;
mod judge;
mod kubelet;
mod material;
mod mirror;
mod plans;
mod schema;
mod stage;
mod values;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use libtest_mimic::{Arguments, Trial};
use mqtt_tls_operator::crd;
use serde_json::json;
use tests::apiserver::ApiServer;
use tests::broker::Mosquitto;
use tests::operator::{install_base, kubeconfig};
use tests::process::Process;
use tests::{controllers, programs};
use tokio::runtime::Runtime;

use kubelet::Kubelet;
use material::Material;
use mirror::Mirror;
use plans::Plan;
use stage::Stage;

/// How many plans run at once, unless `--test-threads` says otherwise: they mostly wait.
const AT_ONCE: usize = 8;

/// What the listeners and their pods need. The garbage collector deletes what belongs to a child that is gone.
const CONTROLLERS: [&str; 5] = [
    "deployment-controller",
    "replicaset-controller",
    "disruption-controller",
    "garbage-collector-controller",
    "serviceaccount-controller",
];

/// Nodes without kubelets.
const NODES: [&str; 3] = ["node-1", "node-2", "node-3"];

/// What all plans share.
struct Cluster {
    server: &'static ApiServer,
    users: Client,
    operators: PathBuf,
    mirror: Arc<Mirror>,
    kubelet: Arc<Kubelet>,
    material: Material,
    /// Stages on which nothing is left of a plan.
    idle: Mutex<Vec<Stage>>,
    _controllers: Vec<Process>,
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    let runtime: &Runtime = Box::leak(Box::new(Runtime::new().unwrap()));
    let server = ApiServer::shared();
    programs::terminator();
    let broker = Mosquitto::shared().addr();
    let processes = controllers::start_some(server, &CONTROLLERS);
    let cluster = runtime.block_on(install(server, broker, processes));
    let cluster: &'static Cluster = Box::leak(Box::new(cluster));
    let plans = runtime.block_on(plans::all(cluster));
    let is_complete = arguments.include_ignored || arguments.ignored;
    let shown = plans
        .into_iter()
        .filter(|plan| plan.is_shared || is_complete);
    let mut trials: Vec<Trial> = shown.map(|plan| trial(cluster, runtime, plan)).collect();
    trials.push(Trial::test("each field has mutations", || {
        plans::few().map_or(Ok(()), |few| Err(few.into()))
    }));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(cluster: &'static Cluster, runtime: &'static Runtime, plan: Plan) -> Trial {
    let (name, is_ignored) = (plan.name.clone(), !plan.is_shared);
    let trial = Trial::test(name, move || runtime.block_on(plans::run(cluster, &plan)));
    trial.with_ignored_flag(is_ignored)
}

/// Installs the definition, the permissions of `deploy/base`, and nodes.
async fn install(
    server: &'static ApiServer,
    broker: std::net::SocketAddr,
    controllers: Vec<Process>,
) -> Cluster {
    server.install_crd_yaml(&crd::yaml()).await;
    install_base(server);
    let users = server.client().await;
    for name in NODES {
        make_node(&users, name).await;
    }
    let mirror = Arc::new(Mirror::start(&users).await);
    Cluster {
        server,
        operators: kubeconfig(server),
        kubelet: Kubelet::start(users.clone(), Arc::clone(&mirror), broker),
        mirror,
        users,
        material: Material::new(),
        idle: Mutex::default(),
        _controllers: controllers,
    }
}

async fn make_node(client: &Client, name: &str) {
    let nodes: Api<Node> = Api::all(client.clone());
    let amounts = json!({"cpu": "64", "memory": "256Gi", "pods": "10000"});
    let labels = json!({"kubernetes.io/os": "linux", "kubernetes.io/hostname": name});
    let node = json!({"metadata": {"name": name, "labels": labels}});
    let node = serde_json::from_value(node).unwrap();
    nodes.create(&PostParams::default(), &node).await.unwrap();
    let status = json!({"status": {
        "capacity": amounts, "allocatable": amounts,
        "conditions": [{"type": "Ready", "status": "True"}],
    }});
    let params = PatchParams::default();
    nodes
        .patch_status(name, &params, &Patch::Merge(status))
        .await
        .unwrap();
    // The API server taints a node until a controller has seen it ready.
    let spec = json!({"spec": {"taints": null}});
    nodes
        .patch(name, &params, &Patch::Merge(spec))
        .await
        .unwrap();
}
