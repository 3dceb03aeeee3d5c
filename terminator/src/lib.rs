//! TLS terminator for MQTT: accepts TLS connections, forwards plaintext MQTT to a smart-mqtt broker, and reloads
//! renewed certificates without a restart and without affecting open connections.
//!
//! ```text
//! file ─▶ source ─▶ load ─▶ settings + tls ─▶ control ─▶ acceptor, one per thread
//! socket ─▶ acceptor ─▶ connection: ClientHello ─▶ admit ─▶ handshake ─▶ first packet ─▶ dial ─▶ relay ─▶ close
//! ```
//!
//! Read `connection` first: it implements the life of a connection. The crate `mqtt-tls-judge` validates
//! certificates; the operator uses it too.
//!
//! This crate never connects to the API server, and works without Kubernetes.

mod acceptor;
mod address;
pub mod admin;
mod admission;
mod arrival;
mod backend;
mod backlog;
mod clients;
mod connection;
mod control;
mod counts;
mod crls;
mod end;
mod fetch;
mod first_packet;
mod followed;
mod journal;
mod last_words;
mod listeners;
mod lists;
pub mod load;
mod metrics;
mod notices;
mod opened;
mod preview;
mod pulse;
mod recheck;
mod record;
pub mod reference;
mod relay;
pub mod reload;
mod resolver;
mod roster;
mod scratch;
pub mod settings;
mod sockets;
pub mod source;
mod state;
mod ticket_file;
mod tls;
mod trial;
mod trial_file;
mod verdicts;
pub mod watch;

use std::io;
use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use jiff::Timestamp;
use mqtt_tls_program::error::chain;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use crate::acceptor::Acceptor;
use crate::admin::{Board, Status};
use crate::control::{Control, Request};
use crate::crls::urls::first_answers;
use crate::followed::Followed;
use crate::lists::Lists;
use crate::metrics::Metrics;
use crate::opened::{Opened, unreadable};
use crate::pulse::Pulse;
use crate::settings::Settings;
use crate::sockets::{Bound, Room};
use crate::source::Source;
use crate::state::{State, Worker};
use crate::watch::Watch;

pub use control::Ended;

/// Errors in starting a terminator.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port cannot be bound.
    #[error("failed to bind {which} to {address}")]
    Bind {
        /// The listener or the admin port.
        which: &'static str,
        /// Address.
        address: String,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// The configuration cannot be loaded.
    #[error(transparent)]
    Load(load::Error),
    /// A thread cannot be started.
    #[error("failed to start a thread")]
    Thread(#[source] io::Error),
}

impl StartError {
    /// Reports whether another process uses the port.
    pub fn is_port_taken(&self) -> bool {
        matches!(self, Self::Bind { source, .. } if sockets::is_taken(source))
    }

    /// Formats the error with all its causes on one line.
    pub fn chain(&self) -> String {
        chain(self)
    }
}

/// The files of a terminator.
#[derive(Clone, Copy, Debug)]
pub struct Files<'f> {
    /// The configuration.
    pub configuration: &'f Path,
    /// The configuration to start from if that is refused.
    pub fallback: Option<&'f Path>,
    /// Session ticket keys that other terminators have too.
    pub ticket_keys: Option<&'f Path>,
    /// Revocation lists of clients' certificates.
    pub crls: Option<&'f Path>,
    /// Trials of renewed certificates.
    pub trials: Option<&'f Path>,
}

impl<'f> From<&'f Path> for Files<'f> {
    /// A configuration alone.
    fn from(configuration: &'f Path) -> Self {
        Self {
            configuration,
            fallback: None,
            ticket_keys: None,
            crls: None,
            trials: None,
        }
    }
}

/// A running terminator. Dropping it starts a drain, like [`drain`](Self::drain).
pub struct Terminator {
    requests: mpsc::UnboundedSender<Request>,
    ended: oneshot::Receiver<Ended>,
    board: Arc<Board>,
}

