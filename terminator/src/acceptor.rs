//! A thread with its sockets, its accept loop and its connections.
//!
//! It must not do anything slow between two accepts: no cryptography, no dialing, no waiting for clients.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use tracing::{error, warn};

use crate::admission::Stage;
use crate::clients::Membership;
use crate::connection::{self, Accepted};
use crate::listeners::{Listeners, is_about_one};
use crate::recheck;
use crate::settings::Settings;
use crate::sockets::{Bound, Place};
use crate::state::Worker;

/// Time to wait after accept fails; file descriptors become available as connections close.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Maximum number of threads for name resolution, which blocks, per accepting thread.
const RESOLVERS: usize = 8;

/// Command to a thread.
pub(crate) enum Command {
    /// Use these settings for new connections.
    Settings(Arc<Settings>),
    /// Accept from these sockets too, and no longer from those of places that are not listed.
    Listen { opened: Bound, places: Vec<Place> },
    /// Answer a liveness check.
    Ping(oneshot::Sender<()>),
    /// Stop accepting, and end within this time.
    Drain(Duration),
}

/// A thread that accepts connections.
pub(crate) struct Acceptor {
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    /// Resolves when the thread ends for any reason.
    pub(crate) ended: oneshot::Receiver<()>,
}

/// Returns the name of the thread with an index.
pub(crate) fn name(index: usize) -> String {
    format!("acceptor-{index}")
}

/// Starts a thread on bound sockets.
pub(crate) fn spawn(bound: Bound, settings: Arc<Settings>, worker: Worker) -> io::Result<Acceptor> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(RESOLVERS)
        .build()?;
    let (commands, received) = mpsc::unbounded_channel();
    let (alive, ended) = oneshot::channel();
    let worker = Arc::new(worker);
    thread::Builder::new()
        .name(name(worker.index))
        .spawn(move || {
            // Dropped when the thread ends, also by a panic.
            let _alive = alive;
            if let Err(error) = runtime.block_on(run(bound, settings, worker, received)) {
                error!(%error, "thread failed");
            }
            // Do not wait for name resolution, which may hang.
            runtime.shutdown_background();
        })?;
    Ok(Acceptor { commands, ended })
}

/// Accepts connections until a drain.
async fn run(
    bound: Bound,
    mut settings: Arc<Settings>,
    worker: Arc<Worker>,
    mut commands: mpsc::UnboundedReceiver<Command>,
) -> io::Result<()> {
    let mut listeners = Listeners::new(bound)?;
    worker.clients.recheck.follow(&settings);
    let walk = recheck::walk(Arc::clone(&worker), Arc::clone(&settings.crls));
    tokio::spawn(walk);
    let serve = |(client, address): (TcpStream, SocketAddr), settings: &Arc<Settings>| {
        tokio::spawn(connection::serve(Accepted {
            client,
            address,
            at: Instant::now(),
            settings: Arc::clone(settings),
            worker: Arc::clone(&worker),
            membership: Membership::new(&worker.clients),
        }));
    };
    // Log once per series of failures, not twenty times a second.
    let mut is_failing = false;
    let deadline = loop {
        tokio::select! {
            biased;
            command = commands.recv() => match command {
                Some(Command::Settings(new)) => {
                    worker.clients.recheck.follow(&new);
                    settings = new;
                }
                Some(Command::Listen { opened, places }) => {
                    listeners.add(opened)?;
                    let failed = listeners.keep(&places, |accepted| serve(accepted, &settings));
                    worker.counts().accept_errors.add(failed);
                }
                Some(Command::Ping(answer)) => pong(answer),
                Some(Command::Drain(within)) => break within,
                // The control thread is gone.
                None => return Ok(()),
            },
            accepted = listeners.accept() => match accepted {
                Ok(accepted) => {
                    is_failing = false;
                    serve(accepted, &settings);
                }
                Err(error) => {
                    worker.counts().accept_errors.add(1);
                    if is_about_one(&error) {
                        continue;
                    }
                    if !std::mem::replace(&mut is_failing, true) {
                        warn!(%error, "failed to accept connections; retrying");
                    }
                    sleep(ACCEPT_RETRY).await;
                }
            },
        }
    };
    let failed = listeners.keep(&[], |accepted| serve(accepted, &settings));
    worker.counts().accept_errors.add(failed);
    // Close silent connections at once: their clients lose nothing.
    worker.admission.empty(Stage::Silent);
    tokio::select! {
        () = worker.clients.drain(deadline) => {}
        () = only_answer(commands) => {}
    }
    Ok(())
}

fn pong(answer: oneshot::Sender<()>) {
    // The receiver may be gone.
    let _ = answer.send(());
}

/// Answers liveness checks only.
async fn only_answer(mut commands: mpsc::UnboundedReceiver<Command>) {
    while let Some(command) = commands.recv().await {
        if let Command::Ping(answer) = command {
            pong(answer);
        }
    }
    // Keep draining although the control thread is gone.
    std::future::pending::<()>().await;
}
