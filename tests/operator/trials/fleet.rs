//! A listener with two real terminators, a kubelet's stand-in that delivers what the operator writes, and devices that reconnect again
//! and again. It must not decide what is tested.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use mqtt_tls_config::Config;
use tests::clients::tls::Connector;
use tests::mqtt::{self, Version};
use tests::pki::{Ca, Leaf};
use tests::pods::{self, StandIn, config_of, write};
use tests::wait::eventually_async;
use tests::workdir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::fixture::{Fixture, SOON};
use crate::prove;

/// How long a trial may take: a few seconds, beside other tests.
pub(super) const TRIAL: Duration = Duration::from_secs(120);

/// How often a device reconnects.
const PERIOD: Duration = Duration::from_millis(250);

/// How often the kubelet's stand-in compares.
const DELIVERY: Duration = Duration::from_millis(100);

/// CONNACK of MQTT 3.1.1: accepted.
const CONNACK: [u8; 4] = [0x20, 2, 0, 0];

/// A listener `edge` whose certificate has been renewed by another CA, or will be.
pub(super) struct Edge {
    pub(super) cluster: Fixture,
    pub(super) old: Leaf,
    pub(super) new: Leaf,
    pub(super) new_ca: Ca,
    port: u16,
    pods: Vec<(IpAddr, u16)>,
    /// Stops all that runs beside the test when it is dropped.
    tasks: JoinSet<()>,
}

/// What became of a device's tries.
#[derive(Debug, Default)]
pub(super) struct Tries {
    failed_in_a_row: AtomicU32,
    most_failed: AtomicU32,
    done: AtomicU32,
}

/// Devices that reconnect until it is dropped.
pub(super) struct Devices {
    pub(super) tries: Vec<Arc<Tries>>,
    is_over: Arc<AtomicBool>,
}

impl Drop for Devices {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

impl Devices {
    /// Returns how often a device has failed in a row, at most.
    pub(super) fn worst(&self) -> u32 {
        let most = self.tries.iter();
        let most = most.map(|one| one.most_failed.load(Ordering::Relaxed));
        most.max().unwrap_or_default()
    }

