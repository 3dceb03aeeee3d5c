//! Devices of a listener: one with an open MQTT session over TLS, and one that connects again and again. Both go where the
//! Service leads. It must not know what is changed meanwhile.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tests::clients::tls::{Connector, TlsClient};
use tests::mqtt;
use tokio::task::JoinSet;

use crate::kubelet::Kubelet;
use crate::mirror::Mirror;

/// The pause between two pings, and between two connections.
const PAUSE: Duration = Duration::from_millis(150);

/// Devices, until they are dropped.
pub(crate) struct Devices {
    seen: Arc<Mutex<Seen>>,
    _tasks: JoinSet<()>,
}

/// What they have seen since the last look.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) incidents: Vec<String>,
    pub(crate) pings: usize,
    pub(crate) connections: usize,
}

#[derive(Clone)]
struct Device {
    connector: Connector,
    kubelet: Arc<Kubelet>,
    mirror: Arc<Mirror>,
    namespace: String,
    service: String,
    seen: Arc<Mutex<Seen>>,
}

impl Devices {
    pub(crate) fn start(
        connector: Connector,
        kubelet: &Arc<Kubelet>,
        mirror: &Arc<Mirror>,
        namespace: &str,
        service: &str,
    ) -> Self {
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let device = Device {
            connector,
            kubelet: Arc::clone(kubelet),
            mirror: Arc::clone(mirror),
            namespace: namespace.to_owned(),
            service: service.to_owned(),
            seen: Arc::clone(&seen),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(device.clone().stay());
        tasks.spawn(device.come_and_go());
        Self {
            seen,
            _tasks: tasks,
        }
    }

    /// Takes what was seen.
    pub(crate) fn take(&self) -> Seen {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }

    /// What was seen.
    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }
}

impl Device {
    /// Keeps a session, and another one after its end.
    async fn stay(self) {
        loop {
            let Some(to) = self.endpoint() else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            // The other device reports connections that fail.
            let Ok(mut client) = self.connector.connect_mqtt(to, &self.id("stays")).await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let why = self.ping(&mut client).await;
            if !self.kubelet.is_stopped(to.ip()) {
                self.note(format!("the session at {to} ended: {why}"));
            }
        }
    }

    async fn ping(&self, client: &mut TlsClient) -> std::io::Error {
        loop {
            if let Err(why) = client.ping().await {
                return why;
            }
            self.seen.lock().unwrap().pings += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Connects again and again.
    async fn come_and_go(self) {
        let mut had_endpoints = true;
        loop {
            if let Some(to) = self.endpoint() {
                had_endpoints = true;
                match self.connector.connect_mqtt(to, &self.id("comes")).await {
                    Ok(mut client) => {
                        self.seen.lock().unwrap().connections += 1;
                        let _ = client.send(&mqtt::DISCONNECT).await;
                        let _ = client.close_notify().await;
                    }
                    Err(why) => self.note(format!("a connection to {to} failed: {why}")),
                }
            } else if std::mem::take(&mut had_endpoints) {
                self.note("the Service leads to no ready pod".to_owned());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// A client ID of its own: all listeners have one broker, which ends the session of an ID that comes again.
    fn id(&self, name: &str) -> String {
        format!("{name}-{}", self.namespace)
    }

    fn endpoint(&self) -> Option<SocketAddr> {
        let endpoints = self.mirror.endpoints(&self.namespace, &self.service);
        fastrand::choice(endpoints)
    }

    fn note(&self, incident: String) {
        self.seen.lock().unwrap().incidents.push(incident);
    }
}
