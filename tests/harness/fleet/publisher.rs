//! Sends numbered messages on one topic, each only when the one before it has the broker's PUBACK: so the
//! last acknowledged number says which ones were. It does not care whether there is a connection.

use std::sync::Arc;
use std::time::Duration;

use rumqttc::{AsyncClient, PublishOptions};
use tokio::select;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::ledger::{Ledger, WARM_UP};
use crate::wait::eventually_async;

/// How long a broker may take until a message passes on every topic; a cold JVM takes seconds for each batch
/// of subscriptions.
const WARM: Duration = Duration::from_secs(60);

/// How long after a warm-up message the next is sent where nothing came out.
const AGAIN: Duration = Duration::from_secs(1);

/// One topic's sender.
pub(super) struct Publisher {
    pub(super) client: AsyncClient,
    pub(super) topic: String,
    /// Whose topic it is.
    pub(super) index: usize,
    pub(super) every: Duration,
    pub(super) ledger: Arc<Ledger>,
    pub(super) stop: watch::Receiver<bool>,
}

impl Publisher {
    /// Until it is stopped; what is on its way then is still seen to its end.
    pub(super) async fn run(mut self) {
        // Not all at once: the first beats are spread over one interval.
        let first = Instant::now() + self.every.mul_f64(fastrand::f64());
        let mut beat = interval_at(first, self.every);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            select! {
                _ = self.stop.wait_for(|stop| *stop) => return,
                _ = beat.tick() => {}
            }
            if !self.deliver().await {
                return;
            }
        }
    }

    /// Sends one number until it is acknowledged, anew on each session that does not know it. Says no when
    /// the connection has ended for good.
    async fn deliver(&self) -> bool {
        let number = self.ledger.send_next(self.index).to_string();
        loop {
            let options = PublishOptions::at_least_once();
            let sent = self
                .client
                .publish_tracked(self.topic.as_str(), number.as_str(), options);
            let Ok(notice) = sent.await else {
                return false;
            };
            if notice.wait_completion_async().await.is_ok() {
                self.ledger.acknowledge(self.index);
                return true;
            }
        }
    }
}

/// Sends to each topic until a message has come out of it. smart-mqtt loses what is published while a topic
/// or a subscription comes into being.
pub(super) async fn warm_up(
    client: &AsyncClient,
    ledger: &Ledger,
    topic: impl Fn(usize) -> String,
    end: &str,
) {
    let warm = async {
        loop {
            for index in ledger.cold() {
                let options = PublishOptions::at_least_once();
                let sent = client.publish(topic(index), WARM_UP.to_string(), options);
                sent.await.expect("its event loop runs");
            }
            let all = eventually_async(WARM, "a message on each topic", async || {
                ledger.cold().is_empty().then_some(())
            });
            if timeout(AGAIN, all).await.is_ok() {
                return;
            }
        }
    };
    if timeout(WARM, warm).await.is_err() {
        let cold = ledger.cold();
        panic!(
            "after {WARM:?} no message from the broker has reached {end} on {} topics, the first of which is {:?}",
            cold.len(),
            cold.first().map(|&index| topic(index)),
        );
    }
}
