//! The command `run`: starts client, admin port, Lease and controller, in this order, and stops them. It must
//! not reconcile.

use std::process::ExitCode;
use std::sync::Arc;

use kube::client::ClientBuilder;
use kube::{Client, Config};
use prometheus_client::registry::Registry;
use tracing::{error, info, warn};

use crate::admin::{self, Board, Stage};
use crate::api::clock::Clock;
use crate::args::Run;
use crate::controller::keeper::{Keeper, Place};
use crate::controller::scope::Scope;
use crate::controller::watches::SILENCE_MAX;
use crate::controller::{self, Context};
use crate::error::chain;
use crate::leader::{Candidate, Election, Gate, Leadership, Lost, Standing};
use crate::metrics::Metrics;
use crate::plan::names::MANAGER;
use crate::shutdown::Shutdown;

/// Exit code: the cluster or a port is unavailable.
pub const UNAVAILABLE: u8 = 69;

/// Exit code: the Lease was lost, and another operator may work.
const LOST: u8 = 75;

/// Exit code: a second signal aborted the shutdown.
const ABORTED: u8 = 130;

/// Runs the controller until a signal.
pub async fn run(arguments: &Run) -> ExitCode {
    let shutdown = match Shutdown::on_signals() {
        Ok(shutdown) => shutdown,
        Err(error) => return unavailable("failed to set up signal handling", &error),
    };
    let config = match cluster().await {
        Ok(config) => config,
        Err(code) => return code,
    };
    let candidate = candidate(arguments, &config);
    let place = candidate.as_ref().map(place);
    let clock = Clock::default();
    let (client, election) = match clients(config, candidate, &clock) {
        Ok(clients) => clients,
        Err(error) => return unavailable("invalid kubeconfig", &error),
    };
    let admin = match admin::bind(arguments.admin).await {
        Ok(admin) => admin,
        Err(error) => return unavailable("failed to bind the admin port", &error),
    };
    let mut registry = Registry::default();
    let metrics = Metrics::new(&mut registry);
    let board = Arc::new(Board::new(registry));
    let admin = tokio::spawn(admin::serve(admin, Arc::clone(&board), shutdown.clone()));
    info!(version = env!("CARGO_PKG_VERSION"), "started");
    let keep = place.map(|place| (place, client.clone()));
    let keeper = || {
        let (place, client) = keep?;
        Keeper::new(
            &client,
            place,
            &(&arguments.namespace, arguments.environment()),
        )
    };
    let work = work(
        arguments,
        client,
        clock,
        metrics,
        Arc::clone(&board),
        shutdown.clone(),
        keeper,
    );
    let code = tokio::select! {
        code = led(election, &board, &shutdown, work) => code,
        () = shutdown.clone().aborted() => {
            warn!("received a second signal; exiting at once");
            return ExitCode::from(ABORTED);
        }
    };
    admin.abort();
    info!("stopped");
    code
}

/// Returns how to reach the API server: from the kubeconfig, or from this pod's service account.
async fn cluster() -> Result<Config, ExitCode> {
    match Config::infer().await {
        Ok(mut config) => {
            config.read_timeout = Some(SILENCE_MAX);
            info!(server = %config.cluster_url, "using API server");
            Ok(config)
        }
        Err(error) => Err(unavailable(
            "no usable kubeconfig, and not running in a cluster; set or correct KUBECONFIG",
            &error,
        )),
    }
}

/// Returns a client for a command that asks and ends.
pub async fn client() -> Result<Client, ExitCode> {
    let client = Client::try_from(cluster().await?);
    client.map_err(|error| unavailable("invalid kubeconfig", &error))
}

/// Logs what is unavailable and returns its exit code.
pub fn unavailable(what: &str, cause: &dyn std::error::Error) -> ExitCode {
    error!("{what}: {}", chain(cause));
    ExitCode::from(UNAVAILABLE)
}

