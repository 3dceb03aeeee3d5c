//! Hundreds of devices in this process: third-party MQTT clients (`rumqttc`) that connect through TLS, publish
//! numbered messages at QoS 1, reconnect by themselves, and resend unacknowledged messages. A monitor, connected to
//! the broker in plaintext, counts what arrives. So a test can check after any disruption that no handshake failed, no
//! session broke, and no acknowledged message was lost, or which ones were.
//!
//! It must not judge, or know what is between it and the broker.
//!
//! Measured behaviour of the brokers: smart-mqtt 0.42 keeps no session, although its CONNACK says so: it does not
//! deliver later what arrived meanwhile. While 8 messages (`-Dbroker.maxInflight`) to a subscriber at QoS 1 wait for
//! their PUBACK, it drops further ones, although it has acknowledged them to their sender. The monitor therefore
//! subscribes at QoS 0 there, which loses nothing on a direct connection. mosquitto keeps sessions, with `persistence
//! true` also over its own restart. Set `max_queued_messages 0`: by default it drops what it queues for one client
//! beyond a thousand messages.

mod ledger;
mod line;
mod prober;
mod publisher;
mod report;
mod tls;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rumqttc::{AsyncClient, Packet, QoS, SubscribeFilter};
use rustls::ClientConfig;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

pub use prober::{ProbeFailure, Prober, percentile};
pub use report::{Incident, Lost, Phase, Report, Traffic, Who};

use crate::fleet::ledger::Ledger;
use crate::fleet::line::{Dialling, Pace, Records, line};
use crate::fleet::publisher::{Publisher, warm_up};
use crate::fleet::report::Journal;
use crate::fleet::tls::{client_config, dial, server_name, shake_hands};
use crate::wait::eventually_async;

/// Number of topics in one SUBSCRIBE of the monitor: far below any broker's packet limit.
const BATCH: usize = 50;

/// Upper bound for disconnecting the clients.
const LEAVE: Duration = Duration::from_secs(5);

/// A fleet's plan.
#[derive(Clone, Debug)]
pub struct FleetPlan {
    /// The devices' target, `host:port`. The host is resolved for each connection.
    pub address: String,
    /// The name for SNI and verification.
    pub server_name: String,
    /// The bundle of trusted CAs.
    pub ca_pem: String,
    /// Number of devices.
    pub clients: usize,
    /// Interval of each device's messages.
    pub publish_every: Duration,
    /// New connections per second over all devices, at the start and at reconnects.
    pub connect_rate: u32,
    /// The devices' keepalive, in whole seconds.
    pub keep_alive: Duration,
    /// The devices' clean-session flag in CONNECT.
    pub clean_session: bool,
    /// The broker's plaintext address, `host:port`, for the monitor. Without it, nothing counts as lost.
    pub broker: Option<String>,
    /// Whether that broker keeps sessions. Then the monitor uses one and subscribes at QoS 1, so that it gets what
    /// arrived while it was disconnected, also by a restart of the broker.
    pub broker_keeps_sessions: bool,
    /// Interval of messages to each device through [`FleetPlan::broker`]; None for no such messages.
    pub send_every: Option<Duration>,
    /// Upper bound for [`Fleet::stop`] to wait for acknowledgements and for the monitor.
    pub settle: Duration,
}

impl FleetPlan {
    /// 100 devices that publish once a second, with a monitor, and without messages to them.
    pub fn new(address: &str, server_name: &str, ca_pem: &str, broker: &str) -> Self {
        Self {
            address: address.to_owned(),
            server_name: server_name.to_owned(),
            ca_pem: ca_pem.to_owned(),
            clients: 100,
            publish_every: Duration::from_secs(1),
            connect_rate: 100,
            keep_alive: Duration::from_secs(30),
            clean_session: true,
            broker: Some(broker.to_owned()),
            broker_keeps_sessions: false,
            send_every: None,
            settle: Duration::from_secs(60),
        }
    }
}

/// Running devices. Dropping it breaks all of their connections.
pub struct Fleet {
    plan: FleetPlan,
    /// Part of all topics and client IDs, so that fleets do not interfere.
    run: String,
    records: Arc<Records>,
    trust: Arc<Mutex<Arc<ClientConfig>>>,
    up: Arc<Ledger>,
    down: Arc<Ledger>,
    stop: watch::Sender<bool>,
    clients: Vec<AsyncClient>,
    publishers: JoinSet<()>,
    lines: JoinSet<()>,
}

