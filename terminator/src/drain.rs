//! Ending without a stampede: connections are told to end spread over the time that there is.
//!
//! It must not know the connections: holding a [`Watch`] is being counted, dropping it is being done.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

/// The part of the time over which connections are told to end; the rest is for them to do so.
const SPREAD: f64 = 0.75;

/// Starts the drain of one thread, and waits for its end.
pub(crate) struct Drain {
    sender: watch::Sender<Option<Instant>>,
}

/// What a connection holds.
#[derive(Clone)]
pub(crate) struct Watch(watch::Receiver<Option<Instant>>);

impl Drain {
    pub(crate) fn new() -> Self {
        Self {
            sender: watch::Sender::new(None),
        }
    }

    /// For one more connection.
    pub(crate) fn watch(&self) -> Watch {
        Watch(self.sender.subscribe())
    }

    /// Tells all connections, and waits until they are gone or the time is over.
    pub(crate) async fn run(self, within: Duration) {
        let deadline = Instant::now() + within;
        self.sender.send_replace(Some(deadline));
        // At the deadline those that are left end with their thread.
        let _ = timeout_at(deadline, self.sender.closed()).await;
    }
}

impl Watch {
    /// Waits until it is this connection's turn to end.
    pub(crate) async fn turn(&mut self) {
        let Ok(deadline) = self
            .0
            .wait_for(Option::is_some)
            .await
            .map(|deadline| *deadline)
        else {
            // The thread is gone, and this connection with it.
            return;
        };
        let now = Instant::now();
        let time = deadline.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        sleep_until(now + time.mul_f64(SPREAD * fastrand::f64())).await;
    }
}
