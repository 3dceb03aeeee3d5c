//! Hundreds of devices in this process: MQTT clients of others (`rumqttc`) that connect through TLS, publish
//! numbered messages at QoS 1, come back by themselves, and send again what was not acknowledged. A monitor,
//! in plaintext at the broker, keeps account of what came out. So a test can say after whatever it did to
//! the servers: no handshake failed, no session broke, no acknowledged message was lost; or which ones.
//!
//! What it must not do: judge, or know what is between it and the broker.
//!
//! About the brokers, as measured. smart-mqtt 0.42 keeps no session: CONNACK says that it does, and nothing
//! that came meanwhile is delivered later. To a subscriber at QoS 1 it does not deliver what comes while 8
//! messages (`-Dbroker.maxInflight`) wait for their PUBACK, though it has acknowledged them to their sender;
//! so the monitor listens at QoS 0 there, and on a connection to the broker itself that loses nothing.
//! mosquitto keeps sessions; with `persistence true` also over its own restart. Give it
//! `max_queued_messages 0`: else it drops what it queues for one client beyond a thousand messages.

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

/// Topics in one SUBSCRIBE of the monitor: far below any broker's limit on a packet.
const BATCH: usize = 50;

/// How long clients may take to say goodbye.
const LEAVE: Duration = Duration::from_secs(5);

/// What a fleet is to do.
#[derive(Clone, Debug)]
pub struct FleetPlan {
    /// Where the devices connect: `host:port`. The host is looked up for each connection.
    pub address: String,
    /// The name that they ask for and check.
    pub server_name: String,
    /// The CAs that they trust, any number of them.
    pub ca_pem: String,
    /// How many devices.
    pub clients: usize,
    /// How often each publishes.
    pub publish_every: Duration,
    /// New connections a second, over all devices; at the start, and also when all of them come back.
    pub connect_rate: u32,
    /// The devices' keepalive, in whole seconds.
    pub keep_alive: Duration,
    /// What they ask for in CONNECT.
    pub clean_session: bool,
    /// Where the broker listens in plaintext, `host:port`, for the monitor. Without one, nothing counts as lost.
    pub broker: Option<String>,
    /// Whether that broker keeps sessions: then the monitor has one and listens at QoS 1, so that what comes
    /// while it is away is no loss, be it by the broker's restart.
    pub broker_keeps_sessions: bool,
    /// How often a message is sent to each device, by way of [`FleetPlan::broker`]; or none are.
    pub send_every: Option<Duration>,
    /// How long [`Fleet::stop`] waits for acknowledgements and for the monitor.
    pub settle: Duration,
}

impl FleetPlan {
    /// 100 devices that publish once a second, with a monitor, and nothing sent to them.
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

/// Devices at work. Dropping it cuts all of their connections.
pub struct Fleet {
    plan: FleetPlan,
    /// A word in all topics and client IDs, so that fleets do not meet.
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
    /// Starts the devices once the monitor hears every topic, and does not wait until they are connected;
    /// except where messages are sent to them, for then each must have subscribed before.
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

    /// How many devices have a session open now.
    pub fn connected(&self) -> usize {
        self.records.open.load(Ordering::Relaxed)
    }

    /// Waits until all devices have a session open. Panics, with the report, when `within` is over.
    pub async fn wait_all_connected(&self, within: Duration) {
        let all = eventually_async(Duration::MAX, "all are connected", async || {
            (self.connected() == self.plan.clients).then_some(())
        });
        let all = timeout(within, all).await;
        assert!(
            all.is_ok(),
            "after {within:?} {} of {} clients are connected\n{}",
            self.connected(),
            self.plan.clients,
            self.report()
        );
    }

    /// From now on new connections trust these CAs; open ones go on.
    pub fn trust(&self, ca_pem: &str) {
        *self
            .trust
            .lock()
            .expect("nothing panics while it holds this lock") = client_config(ca_pem);
    }

    /// How it stands. Of a fleet at work, what is between the broker and the monitor counts as lost:
    /// only [`Fleet::stop`] has the last word.
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

    /// Sends no more, waits until everything is acknowledged and received or [`FleetPlan::settle`] is over,
    /// and disconnects (by DISCONNECT; the library then drops the connection without close_notify).
    pub async fn stop(mut self) -> Report {
        self.stop.send_replace(true);
        let settled = async {
            while let Some(ended) = self.publishers.join_next().await {
                ended.expect("a publisher does not panic");
            }
            let what = "what was acknowledged is received";
            eventually_async(Duration::MAX, what, async || {
                let heard = self.plan.broker.is_none() || self.up.has_all();
                (heard && self.down.has_all()).then_some(())
            })
            .await;
        };
        // The report says what is missing.
        let _ = timeout(self.plan.settle, settled).await;
        let report = self.report();
        for client in &self.clients {
            // One that has no connection cannot say goodbye.
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
            let config = trust
                .lock()
                .expect("nothing panics while it holds this lock");
            let (address, name, config) = (address.clone(), name.clone(), Arc::clone(&config));
            async move { shake_hands(&address, name, config).await }
        });
        let subscribe = self.plan.send_every.map(|_| self.down_topic(index));
        let (down, device) = (Arc::clone(&self.down), client.clone());
        let packet = move |packet| match (packet, &subscribe) {
            // Each time, for a broker may have forgotten it; what is queued for it is not touched by that.
            (Packet::ConnAck(_), Some(topic)) => {
                let subscribed = device.try_subscribe(topic.as_str(), QoS::AtLeastOnce);
                subscribed.expect("few requests wait");
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
                    subscribed.expect("few requests wait");
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
        let broker = broker.expect("a fleet that is sent messages has a broker to send them to");
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

    /// A connection in plaintext that may have a message on its way to each client.
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
            // Below the 23 characters that every broker takes.
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
        .expect("nobody else publishes on our topics")
}
