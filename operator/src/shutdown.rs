//! The two signals: the first ends the program in order, the second at once.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::info;

/// How many signals have come. Clones see the same.
#[derive(Clone)]
pub struct Shutdown {
    signals: watch::Receiver<u32>,
}

impl Shutdown {
    /// Waits for SIGTERM and SIGINT from now on.
    ///
    /// # Errors
    ///
    /// The system takes no handler.
    pub fn on_signals() -> io::Result<Self> {
        let (mut terminate, mut interrupt) = (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        );
        let (count, shutdown) = Self::by_hand();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => info!("SIGTERM"),
                    _ = interrupt.recv() => info!("SIGINT"),
                }
                count.send_modify(|count| *count += 1);
            }
        });
        Ok(shutdown)
    }

    /// Waits for whoever counts up the sender, or drops it.
    pub fn by_hand() -> (watch::Sender<u32>, Self) {
        let (count, signals) = watch::channel(0);
        (count, Self { signals })
    }

    /// The first signal has come.
    pub async fn begun(mut self) {
        // Without a sender nobody will ever ask for the end: then it has come.
        let _ = self.signals.wait_for(|count| *count >= 1).await;
    }

    /// The second signal has come.
    pub async fn aborted(mut self) {
        let _ = self.signals.wait_for(|count| *count >= 2).await;
    }
}
