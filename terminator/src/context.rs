//! What a thread lends to each of its connections, and what all threads share. It must not decide what becomes of
//! a connection.

use std::net::SocketAddr;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tracing::debug;

use crate::admission::Admission;
use crate::backend::Outages;
use crate::handshake::{self, Attempt};
use crate::journal::{Entry, Journal};
use crate::metrics::Metrics;
use crate::notices::Notices;
use crate::resolver::Resolver;
use crate::sockets::Room;

/// What a thread lends to each of its connections.
pub(crate) struct Context {
    pub(crate) metrics: Metrics,
    /// Which of the threads' traffic counters is its own.
    pub(crate) thread: usize,
    /// How many sockets there are file descriptors for.
    pub(crate) room: Room,
    /// Who keeps this thread waiting.
    pub(crate) admission: Arc<Admission>,
    /// Whose turn it is to have cryptography done: one at a time.
    pub(crate) turns: Semaphore,
    pub(crate) shared: Shared,
}

/// What all threads share.
#[derive(Clone, Default)]
pub(crate) struct Shared {
    /// Where the backend is.
    pub(crate) resolver: Arc<Resolver>,
    /// Whether the backend is reached.
    pub(crate) outages: Arc<Outages>,
    /// The handshakes that failed last.
    pub(crate) journal: Arc<Journal>,
    /// What was told of them.
    pub(crate) notices: Arc<Notices>,
}

impl Shared {
    /// Tells of a handshake that failed: in the log, and in the journal if it is kept. Health checks, which say
    /// nothing, are only counted.
    pub(crate) fn handshake_failed(
        &self,
        error: &handshake::Error,
        attempt: &Attempt,
        address: SocketAddr,
        is_kept: bool,
    ) {
        if attempt.hello.is_empty() {
            debug!(%address, reason = error.reason(), "handshake failed");
            return;
        }
        let entry = Entry::of(address, Timestamp::now(), error, attempt);
        self.notices.handshake_failed(error, &entry);
        if is_kept {
            self.journal.add(entry);
        }
    }
}

impl Context {
    /// For the thread with this index.
    pub(crate) fn new(metrics: &Metrics, thread: usize, room: Room, shared: &Shared) -> Self {
        Self {
            metrics: metrics.clone(),
            thread,
            room,
            admission: Arc::new(Admission::new(Arc::clone(&metrics.waiting))),
            turns: Semaphore::new(1),
            shared: shared.clone(),
        }
    }
}
