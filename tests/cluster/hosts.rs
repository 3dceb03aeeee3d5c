//! Two tenants behind one port, by the sample: each has its certificate and its broker, and trouble of one does not reach
//! the other.

use serde_json::Value;
use tests::clients::mosquitto::{Endpoint, Subscriber};
use tests::clients::tls::{Connector, End};
use tests::mqtt::{Version, publish};
use tests::pki::Ca;
use tests::wait::eventually;

use crate::cluster::{Cluster, SOON};
use crate::install;
use crate::listener::{BROKER, Edge};

const SAMPLE: &str = include_str!("../../deploy/samples/hosts.yaml");

const NAMESPACE: &str = "hosts";
const TOPIC: &str = "tenants/topic";

pub(crate) fn tenants_behind_one_port_do_not_meet(cluster: &'static Cluster) {
    install::ensure(cluster);
    let edge = Edge::prepare(cluster, NAMESPACE);
    let tenants = Tenants::start(&edge);
    let mut first = Subscriber::start(&edge.at("tenant-a-mqtt").subscribe(TOPIC).qos(1));
    let mut second = Subscriber::start(&edge.at("smart-mqtt").subscribe(TOPIC).qos(1));
    tenants.publish(&tenants.first("pump.tenant-a.example.com"), "from a");
    tenants.publish(&tenants.second(), "from b");
    assert_eq!(first.next_message(), format!("{TOPIC} from a"));
    assert_eq!(second.next_message(), format!("{TOPIC} from b"));
    assert_eq!((first.messages().len(), second.messages().len()), (1, 1));

    // Tenant A requires a client certificate, and another name has no host.
    let refused = |ca: &Ca, name: &str| {
        let connector = Connector::new(ca).server_name(name);
        cluster.block_on(async {
            match connector.connect(edge.address(NAMESPACE)).await {
                Ok(mut client) => client.read_to_end().await.1,
                Err(error) => End::from(error),
            }
        })
    };
    let end = refused(&tenants.a, "tenant-a.example.com");
    assert_eq!(end, End::Alert("CertificateRequired".to_owned()));
    let end = refused(&edge.ca, "other.example.com");
    assert_eq!(end, End::Alert("UnrecognisedName".to_owned()));

    // Tenant A loses its Secret, and keeps being served; tenant B's certificate is renewed meanwhile.
    edge.kubectl(&["delete", "secret", "tenant-a-tls"]);
    let host = eventually(SOON, "the status names the host", || {
        let listener: Value = edge.get("mtl", NAMESPACE);
        let hosts = listener["status"]["hosts"].as_array()?;
        hosts.first().cloned()
    });
    assert_eq!(host["name"], "tenant-a.example.com");
    assert_eq!(host["reason"], "SecretNotFound");
    let renewed = tenants.b.leaf().dns("tenant-b.example.com");
    let renewed = renewed.dns("*.tenant-b.example.com").issue();
    edge.certificate("tenant-b-tls", &renewed);
    let connector = tenants.second();
    eventually(SOON, "tenant B's renewed certificate is served", || {
        let client = cluster.block_on(connector.connect(edge.address(NAMESPACE)));
        (client.ok()?.server_cert() == renewed.cert_der).then_some(())
    });
    tenants.publish(&tenants.first("tenant-a.example.com"), "without a Secret");
    assert_eq!(first.next_message(), format!("{TOPIC} without a Secret"));
    tenants.issue("a");
    eventually(SOON, "the status names no host", || {
        let listener: Value = edge.get("mtl", NAMESPACE);
        let is_right = listener["status"]["hosts"]
            .as_array()
            .is_none_or(Vec::is_empty);
        is_right.then_some(())
    });
    edge.ready(NAMESPACE);
}

impl Edge {
    fn at(&self, service: &str) -> Endpoint {
        Endpoint::plain(self.service(service))
    }
}

/// The sample's listener; tenant B's broker is the one that the listener itself has.
struct Tenants<'e> {
    edge: &'e Edge,
    a: Ca,
    b: Ca,
    devices: Ca,
}

impl<'e> Tenants<'e> {
    #[track_caller]
    fn start(edge: &'e Edge) -> Self {
        let tenants = Self {
            edge,
            a: Ca::new("tenant A"),
            b: Ca::new("tenant B"),
            devices: Ca::new("tenant A's devices"),
        };
        tenants.issue("a");
        tenants.issue("b");
        let broker = BROKER.replace("name: smart-mqtt\n", "name: tenant-a-mqtt\n");
        edge.broker("tenant-a-mqtt", &broker);
        edge.map("tenant-a-ca", &[("ca.crt", &tenants.devices.cert_pem())]);
        let elsewhere = "host: mqtt.tenant-b.example.com\n";
        assert!(SAMPLE.contains(elsewhere), "the sample has an address");
        let here = format!("host: smart-mqtt.{NAMESPACE}.svc.cluster.local\n");
        edge.cluster
            .apply(NAMESPACE, &SAMPLE.replace(elsewhere, &here));
        edge.ready(NAMESPACE);
        for service in ["tenant-a-mqtt", "smart-mqtt", "hosts-mqtts"] {
            edge.forwards(service);
        }
        tenants
    }

    /// Writes a new certificate of a tenant.
    #[track_caller]
    fn issue(&self, tenant: &str) {
        let ca = if tenant == "a" { &self.a } else { &self.b };
        let name = format!("tenant-{tenant}.example.com");
        let leaf = ca.leaf().dns(&name).dns(&format!("*.{name}")).issue();
        self.edge
            .certificate(&format!("tenant-{tenant}-tls"), &leaf);
    }

    /// A device of tenant A, with its certificate.
    fn first(&self, name: &str) -> Connector {
        let device = self
            .devices
            .leaf()
            .common_name("pump")
            .client_auth()
            .issue();
        Connector::with_identity(&self.a, &device).server_name(name)
    }

    /// A device of tenant B.
    fn second(&self) -> Connector {
        Connector::new(&self.b).server_name("tenant-b.example.com")
    }

    /// Publishes a message, and waits until the broker has it.
    #[track_caller]
    fn publish(&self, connector: &Connector, payload: &str) {
        let addr = self.edge.address(NAMESPACE);
        self.edge.cluster.block_on(async {
            let mut client = connector.connect_mqtt(addr, "device").await.unwrap();
            let packet = publish(Version::V311, TOPIC, 1, 1, payload.as_bytes());
            client.send(&packet).await.unwrap();
            // PUBACK (MQTT 3.1.1, section 3.4).
            assert_eq!(client.read_packet().await.unwrap().head >> 4, 4);
        });
    }
}
