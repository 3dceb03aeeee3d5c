//! What a thread lends to each of its connections, and what all threads share. It must not do anything.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::admission::Admission;
use crate::backend::Outages;
use crate::journal::Journal;
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
