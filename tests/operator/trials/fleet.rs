//! A listener with two real terminators, a kubelet's stand-in that delivers what the operator writes, and devices that reconnect again
//! and again. It must not decide what is tested.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use mqtt_tls_config::Config;
use tests::clients::again::{Devices, answering};
use tests::clients::tls::Connector;
use tests::pki::{Ca, Leaf, LeafBuilder};
use tests::pods::{self, StandIn, config_of, write};
use tests::wait::eventually_async;
use tests::workdir;
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

/// A listener `edge` whose certificate has been renewed by another CA, or will be.
pub(super) struct Edge {
    pub(super) cluster: Fixture,
    pub(super) old: Leaf,
    pub(super) new: Leaf,
    pub(super) new_ca: Ca,
    port: u16,
    pods: Arc<[StandIn; 2]>,
    /// Stops the delivery when it is dropped.
    _delivery: JoinSet<()>,
}

/// Returns an address of loopback for a device.
pub(super) fn address(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(u32::from(Ipv4Addr::new(127, 2, 0, 0)) + number).into()
}

/// A certificate that has the names of all others.
pub(super) fn leaf(ca: &Ca) -> LeafBuilder<'_> {
    ca.leaf().dns("localhost").dns("edge.example.com")
}

/// Delivers what is in the Secret to the pods whenever it changes.
async fn deliver(secrets: kube::Api<Secret>, pods: Arc<[StandIn; 2]>, broker: u16) {
    let mut delivered = None;
    loop {
        if let Ok(secret) = secrets.get("edge-mqtts").await
            && secret.metadata.resource_version != delivered
        {
            let data = secret.data.clone().unwrap_or_default();
            let trials = data.get("trials").map(|text| text.0.clone());
            for pod in &*pods {
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
        let (old, new) = (leaf(&cluster.ca).issue(), leaf(&new_ca).issue());
        cluster.put_tls("edge-tls", &old).await;
        cluster.apply_listener("edge", &format!("  replicas: 2\n  trial: {trial}"));
        cluster.wait_until_programmed("edge").await;
        cluster.run_pods("edge").await;
        let mut delivery = JoinSet::new();
        let broker = answering().await.port();
        let pods = Arc::new([
            prove::start(&cluster, "edge-mqtts-1", broker).await,
            prove::start(&cluster, "edge-mqtts-2", broker).await,
        ]);
        let port = config_of(&cluster.child::<Secret>("edge").await).port;
        delivery.spawn(deliver(cluster.api(), pods.clone(), broker));
        let served = "CertificateServed";
        cluster.wait_for("edge", served, "True", served).await;
        Self {
            cluster,
            old,
            new,
            new_ca,
            port,
            pods,
            _delivery: delivery,
        }
    }

    /// Puts the certificate of the other CA into the Secret.
    pub(super) async fn renew(&self) {
        self.cluster.put_tls("edge-tls", &self.new).await;
    }

    /// Returns the address of a pod.
    pub(super) fn pod(&self, number: u32) -> SocketAddr {
        let index = usize::try_from(number).unwrap() % self.pods.len();
        SocketAddr::new(self.pods[index].ip, self.port)
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
    pub(super) fn connect_again(&self, devices: Vec<Connector>) -> Devices {
        let devices = (0..).zip(devices);
        let devices = devices.map(|(number, device)| device.bound_to(address(number)));
        let pods = [0, 1].map(|number| self.pod(number));
        Devices::start(devices, &pods, PERIOD)
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

    /// Waits until all pods have read that a device must not get the new certificate.
    pub(super) fn know_a_device(&self) {
        for pod in &*self.pods {
            pod.terminator.wait_for_line("avoided=1", TRIAL);
        }
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
