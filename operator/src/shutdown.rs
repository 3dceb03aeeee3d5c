//! The two signals: the first starts a graceful shutdown, the second aborts it. It must not stop anything
//! itself.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::info;

/// Counts the signals received. Clones share the count.
#[derive(Clone)]
pub struct Shutdown {
    signals: watch::Receiver<u32>,
}

impl Shutdown {
    /// Counts SIGTERM and SIGINT from now on.
    ///
    /// # Errors
    ///
    /// The system accepts no handler.
    pub fn on_signals() -> io::Result<Self> {
        let (mut terminate, mut interrupt) = (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        );
        let (count, shutdown) = Self::by_hand();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => info!("received SIGTERM"),
                    _ = interrupt.recv() => info!("received SIGINT"),
                }
                count.send_modify(|count| *count += 1);
            }
        });
        Ok(shutdown)
    }

    /// Returns a shutdown that the sender triggers, by counting up or by being dropped.
    pub fn by_hand() -> (watch::Sender<u32>, Self) {
        let (count, signals) = watch::channel(0);
        (count, Self { signals })
    }

    /// Waits for the first signal.
    pub async fn begun(mut self) {
        // A dropped sender counts as a signal: none could follow.
        let _ = self.signals.wait_for(|count| *count >= 1).await;
    }

    /// Waits for the second signal.
    pub async fn aborted(mut self) {
        let _ = self.signals.wait_for(|count| *count >= 2).await;
    }
}
