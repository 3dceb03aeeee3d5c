//! Each write of the operator meets each fault, in each workload, and the end is compared with that of a run without
//! faults. A plan is called `WORKLOAD/WRITE/FAULT`.
//!
//! A fixed share of the plans runs by default, all of them with `--include-ignored`, and one alone with
//! `--include-ignored --exact NAME`.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod fault;
mod judge;
mod operator;
mod plans;
mod proxy;
mod stage;
mod workloads;
mod write;

use std::process::ExitCode;
use std::sync::Arc;

use kube::Client;
use libtest_mimic::{Arguments, Failed, Trial};
use mqtt_tls_operator::crd;
use tests::apiserver::ApiServer;
use tests::operator::{install_base, kubeconfig};
use tests::state;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use judge::{Outcome, complaints};
use plans::Plan;
use proxy::Proxy;
use stage::Stage;
use workloads::Workload;

/// How many plans run at once, unless `--test-threads` says otherwise: they mostly wait.
const AT_ONCE: usize = 8;

/// The API server, with a client for the users and one for the operators.
struct Cluster {
    server: &'static ApiServer,
    users: Client,
    operators: Client,
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    let runtime: &Runtime = Box::leak(Box::new(Runtime::new().unwrap()));
    let server = ApiServer::shared();
    let cluster: &Cluster = Box::leak(Box::new(runtime.block_on(install(server))));
    let plans = runtime.block_on(plans(cluster, arguments.filter.as_deref()));
    let is_complete = arguments.include_ignored || arguments.ignored;
    let plans = plans.into_iter();
    let trials = plans
        .filter(|plan| plan.is_shared || is_complete)
        .map(|plan| {
            let (name, is_ignored) = (plan.to_string(), !plan.is_shared);
            let trial = Trial::test(name, move || runtime.block_on(run(cluster, &plan)));
            trial.with_ignored_flag(is_ignored)
        });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// Installs the definition and the permissions of `deploy/base`.
async fn install(server: &'static ApiServer) -> Cluster {
    server.install_crd_yaml(&crd::yaml()).await;
    install_base(server);
    let operator = kubeconfig(server);
    Cluster {
        server,
        users: server.client().await,
        operators: server.client_from(&operator).await,
    }
}

/// Runs all workloads without a fault, or only the one that a plan's name belongs to, and returns their plans.
async fn plans(cluster: &'static Cluster, filter: Option<&str>) -> Vec<Plan> {
    let wanted = filter.and_then(|filter| filter.split_once('/'));
    let is_wanted = |workload: &Workload| wanted.is_none_or(|(name, _)| workload.name == name);
    let all = workloads::ALL.iter().enumerate();
    let runs = all.filter(|(_, workload)| is_wanted(workload));
    let runs = runs.map(async |(index, workload)| {
        let (stage, played) = perform(cluster, workload, None).await;
        let writes = stage.proxy.record().writes();
        played.unwrap_or_else(|why| panic!("{} without a fault: {why}: {writes:?}", workload.name));
        let outcome = outcome(stage).await;
        plans::of(workload, index, &Arc::new(outcome))
    });
    futures::future::join_all(runs).await.concat()
}

/// Plays a workload in a namespace of its own.
async fn perform(
    cluster: &Cluster,
    workload: &Workload,
    plan: Option<&Plan>,
) -> (Stage, Result<(), String>) {
    let namespace = cluster.server.namespace(workload.name).await;
    let fault = plan.map(|plan| (plan.point.clone(), plan.fault));
    let wanted = plan.filter(|_| !workload.is_cut_short);
    let proxy = Proxy::start(cluster.operators.clone(), &namespace, fault).await;
    let mut stage = Stage {
        client: cluster.users.clone(),
        namespace,
        proxy,
        rests: Vec::new(),
        pods: JoinSet::new(),
        wanted: wanted.map(|plan| Arc::clone(&plan.wanted)),
    };
    let mut played = stage.play(workload.before).await;
    stage.proxy.count();
    if played.is_ok() {
        played = stage.play(workload.acts).await;
    }
    (stage, played)
}

/// Ends a run, and returns what it has led to.
async fn outcome(stage: Stage) -> Outcome {
    let record = stage.proxy.record();
    stage.proxy.end().await;
    Outcome {
        state: state::read(&stage.client, &stage.namespace).await,
        writes: record.writes(),
        executed: record.executed(),
        rests: stage.rests,
    }
}

async fn run(cluster: &Cluster, plan: &Plan) -> Result<(), Failed> {
    let (stage, played) = perform(cluster, plan.workload, Some(plan)).await;
    let (log, record) = (stage.proxy.operator().log(), stage.proxy.record());
    let found = outcome(stage).await;
    let mut wrong: Vec<String> = played.err().into_iter().collect();
    wrong.extend(complaints(plan, &found));
    if !record.is_faulted {
        wrong.push("the write that the fault is for did not happen".to_owned());
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let writes: Vec<String> = found.writes.iter().map(ToString::to_string).collect();
    let (wrong, writes) = (wrong.join("\n"), writes.join(" "));
    Err(format!("{wrong}\nwrites: {writes}\n{log}").into())
}
