//! The command `run`: client, admin port, controller, in this order, and their end.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use kube::{Client, Config};
use prometheus_client::registry::Registry;
use tracing::{error, info, warn};

use crate::admin::{self, Board};
use crate::args::Run;
use crate::controller::{self, Context, Scope};
use crate::error::chain;
use crate::metrics::Metrics;
use crate::shutdown::Shutdown;

/// What cannot be used: the cluster, or a port.
const UNAVAILABLE: u8 = 69;

/// A second signal came.
const ABORTED: u8 = 130;

/// Runs the controller until a signal.
pub async fn run(arguments: &Run) -> ExitCode {
    let shutdown = match Shutdown::on_signals() {
        Ok(shutdown) => shutdown,
        Err(error) => return unavailable("signals cannot be handled", &error),
    };
    let config = match Config::infer().await {
        Ok(config) => config,
        Err(error) => {
            return unavailable(
                "there is neither a usable kubeconfig nor a cluster around; set KUBECONFIG, or correct it",
                &error,
            );
        }
    };
    info!(server = %config.cluster_url, "the API server");
    let client = match Client::try_from(config) {
        Ok(client) => client,
        Err(error) => return unavailable("the kubeconfig cannot be used", &error),
    };
    let admin = match admin::bind(arguments.admin).await {
        Ok(admin) => admin,
        Err(error) => return unavailable("the admin port cannot be bound", &error),
    };
    let mut registry = Registry::default();
    let metrics = Metrics::new(&mut registry);
    let board = Arc::new(Board {
        registry,
        is_synced: AtomicBool::new(false),
    });
    let admin = tokio::spawn(admin::serve(admin, Arc::clone(&board), shutdown.clone()));
    let scope = Scope {
        // A variable that is set to nothing says nothing.
        namespace: arguments.namespace.clone().filter(|name| !name.is_empty()),
        concurrency: arguments.concurrency,
    };
    let instance = arguments.instance.clone();
    let context = Context::new(client, arguments.settings(), metrics, instance);
    info!(version = env!("CARGO_PKG_VERSION"), ?scope, "started");
    tokio::select! {
        () = controller::run(context, scope, board, shutdown.clone()) => {}
        () = shutdown.aborted() => {
            warn!("a second signal came; ended at once");
            return ExitCode::from(ABORTED);
        }
    }
    admin.abort();
    info!("ended");
    ExitCode::SUCCESS
}

fn unavailable(what: &str, cause: &dyn std::error::Error) -> ExitCode {
    error!("{what}: {}", chain(cause));
    ExitCode::from(UNAVAILABLE)
}