/// Returns the Lease to acquire; none outside a cluster, unless one is named: an operator on a laptop would
/// otherwise wait for the one in the cluster, or keep that waiting.
fn candidate(arguments: &Run, config: &Config) -> Option<Candidate> {
    // An empty variable counts as unset.
    let named = arguments
        .lease_namespace
        .clone()
        .filter(|name| !name.is_empty());
    let own = || {
        let pod = Config::incluster().ok()?;
        (pod.cluster_url == config.cluster_url).then_some(pod.default_namespace)
    };
    let Some(namespace) = named.or_else(own) else {
        info!("running outside a cluster without a Lease; make sure that no other operator works");
        return None;
    };
    let name = arguments.instance.as_deref().unwrap_or(MANAGER);
    let candidate = Candidate {
        namespace,
        lease: arguments.lease_name.clone(),
        identity: format!("{name}_{:016x}", fastrand::u64(..)),
        duration: arguments.lease_duration,
    };
    info!(
        namespace = candidate.namespace,
        lease = candidate.lease,
        identity = candidate.identity,
        duration = ?candidate.duration,
        "leader election is enabled"
    );
    Some(candidate)
}

/// Returns where the records of the last results are kept: beside the Lease, so that each operator has its own.
fn place(candidate: &Candidate) -> Place {
    Place {
        namespace: candidate.namespace.clone(),
        name: format!("{}-records", candidate.lease),
    }
}

/// Returns the controller's API client and, with a Lease, the election. They share no connection, so that
/// load never delays the renewal of the Lease.
fn clients(
    config: Config,
    candidate: Option<Candidate>,
    clock: &Clock,
) -> Result<(Client, Option<Election>), kube::Error> {
    let worker = ClientBuilder::try_from(config.clone())?.with_layer(&clock.layer());
    let Some(candidate) = candidate else {
        return Ok((worker.build(), None));
    };
    let gate = Gate::default();
    let worker = worker.with_layer(&gate.layer()).build();
    let election = Election {
        client: Client::try_from(config)?,
        candidate,
        gate,
    };
    Ok((worker, Some(election)))
}

/// Runs the controller, from the first list of listeners to the last reconciliation.
async fn work(
    arguments: &Run,
    client: Client,
    clock: Clock,
    metrics: Metrics,
    board: Arc<Board>,
    shutdown: Shutdown,
    keeper: impl FnOnce() -> Option<Keeper>,
) {
    let scope = Scope::of(arguments.namespace.as_deref());
    let instance = arguments.instance.clone();
    metrics.lead();
    let concurrency = arguments.concurrency;
    let context = Context::new(
        client,
        clock,
        arguments.environment(),
        metrics,
        instance,
        concurrency,
        keeper(),
    );
    info!(%scope, concurrency, "starting controller");
    controller::run(context, scope, board, shutdown).await;
}

/// Runs the work while the Lease is held, if there is one. A standby watches nothing: listing the listeners is
/// fast, and each reconciliation reads all that it needs.
async fn led(
    election: Option<Election>,
    board: &Board,
    shutdown: &Shutdown,
    work: impl Future<Output = ()>,
) -> ExitCode {
    let Some(election) = election else {
        work.await;
        return ExitCode::SUCCESS;
    };
    let report = |standing| {
        board.reach(match standing {
            Standing::By(leader) => Stage::StandingBy(leader),
            Standing::Nowhere(error) => Stage::Waiting(format!("the Lease: {error}")),
        });
    };
    let mut leadership = tokio::select! {
        leadership = election.win(report) => leadership,
        () = shutdown.clone().begun() => return ExitCode::SUCCESS,
    };
    match until_lost(&mut leadership, work).await {
        None => {
            leadership.release().await;
            ExitCode::SUCCESS
        }
        Some(lost) => {
            error!("{lost}; exiting, because another operator may work now");
            ExitCode::from(LOST)
        }
    }
}

/// Runs the work, and drops it as soon as the Lease is lost.
async fn until_lost(leadership: &mut Leadership, work: impl Future<Output = ()>) -> Option<Lost> {
    tokio::select! {
        () = work => None,
        lost = leadership.hold() => Some(lost),
    }
}
