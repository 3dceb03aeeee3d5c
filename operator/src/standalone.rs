//! The command `standalone`: runs the same plan over a folder of manifests, with the terminators in this process
//! instead of Deployments.
//!
//! It must not decide anything that the plan decides.

pub mod fleet;
pub mod folder;
mod member;
pub(crate) mod private;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use jiff::Timestamp;
use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use crate::args::Standalone;
use crate::error::chain;
use crate::shutdown::Shutdown;
use fleet::Fleet;
use folder::Folder;

/// Interval of reading the folder without events: some file systems report none.
const POLL: Duration = Duration::from_secs(5);

/// How long changes are collected before the folder is read: saving a file causes several.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// Exit code: the folder is unavailable.
const UNAVAILABLE: u8 = 69;

/// Exit code: a second signal aborted the shutdown.
const ABORTED: u8 = 130;

/// Serves the folder until a signal.
pub async fn run(arguments: &Standalone) -> ExitCode {
    let shutdown = match Shutdown::on_signals() {
        Ok(shutdown) => shutdown,
        Err(error) => {
            error!(error = chain(&error), "failed to set up signal handling");
            return ExitCode::from(UNAVAILABLE);
        }
    };
    if !arguments.folder.is_dir() {
        error!(folder = %arguments.folder.display(), "not a folder; create it, or choose another");
        return ExitCode::from(UNAVAILABLE);
    }
    tokio::select! {
        served = serve(arguments, shutdown.clone(), |_| {}) => match served {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                error!(error = chain(&error), "failed to create a private folder for the configurations");
                ExitCode::from(UNAVAILABLE)
            }
        },
        () = shutdown.aborted() => {
            warn!("received a second signal; exiting without draining");
            ExitCode::from(ABORTED)
        }
    }
}

/// Serves the folder until the first signal, and then until the terminators have drained. `report` gets what each change
/// of the folder did.
///
/// # Errors
///
/// The folder for the configurations cannot be created.
pub async fn serve(
    arguments: &Standalone,
    shutdown: Shutdown,
    report: impl Fn(&str),
) -> std::io::Result<()> {
    let mut fleet = Fleet::new(arguments.backend.clone(), arguments.drain_deadline)?;
    let mut folder = Folder::default();
    let (sender, mut changes) = mpsc::channel(1);
    let _watcher = watch(&arguments.folder, sender);
    info!(folder = %arguments.folder.display(), "serving the listeners in this folder");
    let mut ended = std::pin::pin!(shutdown.begun());
    let mut is_change = false;
    loop {
        folder.read(&arguments.folder);
        let look_again = fleet.reconcile(&folder, Timestamp::now());
        if is_change {
            fleet.news().iter().for_each(|line| report(line));
        }
        is_change = true;
        tokio::select! {
            () = &mut ended => break,
            Some(()) = changes.recv() => tokio::time::sleep(DEBOUNCE).await,
            () = tokio::time::sleep(look_again.min(POLL)) => {}
        }
        // The next read covers changes during the sleep.
        let _ = changes.try_recv();
    }
    fleet.drain().await;
    info!("stopped");
    Ok(())
}

/// Watches a folder until the result is dropped. Without a watch, the folder is only polled.
fn watch(folder: &Path, sender: mpsc::Sender<()>) -> Option<notify::RecommendedWatcher> {
    let notify = move |_| {
        // A full channel already holds a change.
        let _ = sender.try_send(());
    };
    let watcher = notify::recommended_watcher(notify).and_then(|mut watcher| {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    watcher
        .inspect_err(|error| {
            warn!(
                error = chain(error),
                "failed to watch the folder; polling it instead"
            );
        })
        .ok()
}