impl Fleet {
    /// Starts the devices once the monitor receives from every topic. Does not wait until they are connected, unless
    /// messages are sent to them, which needs their subscriptions.
    pub async fn start(plan: FleetPlan) -> Self {
        let mut fleet = Self::at_rest(plan);
        if let Some(broker) = fleet.plan.broker.clone() {
            fleet.start_monitor(broker).await;
        }
        for index in 0..fleet.plan.clients {
            fleet.start_client(index);
        }
        if let Some(every) = fleet.plan.send_every {
            fleet.start_sender(every).await;
        }
        fleet
    }

    /// Number of devices that are connected now.
    pub fn connected(&self) -> usize {
        self.records.open.load(Ordering::Relaxed)
    }

    /// Waits until all devices are connected. Panics with the report after `within`.
    pub async fn wait_all_connected(&self, within: Duration) {
        let all = eventually_async(Duration::MAX, "all are connected", async || {
            (self.connected() == self.plan.clients).then_some(())
        });
        let all = timeout(within, all).await;
        assert!(
            all.is_ok(),
            "timed out after {within:?}: {} of {} clients are connected\n{}",
            self.connected(),
            self.plan.clients,
            self.report()
        );
    }

    /// Makes new connections trust these CAs; open ones stay.
    pub fn trust(&self, ca_pem: &str) {
        *self.trust.lock().expect("no holder of the lock panics") = client_config(ca_pem);
    }

    /// The report so far. While the fleet runs, messages between the broker and the monitor count as lost; the report
    /// of [`Fleet::stop`] is final.
    pub fn report(&self) -> Report {
        let mut up = self.up.traffic();
        if self.plan.broker.is_none() {
            up.lost.clear();
        }
        Report {
            up,
            down: self.down.traffic(),
            connects: self.records.connects.load(Ordering::Relaxed),
            sessions_resumed: self.records.resumed.load(Ordering::Relaxed),
            incidents: self.records.journal.incidents(),
        }
    }

    /// Stops sending, waits until everything is acknowledged and received, at most for [`FleetPlan::settle`], and
    /// disconnects (with DISCONNECT; the library then drops the connection without close_notify).
    pub async fn stop(mut self) -> Report {
        self.stop.send_replace(true);
        let settled = async {
            while let Some(ended) = self.publishers.join_next().await {
                ended.expect("a publisher does not panic");
            }
            let what = "all acknowledged messages are received";
            eventually_async(Duration::MAX, what, async || {
                let heard = self.plan.broker.is_none() || self.up.has_all();
                (heard && self.down.has_all()).then_some(())
            })
            .await;
        };
        // The report shows what is missing.
        let _ = timeout(self.plan.settle, settled).await;
        let report = self.report();
        for client in &self.clients {
            // A client without a connection cannot disconnect.
            let _ = client.try_disconnect_now();
        }
        let left = async {
            while let Some(ended) = self.lines.join_next().await {
                ended.expect("a client's line does not panic");
            }
        };
        let _ = timeout(LEAVE, left).await;
        report
    }

    fn at_rest(plan: FleetPlan) -> Self {
        let records = Records {
            journal: Journal::new(),
            pace: Pace::new(plan.connect_rate),
            open: AtomicUsize::new(0),
            connects: AtomicUsize::new(0),
            resumed: AtomicUsize::new(0),
        };
        Self {
            run: format!("{:08x}", fastrand::u32(..)),
            records: Arc::new(records),
            trust: Arc::new(Mutex::new(client_config(&plan.ca_pem))),
            up: Arc::new(Ledger::new(plan.clients)),
            down: Arc::new(Ledger::new(plan.clients)),
            stop: watch::Sender::new(false),
            clients: vec![],
            publishers: JoinSet::new(),
            lines: JoinSet::new(),
            plan,
        }
    }

