//! The whole chain without a node: a listener and a Secret in a real API server, the operator, the Secret that it
//! renders, a volume with that Secret as the kubelet would write it, the terminator with this volume, and MQTT messages
//! through TLS to a real smart-mqtt.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

#[path = "../operator/fixture.rs"]
#[allow(dead_code, reason = "the operator's own tests use the rest of it")]
mod fixture;

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use k8s_openapi::api::core::v1::Secret;
use tests::broker::SmartMqtt;
use tests::clients::mosquitto::{Endpoint, Subscriber};
use tests::clients::tls::Connector;
use tests::pki::Leaf;
use tests::process::Process;
use tests::wait::eventually_async;
use tests::{ports, programs, workdir};

use crate::fixture::{Fixture, SOON};

/// The broker's name in the cluster, which a DNS server would resolve.
const BROKER: &str = "broker.example.com";

/// A volume with the configuration Secret, as a pod sees it.
struct Volume {
    folder: PathBuf,
    swaps: usize,
}

impl Volume {
    fn new() -> Self {
        let folder = workdir::scratch("volume");
        symlink("..data/config.yaml", folder.join("config.yaml")).unwrap();
        Self { folder, swaps: 0 }
    }

    fn file(&self) -> PathBuf {
        self.folder.join("config.yaml")
    }

    /// Writes a Secret's content by swapping a link, as the kubelet does. The broker's name leads to this machine.
    fn put(&mut self, secret: &Secret) {
        self.swaps += 1;
        let name = format!("..{}", self.swaps);
        std::fs::create_dir(self.folder.join(&name)).unwrap();
        for (key, bytes) in secret.data.as_ref().unwrap() {
            let text = String::from_utf8(bytes.0.clone()).unwrap();
            let text = text.replace(BROKER, "127.0.0.1");
            std::fs::write(self.folder.join(&name).join(key), text).unwrap();
        }
        let link = self.folder.join("..data_tmp");
        symlink(&name, &link).unwrap();
        std::fs::rename(&link, self.folder.join("..data")).unwrap();
    }
}

/// Waits until the rendered Secret has this leaf's key, and returns it.
async fn rendered(cluster: &Fixture, leaf: &Leaf) -> Secret {
    let key = leaf.key_pem.trim();
    let has_key = |config: &mqtt_tls_config::Config| config.pem.expose().contains(key);
    cluster
        .wait_for_config("edge", "the certificate is rendered", has_key)
        .await;
    cluster.child::<Secret>("edge").await
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_pass_through_the_chain_and_a_renewal_keeps_connections() {
    let broker = SmartMqtt::shared();
    let cluster = Fixture::start("chain").await;
    let leaf = || cluster.ca.leaf().dns("localhost").issue();
    let (first, second) = (leaf(), leaf());
    let port = ports::free_port();
    cluster.put_tls("edge-tls", &first).await;
    cluster.apply(&format!(
        "apiVersion: mqtt.smartboot.tech/v1alpha1\nkind: MqttTlsListener\nmetadata: {{name: edge}}\nspec:\n  \
         port: {port}\n  certificates: [{{secretRef: {{name: edge-tls}}}}]\n  \
         backend: {{address: {{host: {BROKER}, port: {}}}}}\n",
        broker.port(),
    ));
    let mut volume = Volume::new();
    volume.put(&rendered(&cluster, &first).await);
    let mut command = Command::new(programs::terminator());
    command.arg(volume.file());
    let terminator = Process::spawn("terminator", command);
    terminator.wait_for_line("serving", SOON);

    let at = Endpoint::tls(port, &cluster.ca);
    let mut subscriber = Subscriber::start(&at.subscribe("chain/temperature").qos(1));
    at.publish("chain/temperature")
        .qos(1)
        .payload("21")
        .send()
        .expect_success();
    assert_eq!(subscriber.next_message(), "chain/temperature 21");

    cluster.put_tls("edge-tls", &second).await;
    volume.put(&rendered(&cluster, &second).await);
    let (connector, addr) = (Connector::new(&cluster.ca), ([127, 0, 0, 1], port).into());
    let look = || async {
        let client = connector.connect(addr).await.unwrap();
        (client.server_cert() == second.cert_der).then_some(())
    };
    eventually_async(SOON, "the renewed certificate is served", look).await;
    at.publish("chain/temperature")
        .qos(1)
        .payload("22")
        .send()
        .expect_success();
    assert_eq!(subscriber.next_message(), "chain/temperature 22");
    assert!(subscriber.process().is_running(), "the connection stays");
    let reconnected = subscriber
        .process()
        .lines()
        .iter()
        .filter(|line| line.contains("CONNACK"))
        .count();
    assert_eq!(reconnected, 1);
}
