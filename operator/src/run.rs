//! The command `run`: client, admin port, Lease, controller, in this order, and their end.

use std::process::ExitCode;
use std::sync::Arc;

use kube::client::ClientBuilder;
use kube::{Client, Config};
use prometheus_client::registry::Registry;
use tracing::{error, info, warn};

use crate::admin::{self, Board, Stage};
use crate::args::Run;
use crate::controller::scope::Scope;
use crate::controller::watches::SILENCE_MAX;
use crate::controller::{self, Context};
use crate::error::chain;
use crate::leader::{Candidate, Election, Gate, Leadership, Lost, Standing};
use crate::metrics::Metrics;
use crate::plan::names::MANAGER;
use crate::shutdown::Shutdown;

/// What cannot be used: the cluster, or a port.
pub const UNAVAILABLE: u8 = 69;

/// Another operator may work by now.
const LOST: u8 = 75;

/// A second signal came.
const ABORTED: u8 = 130;

/// Runs the controller until a signal.
pub async fn run(arguments: &Run) -> ExitCode {
    let shutdown = match Shutdown::on_signals() {
        Ok(shutdown) => shutdown,
        Err(error) => return unavailable("signals cannot be handled", &error),
    };
    let config = match cluster().await {
        Ok(config) => config,
        Err(code) => return code,
    };
    let candidate = candidate(arguments, &config);
    let (client, election) = match clients(config, candidate) {
        Ok(clients) => clients,
        Err(error) => return unavailable("the kubeconfig cannot be used", &error),
    };
    let admin = match admin::bind(arguments.admin).await {
        Ok(admin) => admin,
        Err(error) => return unavailable("the admin port cannot be bound", &error),
    };
    let mut registry = Registry::default();
    let metrics = Metrics::new(&mut registry);
    let board = Arc::new(Board::new(registry));
    let admin = tokio::spawn(admin::serve(admin, Arc::clone(&board), shutdown.clone()));
    info!(version = env!("CARGO_PKG_VERSION"), "started");
    let work = work(
        arguments,
        client,
        metrics,
        Arc::clone(&board),
        shutdown.clone(),
    );
    let code = tokio::select! {
        code = led(election, &board, &shutdown, work) => code,
        () = shutdown.clone().aborted() => {
            warn!("a second signal came; ended at once");
            return ExitCode::from(ABORTED);
        }
    };
    admin.abort();
    info!("ended");
    code
}

/// The API server: of the kubeconfig, or the one around this pod.
pub async fn cluster() -> Result<Config, ExitCode> {
    match Config::infer().await {
        Ok(mut config) => {
            config.read_timeout = Some(SILENCE_MAX);
            info!(server = %config.cluster_url, "the API server");
            Ok(config)
        }
        Err(error) => Err(unavailable(
            "there is neither a usable kubeconfig nor a cluster around; set KUBECONFIG, or correct it",
            &error,
        )),
    }
}

/// Says what cannot be used.
pub fn unavailable(what: &str, cause: &dyn std::error::Error) -> ExitCode {
    error!("{what}: {}", chain(cause));
    ExitCode::from(UNAVAILABLE)
}

/// Which Lease is reached for; none outside of a cluster, unless one is named: whoever tries a change on a
/// laptop would otherwise wait for the cluster's own operator, or keep it waiting.
fn candidate(arguments: &Run, config: &Config) -> Option<Candidate> {
    // A variable that is set to nothing says nothing.
    let named = arguments
        .lease_namespace
        .clone()
        .filter(|name| !name.is_empty());
    let own = || {
        let pod = Config::incluster().ok()?;
        (pod.cluster_url == config.cluster_url).then_some(pod.default_namespace)
    };
    let Some(namespace) = named.or_else(own) else {
        info!("outside of a cluster no Lease is used: see to it that no other operator works");
        return None;
    };
    let name = arguments.instance.as_deref().unwrap_or(MANAGER);
    let candidate = Candidate {
        namespace,
        lease: arguments.lease_name.clone(),
        identity: format!("{name}_{:016x}", fastrand::u64(..)),
        duration: arguments.lease_duration,
    };
    info!(?candidate, "one of the operators with this Lease works");
    Some(candidate)
}

/// The API client of the controller, and with a Lease what it takes to hold that. They share no connection:
/// however much is to be done, the Lease is renewed.
fn clients(
    config: Config,
    candidate: Option<Candidate>,
) -> Result<(Client, Option<Election>), kube::Error> {
    let Some(candidate) = candidate else {
        return Ok((Client::try_from(config)?, None));
    };
    let gate = Gate::default();
    let worker = ClientBuilder::try_from(config.clone())?
        .with_layer(&gate.layer())
        .build();
    let election = Election {
        client: Client::try_from(config)?,
        candidate,
        gate,
    };
    Ok((worker, Some(election)))
}

/// The controller's work, from the list of listeners to the last reconciliation.
async fn work(
    arguments: &Run,
    client: Client,
    metrics: Metrics,
    board: Arc<Board>,
    shutdown: Shutdown,
) {
    let scope = Scope::of(arguments.namespace.as_deref());
    let instance = arguments.instance.clone();
    metrics.lead();
    let context = Context::new(client, arguments.environment(), metrics, instance);
    info!(?scope, concurrency = arguments.concurrency, "working");
    controller::run(context, scope, arguments.concurrency, board, shutdown).await;
}

/// Does the work while the Lease is held, if there is one. Whoever stands by does nothing else: nothing is
/// watched, because a reconciliation reads all that it needs anew, and the listeners are listed in no time.
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
    let tell = |standing| {
        board.reach(match standing {
            Standing::By(leader) => Stage::StandingBy(leader),
            Standing::Nowhere(error) => Stage::Waiting(format!("the Lease: {error}")),
        });
    };
    let mut leadership = tokio::select! {
        leadership = election.win(tell) => leadership,
        () = shutdown.clone().begun() => return ExitCode::SUCCESS,
    };
    match until_lost(&mut leadership, work).await {
        None => {
            leadership.release().await;
            ExitCode::SUCCESS
        }
        Some(lost) => {
            error!("{lost}; ended, because another operator may work now");
            ExitCode::from(LOST)
        }
    }
}

/// Does the work, and drops it where it is if the Lease is lost.
async fn until_lost(leadership: &mut Leadership, work: impl Future<Output = ()>) -> Option<Lost> {
    tokio::select! {
        () = work => None,
        lost = leadership.hold() => Some(lost),
    }
}