    fn start_client(&mut self, index: usize) {
        let dialling = self.dialling(&index.to_string(), self.plan.clean_session, 8);
        let (address, trust) = (self.plan.address.clone(), Arc::clone(&self.trust));
        let name = server_name(&self.plan.server_name);
        let (client, events) = line(dialling, move || {
            let config = trust.lock().expect("no holder of the lock panics");
            let (address, name, config) = (address.clone(), name.clone(), Arc::clone(&config));
            async move { shake_hands(&address, name, config).await }
        });
        let subscribe = self.plan.send_every.map(|_| self.down_topic(index));
        let (down, device) = (Arc::clone(&self.down), client.clone());
        let packet = move |packet| match (packet, &subscribe) {
            // At each connection, because a broker may have lost the subscription; queued messages are unaffected.
            (Packet::ConnAck(_), Some(topic)) => {
                let subscribed = device.try_subscribe(topic.as_str(), QoS::AtLeastOnce);
                subscribed.expect("the request queue has room");
            }
            (Packet::Publish(message), _) => down.receive(index, number_in(&message.payload)),
            _ => {}
        };
        let records = Arc::clone(&self.records);
        self.lines
            .spawn(line::run(Who::Client(index), events, records, packet));
        let topic = self.up_topic(index);
        let ledger = Arc::clone(&self.up);
        self.publish(
            client.clone(),
            topic,
            index,
            ledger,
            self.plan.publish_every,
        );
        self.clients.push(client);
    }

    async fn start_monitor(&mut self, broker: String) {
        let topics: Vec<_> = (0..self.plan.clients)
            .map(|index| self.up_topic(index))
            .collect();
        let keeps = self.plan.broker_keeps_sessions;
        let (client, events) = self.plain_line("monitor", !keeps, broker);
        let qos = if keeps {
            QoS::AtLeastOnce
        } else {
            QoS::AtMostOnce
        };
        let (up, monitor) = (Arc::clone(&self.up), client.clone());
        let packet = move |packet| match packet {
            Packet::ConnAck(connack) if !connack.session_present => {
                for batch in topics.chunks(BATCH) {
                    let filters = batch.iter().cloned();
                    let filters = filters.map(|topic| SubscribeFilter::new(topic, qos));
                    let subscribed = monitor.try_subscribe_many(filters);
                    subscribed.expect("the request queue has room");
                }
            }
            Packet::Publish(message) => {
                let topic = String::from_utf8_lossy(&message.topic);
                let index = topic
                    .rsplit('/')
                    .next()
                    .and_then(|index| index.parse().ok());
                up.receive(
                    index.expect("we subscribed to it"),
                    number_in(&message.payload),
                );
            }
            _ => {}
        };
        let records = Arc::clone(&self.records);
        self.lines
            .spawn(line::run(Who::Monitor, events, records, packet));
        warm_up(
            &client,
            &self.up,
            |index| self.up_topic(index),
            "the monitor",
        )
        .await;
        self.clients.push(client);
    }

    async fn start_sender(&mut self, every: Duration) {
        let broker = self.plan.broker.clone();
        let broker = broker.expect("send_every needs a broker");
        let (client, events) = self.plain_line("sender", true, broker);
        let records = Arc::clone(&self.records);
        self.lines
            .spawn(line::run(Who::Sender, events, records, |_| {}));
        warm_up(
            &client,
            &self.down,
            |index| self.down_topic(index),
            "its client",
        )
        .await;
        for index in 0..self.plan.clients {
            let ledger = Arc::clone(&self.down);
            self.publish(client.clone(), self.down_topic(index), index, ledger, every);
        }
        self.clients.push(client);
    }

    /// A plaintext connection that may have a message in flight to each client.
    fn plain_line(
        &self,
        role: &str,
        clean_session: bool,
        broker: String,
    ) -> (AsyncClient, rumqttc::EventLoop) {
        let depth = u16::try_from(self.plan.clients.max(64)).expect("packet ids have 16 bits");
        line(self.dialling(role, clean_session, depth), move || {
            let broker = broker.clone();
            async move { dial(&broker).await }
        })
    }

    fn publish(
        &mut self,
        client: AsyncClient,
        topic: String,
        index: usize,
        ledger: Arc<Ledger>,
        every: Duration,
    ) {
        let publisher = Publisher {
            client,
            topic,
            index,
            every,
            ledger,
            stop: self.stop.subscribe(),
        };
        self.publishers.spawn(publisher.run());
    }

    fn dialling(&self, role: &str, clean_session: bool, depth: u16) -> Dialling {
        Dialling {
            // At most 23 characters, which every broker accepts.
            client_id: format!("fleet-{}-{role}", self.run),
            keep_alive: self.plan.keep_alive,
            clean_session,
            depth,
        }
    }

    fn up_topic(&self, index: usize) -> String {
        format!("fleet/{}/{index}", self.run)
    }

    fn down_topic(&self, index: usize) -> String {
        format!("down/{}/{index}", self.run)
    }
}

fn number_in(payload: &[u8]) -> u64 {
    let text = std::str::from_utf8(payload).ok();
    text.and_then(|text| text.parse().ok())
        .expect("only the fleet publishes on its topics")
}