    /// Waits until each has tried so many times more.
    pub(super) async fn try_again(&self, times: u32) {
        let done = |one: &Arc<Tries>| one.done.load(Ordering::Relaxed);
        let before: Vec<u32> = self.tries.iter().map(done).collect();
        eventually_async(SOON, "each device tries again", async || {
            let mut all = self.tries.iter().zip(&before);
            all.all(|(one, before)| done(one) >= before + times)
                .then_some(())
        })
        .await;
    }
}

/// Returns an address of loopback for a device.
pub(super) fn address(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(u32::from(Ipv4Addr::new(127, 2, 0, 0)) + number).into()
}

/// Starts a broker that answers each packet with a CONNACK.
async fn broker(tasks: &mut JoinSet<()>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tasks.spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut packet = [0; 256];
                while client.read(&mut packet).await.is_ok_and(|count| count > 0) {
                    if client.write_all(&CONNACK).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

/// Delivers what is in the Secret to the pods whenever it changes.
async fn deliver(secrets: kube::Api<Secret>, pods: Vec<StandIn>, broker: u16) {
    let mut delivered = None;
    loop {
        if let Ok(secret) = secrets.get("edge-mqtts").await
            && secret.metadata.resource_version != delivered
        {
            let data = secret.data.clone().unwrap_or_default();
            let trials = data.get("trials").map(|text| text.0.clone());
            for pod in &pods {
                match &trials {
                    Some(text) => workdir::replace(&pod.trials, &String::from_utf8_lossy(text)),
                    None => drop(std::fs::remove_file(&pod.trials)),
                }
                write(&pod.file, &pods::placed(config_of(&secret), pod.ip, broker));
            }
            delivered = secret.metadata.resource_version;
        }
        sleep(DELIVERY).await;
    }
}

impl Edge {
    /// Starts a listener with these lines about the trial.
    pub(super) async fn start(prefix: &str, trial: &str) -> Self {
        let cluster = Fixture::start(prefix).await;
        let new_ca = Ca::new("new CA");
        let leaf = |ca: &Ca| ca.leaf().dns("localhost").dns("edge.example.com").issue();
        let (old, new) = (leaf(&cluster.ca), leaf(&new_ca));
        cluster.put_tls("edge-tls", &old).await;
        cluster.apply_listener("edge", &format!("  replicas: 2\n  trial: {trial}"));
        cluster.wait_until_programmed("edge").await;
        cluster.run_pods("edge").await;
        let mut tasks = JoinSet::new();
        let broker = broker(&mut tasks).await;
        let pods = [
            prove::start(&cluster, "edge-mqtts-1", broker).await,
            prove::start(&cluster, "edge-mqtts-2", broker).await,
        ];
        let port = config_of(&cluster.child::<Secret>("edge").await).port;
        let addresses = pods.iter().map(|pod| (pod.ip, port)).collect();
        tasks.spawn(deliver(cluster.api(), pods.into(), broker));
        let served = "CertificateServed";
        cluster.wait_for("edge", served, "True", served).await;
        Self {
            cluster,
            old,
            new,
            new_ca,
            port,
            pods: addresses,
            tasks,
        }
    }

    /// Puts the certificate of the other CA into the Secret.
    pub(super) async fn renew(&self) {
        self.cluster.put_tls("edge-tls", &self.new).await;
    }

    /// Returns the address of a pod.
    pub(super) fn pod(&self, number: u32) -> SocketAddr {
        let index = usize::try_from(number).unwrap() % self.pods.len();
        let (ip, _) = self.pods[index];
        SocketAddr::new(ip, self.port)
    }

    /// A device that trusts the old root only.
    pub(super) fn old_only(&self) -> Connector {
        Connector::new(&self.cluster.ca)
    }

    /// A device that trusts both roots.
    pub(super) fn both(&self) -> Connector {
        Connector::trusting(&[&self.cluster.ca, &self.new_ca])
    }

    /// Lets devices reconnect again and again, each to either pod in turn.
    pub(super) fn connect_again(&mut self, devices: Vec<Connector>) -> Devices {
        let is_over = Arc::new(AtomicBool::new(false));
        let pods: Vec<SocketAddr> = (0..2).map(|number| self.pod(number)).collect();
        let mut tries = Vec::new();
        for (number, device) in (0..).zip(devices) {
            let device = device.bound_to(address(number));
            let (one, is_over, pods) =
                (Arc::<Tries>::default(), Arc::clone(&is_over), pods.clone());
            tries.push(Arc::clone(&one));
            self.tasks.spawn(async move {
                for addr in pods.into_iter().cycle() {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    one.record(connects(&device, addr).await);
                    sleep(PERIOD).await;
                }
            });
        }
        Devices { tries, is_over }
    }

    /// Waits until the configuration has the new certificate for all, and nothing is left of the trial.
    pub(super) async fn is_at_all(&self) {
        let (secrets, new) = (self.cluster.api::<Secret>(), self.new.key_pem.trim());
        eventually_async(TRIAL, "all get the new certificate", async || {
            let secret = secrets.get("edge-mqtts").await.unwrap();
            let config = config_of(&secret);
            let is_over = config.candidate.is_none() && !secret.data?.contains_key("trials");
            (config.pem.expose().contains(new) && is_over).then_some(())
        })
        .await;
        eventually_async(SOON, "the condition has gone", async || {
            let status = self.cluster.listener("edge").await.status?;
            let mut conditions = status.conditions.iter();
            (!conditions.any(|one| one.type_ == "Trial")).then_some(())
        })
        .await;
    }

    /// Waits until the trial was rolled back, and returns the condition's message.
    pub(super) async fn is_rolled_back(&self) -> String {
        eventually_async(TRIAL, "it is rolled back", async || {
            let status = self.cluster.listener("edge").await.status?;
            let condition = status.conditions.into_iter();
            let mut condition = condition.filter(|one| one.type_ == "Trial");
            let condition = condition.next()?;
            (condition.reason == "RolledBack").then_some(condition.message)
        })
        .await
    }

    /// Reports whether all get the old certificate.
    pub(super) fn is_as_before(&self, config: &Config) -> bool {
        config.candidate.is_none() && config.pem.expose().contains(self.old.key_pem.trim())
    }

    /// Writes the annotation that asks something of a trial.
    pub(super) fn ask(&self, command: &str) {
        let annotation = format!("mqtt.smartboot.tech/trial={command}");
        let args = ["annotate", "mtl", "edge", "--overwrite", "-n"];
        let mut args = args.to_vec();
        args.extend([self.cluster.namespace.as_str(), &annotation]);
        self.cluster.server.kubectl(&args).expect_success();
    }
}

impl Tries {
    fn record(&self, is_served: bool) {
        if is_served {
            self.failed_in_a_row.store(0, Ordering::Relaxed);
        } else {
            let failed = self.failed_in_a_row.fetch_add(1, Ordering::Relaxed) + 1;
            self.most_failed.fetch_max(failed, Ordering::Relaxed);
        }
        self.done.fetch_add(1, Ordering::Relaxed);
    }
}

/// Reports whether a device gets its CONNACK.
async fn connects(device: &Connector, addr: SocketAddr) -> bool {
    let connect = async {
        let mut client = device.connect(addr).await?;
        client.send(&mqtt::connect(Version::V311, "device")).await?;
        client.read_packet().await
    };
    connect.await.is_ok_and(|connack| connack.accepts())
}
