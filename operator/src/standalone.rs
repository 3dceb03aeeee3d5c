//! The command `standalone`: the same plan over a folder of manifests, with the terminators in this
//! process instead of Deployments.
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

/// How often the folder is read although no change was seen: some file systems tell of none.
const POLL: Duration = Duration::from_secs(5);

/// How long changes are collected before the folder is read: a save is several of them.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// What cannot be used: the folder.
const UNAVAILABLE: u8 = 69;

/// A second signal came.
const ABORTED: u8 = 130;

/// Serves the folder until a signal.
pub async fn run(arguments: &Standalone) -> ExitCode {
    let shutdown = match Shutdown::on_signals() {
        Ok(shutdown) => shutdown,
        Err(error) => {
            error!(error = chain(&error), "signals cannot be handled");
            return ExitCode::from(UNAVAILABLE);
        }
    };
    if !arguments.folder.is_dir() {
        error!(folder = %arguments.folder.display(), "this is not a folder; create it, or name another");
        return ExitCode::from(UNAVAILABLE);
    }
    tokio::select! {
        served = serve(arguments, shutdown.clone()) => match served {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                error!(error = chain(&error), "a private folder for the configurations cannot be made");
                ExitCode::from(UNAVAILABLE)
            }
        },
        () = shutdown.aborted() => {
            warn!("a second signal came; ended at once");
            ExitCode::from(ABORTED)
        }
    }
}

/// Serves the folder until the first signal, and then until the terminators have drained.
///
/// # Errors
///
/// There is no place for the configurations.
pub async fn serve(arguments: &Standalone, shutdown: Shutdown) -> std::io::Result<()> {
    let mut fleet = Fleet::new(arguments.backend.clone(), arguments.drain_deadline)?;
    let mut folder = Folder::default();
    let (teller, mut changes) = mpsc::channel(1);
    let _watcher = watch(&arguments.folder, teller);
    info!(folder = %arguments.folder.display(), "serving the listeners of this folder");
    let mut ended = std::pin::pin!(shutdown.begun());
    loop {
        folder.read(&arguments.folder);
        let look_again = fleet.reconcile(&folder, Timestamp::now());
        tokio::select! {
            () = &mut ended => break,
            Some(()) = changes.recv() => tokio::time::sleep(DEBOUNCE).await,
            () = tokio::time::sleep(look_again.min(POLL)) => {}
        }
        // What came while it slept is seen by the next reading.
        let _ = changes.try_recv();
    }
    fleet.drain().await;
    info!("ended");
    Ok(())
}

/// Watches a folder for as long as the result is kept. Without a watch there is still the poll.
fn watch(folder: &Path, teller: mpsc::Sender<()>) -> Option<notify::RecommendedWatcher> {
    let tell = move |_| {
        // Full means that a change is noted already.
        let _ = teller.try_send(());
    };
    let watcher = notify::recommended_watcher(tell).and_then(|mut watcher| {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    watcher
        .inspect_err(|error| warn!(error = chain(error), "the folder is polled, not watched"))
        .ok()
}
