//! Terminates TLS for MQTT: encrypted connections come in, plaintext MQTT goes to a smart-mqtt broker,
//! and a renewed certificate is taken over without a restart and without touching a connection.
//!
//! ```text
//! file ─▶ source ─▶ load ─▶ settings + tls ─▶ control ─▶ acceptor, one a thread
//! socket ─▶ acceptor ─▶ connection: ClientHello ─▶ admit ─▶ handshake ─▶ first packet ─▶ dial ─▶ relay ─▶ close
//! ```
//!
//! The life of a connection is told in `connection`; read that first. What is judged about a
//! certificate is told in [`judge`]; the operator asks the same code.
//!
//! This crate never talks to the API server, and works without Kubernetes.

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
mod first_packet;
mod journal;
mod last_words;
pub mod load;
mod metrics;
mod mqtt;
mod notices;
mod pulse;
mod record;
pub mod reference;
mod relay;
mod resolver;
mod scratch;
pub mod settings;
mod sockets;
pub mod source;
mod state;
mod tls;
pub mod watch;

use std::io;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use jiff::Timestamp;
use mqtt_tls_program::error::chain;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use crate::admin::{Board, Status};
use crate::control::{Control, Request};
use crate::metrics::Metrics;
use crate::pulse::Pulse;
use crate::sockets::{Room, Sharing};
use crate::source::Source;
use crate::state::{State, Worker};
use crate::watch::Watch;

pub use control::Ended;

/// Why a terminator could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port could not be bound.
    #[error("failed to bind {which} to {address}")]
    Bind {
        /// The listener or the admin port.
        which: &'static str,
        /// Where.
        address: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file does not run.
    #[error(transparent)]
    Load(load::Error),
    /// The system has no more threads or file descriptors.
    #[error("failed to start a thread")]
    Thread(#[source] io::Error),
}

impl StartError {
    /// Whether the port is in use by someone else.
    pub fn is_port_taken(&self) -> bool {
        matches!(self, Self::Bind { source, .. } if sockets::is_taken(source))
    }

    /// The error with all its causes, in one line.
    pub fn chain(&self) -> String {
        chain(self)
    }
}

/// A running terminator. Dropping it ends it as [`drain`](Self::drain) does.
pub struct Terminator {
    requests: mpsc::UnboundedSender<Request>,
    ended: oneshot::Receiver<Ended>,
    board: Arc<Board>,
}

impl Terminator {
    /// Starts from a file: judges it, binds its ports, starts `threads` threads (as many as there are
    /// cores, if not said), and watches the file from then on. Returns when connections are accepted.
    ///
    /// # Errors
    ///
    /// Nothing runs then.
    pub fn start(path: &Path, threads: Option<NonZeroUsize>) -> Result<Self, StartError> {
        let threads = threads.or_else(|| thread::available_parallelism().ok());
        let threads = threads.map_or(1, NonZeroUsize::get);
        // Watched before it is read: a change in between is not missed.
        let changes = Watch::file(path);
        let unreadable = |error| StartError::Load(load::Error::Read(error));
        let source = Source::new(path).map_err(unreadable)?;
        let text = source.read().map_err(unreadable)?;
        let loaded = load::first(text).map_err(StartError::Load)?;
        let settings = &loaded.settings;
        let listen = control::listen(settings);
        let bind = |which, address: &str| {
            let address = address.to_owned();
            move |source| StartError::Bind {
                which,
                address,
                source,
            }
        };
        let listeners = sockets::bind(settings.host, settings.port, threads, Sharing::Alone)
            .map_err(bind("the listener", &listen))?;
        let admin = admin::bind(settings.admin, Sharing::Alone)
            .map_err(bind("the admin port", &settings.admin.to_string()))?;

        let mut registry = Registry::default();
        let room = Room::of(threads);
        let state = Arc::new(State::new(room, threads));
        let metrics = Metrics::new(&mut registry, &state);
        let status = Status::of(settings, listen, 0, Timestamp::now());
        let shared = Arc::new(settings.clone());
        let possible = room.connections(&settings.limits);
        if possible < settings.limits.connections {
            warn!(
                possible,
                "file descriptor limit allows fewer connections than configured"
            );
        }
        let acceptors = listeners
            .into_iter()
            .enumerate()
            .map(|(index, listener)| {
                let worker = Worker::new(&state, index);
                acceptor::spawn(listener, Arc::clone(&shared), worker)
            })
            .collect::<io::Result<Vec<_>>>()
            .map_err(StartError::Thread)?;
        let commands = acceptors.iter().map(|acceptor| acceptor.commands.clone());
        let board = Arc::new(Board::new(
            registry,
            metrics.clone(),
            Pulse::new(commands.collect()),
            Arc::clone(&state),
            status,
        ));
        let parts = Parts {
            source,
            loaded,
            acceptors,
            metrics,
            state,
            admin,
            changes,
        };
        let (requests, ended) = parts.spawn(&board).map_err(StartError::Thread)?;
        Ok(Self {
            requests,
            ended,
            board,
        })
    }

    /// Looks at the file now, and says in the log what came of it.
    pub fn reload(&self) {
        // Whoever has ended has nothing to reload.
        let _ = self.requests.send(Request::Reload);
    }

    /// Accepts no more, and ends the connections spread over the time that the configuration gives.
    pub fn drain(&self) {
        let _ = self.requests.send(Request::Drain);
    }

    /// What `/status` shows.
    pub fn status(&self) -> Status {
        self.board.status()
    }

    /// Waits for the end. Safe to drop and to call again until it has resolved.
    pub async fn ended(&mut self) -> Ended {
        (&mut self.ended).await.unwrap_or(Ended::ThreadLost)
    }
}

/// What the control thread is made from.
struct Parts {
    source: Source,
    loaded: load::Loaded,
    acceptors: Vec<acceptor::Acceptor>,
    metrics: Metrics,
    state: Arc<State>,
    admin: std::net::TcpListener,
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
                        loaded,
                        acceptors,
                        metrics,
                        state,
                        admin,
                        changes,
                    } = self;
                    let admin = tokio::spawn(admin::serve(admin, Arc::clone(&board)));
                    let control = Control {
                        source,
                        loaded,
                        acceptors,
                        metrics,
                        state,
                        board,
                        admin,
                        refused: None,
                    };
                    control.announce(Timestamp::now());
                    control.run(changes, received).await
                });
                // Nobody may be waiting any more.
                let _ = end.send(how);
            })?;
        Ok((requests, ended))
    }
}
