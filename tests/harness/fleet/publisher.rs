//! Sends numbered messages on one topic, each after the PUBACK of the previous one, so that the last acknowledged
//! number identifies all acknowledged messages. It must not depend on the state of the connection.

use std::sync::Arc;
use std::time::Duration;

use rumqttc::{AsyncClient, PublishOptions};
use tokio::select;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::ledger::{Ledger, WARM_UP};
use crate::wait::eventually_async;

/// Upper bound until every topic delivers; a cold JVM takes seconds for each batch of subscriptions.
const WARM: Duration = Duration::from_secs(60);

/// Interval of warm-up messages on a topic that does not deliver yet.
const AGAIN: Duration = Duration::from_secs(1);

/// One topic's sender.
pub(super) struct Publisher {
    pub(super) client: AsyncClient,
    pub(super) topic: String,
    /// The client's index.
    pub(super) index: usize,
    pub(super) every: Duration,
    pub(super) ledger: Arc<Ledger>,
    pub(super) stop: watch::Receiver<bool>,
}

impl Publisher {
    /// Publishes until it is stopped; a message in flight is completed.
    pub(super) async fn run(mut self) {
        // Spread the first messages over one interval.
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

    /// Sends one number until it is acknowledged, again on each session that has lost it. Returns false when the
    /// connection has ended for good.
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

/// Publishes to each topic until a message from it is received. smart-mqtt loses messages that are published while a
/// topic or a subscription is being created.
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
            "timed out after {WARM:?}: no message has reached {end} on {} topics, such as {:?}",
            cold.len(),
            cold.first().map(|&index| topic(index)),
        );
    }
}
