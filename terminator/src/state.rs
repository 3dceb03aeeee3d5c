//! State that outlives connections and configurations: the [`State`] of the process, and each thread's [`Worker`].
//!
//! It must not make decisions about connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Instant;

use tokio::sync::Semaphore;

use crate::admission::{Admission, Population};
use crate::clients::Clients;
use crate::counts::Counts;
use crate::journal::Journal;
use crate::notices::Notices;
use crate::preview::{Totals, Window};
use crate::recheck::closes::Closes;
use crate::sockets::Room;
use crate::trial::Trials;

/// State shared by all threads.
pub(crate) struct State {
    /// Number of open connections, for metrics and for the limit.
    pub(crate) open: AtomicU32,
    /// Number of clients that the threads wait for.
    pub(crate) waiting: Arc<Population>,
    /// Number of sockets for which there are file descriptors.
    pub(crate) room: Room,
    /// The last failed handshakes.
    pub(crate) journal: Journal,
    /// Trials of renewed certificates.
    pub(crate) trials: Arc<Trials>,
    /// Rate limits of log lines about clients.
    pub(crate) notices: Notices,
    /// Registry of each thread's connections.
    pub(crate) clients: Box<[Arc<Clients>]>,
    /// When connections may be closed whose clients are refused after all.
    pub(crate) closes: Closes,
    /// Counters of each thread.
    pub(crate) counts: Box<[Counts]>,
}

impl State {
    /// Makes the state for a number of threads.
    pub(crate) fn new(room: Room, threads: usize) -> Self {
        Self {
            open: AtomicU32::new(0),
            waiting: Arc::default(),
            room,
            journal: Journal::default(),
            trials: Arc::default(),
            notices: Notices::default(),
            closes: Closes::default(),
            clients: (0..threads).map(|_| Arc::default()).collect(),
            counts: (0..threads).map(|_| Counts::default()).collect(),
        }
    }

    /// Returns the number of connected clients whose certificates are still to be judged again.
    pub(crate) fn to_recheck(&self) -> usize {
        let clients = self.clients.iter();
        clients.map(|clients| clients.recheck.left()).sum()
    }

    /// Adds up what all threads have counted about changes of what TLS offers.
    pub(crate) fn preview(&self, window: Window, now: Instant) -> Totals {
        let mut totals = Totals::default();
        for counts in &self.counts {
            counts.preview.add_to(&mut totals, window, now);
        }
        totals
    }
}

/// State of a thread, shared by its connections.
pub(crate) struct Worker {
    pub(crate) state: Arc<State>,
    /// Index of the thread.
    pub(crate) index: usize,
    /// Registry of its connections.
    pub(crate) clients: Arc<Clients>,
    /// Clients that it waits for.
    pub(crate) admission: Arc<Admission>,
    /// Those of them whose CONNECT is held although it is large.
    pub(crate) holding: Arc<Admission>,
    /// Turns for the cryptography of handshakes, one at a time.
    pub(crate) turns: Semaphore,
}

impl Worker {
    /// Counts and logs a first packet that passes, and that a later release refuses.
    pub(crate) fn tolerate(&self, address: SocketAddr, error: &mqtt_tls_mqtt::Error) {
        self.counts().tolerate(error.reason());
        self.state.notices.tolerated(address, error);
    }

    /// Makes the state of the thread with an index.
    pub(crate) fn new(state: &Arc<State>, index: usize) -> Self {
        Self {
            state: Arc::clone(state),
            index,
            clients: Arc::clone(&state.clients[index]),
            admission: Arc::new(Admission::new(Arc::clone(&state.waiting))),
            holding: Arc::new(Admission::new(Arc::default())),
            turns: Semaphore::new(1),
        }
    }

    /// Returns the counters of this thread.
    pub(crate) fn counts(&self) -> &Counts {
        &self.state.counts[self.index]
    }
}
