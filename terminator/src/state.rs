//! What outlives a connection and a configuration: the [`State`] of the process, and each thread's [`Worker`].
//!
//! It must not decide what becomes of a connection.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use tokio::sync::Semaphore;

use crate::admission::{Admission, Population};
use crate::backend::Outages;
use crate::clients::Clients;
use crate::journal::Journal;
use crate::metrics::Counts;
use crate::notices::Notices;
use crate::resolver::Resolver;
use crate::sockets::Room;

/// What all threads share.
pub(crate) struct State {
    /// How many connections are open; also what the limit is held against.
    pub(crate) open: AtomicU32,
    /// How many clients are waited for.
    pub(crate) waiting: Arc<Population>,
    /// How many sockets there are file descriptors for.
    pub(crate) room: Room,
    /// Where the backend is.
    pub(crate) resolver: Arc<Resolver>,
    /// Whether the backend is reached.
    pub(crate) outages: Outages,
    /// The handshakes that failed last.
    pub(crate) journal: Journal,
    /// What the log said of them.
    pub(crate) notices: Notices,
    /// What each thread counts.
    pub(crate) counts: Box<[Counts]>,
}

impl State {
    /// For so many threads.
    pub(crate) fn new(room: Room, threads: usize) -> Self {
        Self {
            open: AtomicU32::new(0),
            waiting: Arc::default(),
            room,
            resolver: Arc::default(),
            outages: Outages::default(),
            journal: Journal::default(),
            notices: Notices::default(),
            counts: (0..threads).map(|_| Counts::default()).collect(),
        }
    }
}

/// What a thread lends to each of its connections.
pub(crate) struct Worker {
    pub(crate) state: Arc<State>,
    /// Which of the threads it is.
    pub(crate) index: usize,
    /// Who is connected.
    pub(crate) clients: Arc<Clients>,
    /// Who keeps this thread waiting.
    pub(crate) admission: Arc<Admission>,
    /// Whose turn it is to have cryptography done: one at a time.
    pub(crate) turns: Semaphore,
}

impl Worker {
    /// Of the thread with this index.
    pub(crate) fn new(state: &Arc<State>, index: usize) -> Self {
        Self {
            state: Arc::clone(state),
            index,
            clients: Arc::default(),
            admission: Arc::new(Admission::new(Arc::clone(&state.waiting))),
            turns: Semaphore::new(1),
        }
    }

    /// What this thread counts.
    pub(crate) fn counts(&self) -> &Counts {
        &self.state.counts[self.index]
    }
}