impl Terminator {
    /// Loads a configuration file, binds its ports, starts `threads` threads (default: one per core) and
    /// watches the file for changes. Returns when connections are accepted.
    ///
    /// If the file is refused and there is a fallback, serves that until the file is good.
    ///
    /// # Errors
    ///
    /// Returns an error if any step fails, that of the file if both are refused; nothing keeps running then.
    pub fn start(files: Files<'_>, threads: Option<NonZeroUsize>) -> Result<Self, StartError> {
        let threads = threads.or_else(|| thread::available_parallelism().ok());
        let threads = threads.map_or(1, NonZeroUsize::get);
        // Watch the file before reading it, so that no change in between is missed.
        let changes = Watch::file(files.configuration);
        let source = Source::new(files.configuration).map_err(unreadable)?;
        let opened = Opened::first(&source, files.fallback, threads)?;
        let (loaded, is_fallback) = (opened.loaded, opened.is_fallback);
        let settings = &loaded.settings;
        let ticket_keys = files.ticket_keys.map(|path| {
            let mut file = Followed::new(&source, path);
            ticket_file::reload(&mut file, &settings.tickets);
            file
        });
        let crls = Lists::first(&source, files.crls, settings, Timestamp::now());
        let mut registry = Registry::default();
        let room = Room::of(threads);
        let state = Arc::new(State::new(room, threads));
        let trials = files.trials.map(|path| {
            let mut file = Followed::new(&source, path);
            trial_file::reload(&mut file, &state.trials);
            file
        });
        let metrics = Metrics::new(&mut registry, &state);
        let status = Status::of(settings, control::listen(settings), 0, Timestamp::now());
        let possible = room.connections(&settings.limits);
        if possible < settings.limits.connections {
            warn!(
                possible,
                "file descriptor limit allows fewer connections than configured"
            );
        }
        let acceptors = accept(opened.listeners, settings, &state).map_err(StartError::Thread)?;
        let commands = acceptors.iter().map(|acceptor| acceptor.commands.clone());
        let board = Arc::new(Board::new(
            registry,
            metrics.clone(),
            Pulse::new(commands.collect()),
            Arc::clone(&state),
            Arc::new(settings.clone()),
            status,
        ));
        let parts = Parts {
            source,
            ticket_keys,
            crls,
            trials,
            loaded,
            is_fallback,
            acceptors,
            metrics,
            state,
            admin: opened.admin,
            changes,
        };
        let (requests, ended) = parts.spawn(&board).map_err(StartError::Thread)?;
        Ok(Self {
            requests,
            ended,
            board,
        })
    }

    /// Reloads the file now, and logs the result.
    pub fn reload(&self) {
        // A terminator that has ended has nothing to reload.
        let _ = self.requests.send(Request::Reload);
    }

    /// Stops accepting connections, and closes the open ones spread over the configured drain deadline.
    pub fn drain(&self) {
        let _ = self.requests.send(Request::Drain);
    }

    /// Returns the content of `/status`.
    pub fn status(&self) -> Status {
        self.board.status()
    }

    /// Waits for the end. Cancel safe until it has resolved.
    pub async fn ended(&mut self) -> Ended {
        (&mut self.ended).await.unwrap_or(Ended::ThreadLost)
    }
}

/// Starts a thread for each of the bound sets of sockets.
fn accept(
    listeners: Vec<Bound>,
    settings: &Settings,
    state: &Arc<State>,
) -> io::Result<Vec<Acceptor>> {
    let settings = Arc::new(settings.clone());
    let listeners = listeners.into_iter().enumerate();
    listeners
        .map(|(index, bound)| {
            acceptor::spawn(bound, Arc::clone(&settings), Worker::new(state, index))
        })
        .collect()
}

/// Returns a future in which the admin port answers that it is not ready, until each URL of lists was asked.
fn await_lists(settings: &Settings, board: &Arc<Board>) -> impl Future<Output = ()> + use<> {
    let (pool, board) = (Arc::clone(&settings.crls), Arc::clone(board));
    board.await_lists(!settings.crl_urls.is_empty());
    async move {
        first_answers(&pool).await;
        board.await_lists(false);
    }
}

/// Parts of the control thread.
struct Parts {
    source: Source,
    ticket_keys: Option<Followed>,
    crls: Lists,
    trials: Option<Followed>,
    loaded: load::Loaded,
    is_fallback: bool,
    acceptors: Vec<Acceptor>,
    metrics: Metrics,
    state: Arc<State>,
    admin: TcpListener,
    changes: Watch,
}

impl Parts {
    fn spawn(
        self,
        board: &Arc<Board>,
    ) -> io::Result<(mpsc::UnboundedSender<Request>, oneshot::Receiver<Ended>)> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (requests, received) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel();
        let board = Arc::clone(board);
        thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || {
                let how = runtime.block_on(async {
                    let Self {
                        source,
                        ticket_keys,
                        mut crls,
                        trials,
                        loaded,
                        is_fallback,
                        acceptors,
                        metrics,
                        state,
                        admin,
                        changes,
                    } = self;
                    crls.ask(&loaded.settings);
                    tokio::spawn(await_lists(&loaded.settings, &board));
                    let admin = tokio::spawn(admin::serve(admin, Arc::clone(&board)));
                    let mut control = Control {
                        source,
                        ticket_keys,
                        crls,
                        trials,
                        loaded,
                        acceptors,
                        metrics,
                        state,
                        board,
                        admin,
                        refused: None,
                    };
                    control.announce(Timestamp::now());
                    if is_fallback {
                        // Reports what is wrong with the file, as a running terminator does.
                        control.reload(false);
                    }
                    Box::pin(control.run(changes, received)).await
                });
                // The receiver may be gone.
                let _ = end.send(how);
            })?;
        Ok((requests, ended))
    }
}
