//! The pods fetch revocation lists from a server in the cluster, by HTTP and by HTTPS: who is revoked there is refused, also
//! while connected, and all others go on.

use tests::clients::mosquitto::{Endpoint, Subscriber};
use tests::clients::tls::{Connector, TlsClient};
use tests::pki::{Ca, Leaf};
use tests::wait::eventually;
use tokio::time::timeout;

use crate::cluster::{Cluster, SOON};
use crate::install;
use crate::listener::{Edge, HOST, sends};

const NAMESPACE: &str = "crl-urls";
const WEB: &str = include_str!("web.yaml");

/// Connections after which each of the two pods has certainly got one, but for one time in a hundred.
const TRIES: usize = 8;

/// The name of the server.
const SERVER: &str = "web.crl-urls.svc.cluster.local";

pub(crate) fn a_device_that_is_revoked_at_a_url_is_cut_off(cluster: &'static Cluster) {
    install::ensure(cluster);
    let factories = Factories::start(cluster);
    let edge = &factories.edge;
    let [pump, valve] = [&factories.pumps, &factories.valves].map(|ca| device(ca, "lost"));
    let [stolen_pump, stolen_valve] =
        [&factories.pumps, &factories.valves].map(|ca| device(ca, "stolen"));
    factories.revoke([&[&stolen_pump], &[&stolen_valve]]);
    edge.deploy("web", WEB);
    factories.listener(1);
    let at = edge.endpoint("edge", "edge-tls", &edge.ca);
    edge.forwards("edge-mqtts");
    let pods = edge.pods();
    let at = |leaf: &Leaf| at.clone().identity(leaf);
    let kept = at(&device(&factories.pumps, "kept"));
    for stolen in [&stolen_pump, &stolen_valve] {
        assert!(!sends(&at(stolen)), "it is revoked");
    }

    let connected = [&pump, &valve].map(|leaf| factories.connect(leaf));
    let mut open = Subscriber::start(&kept.subscribe("orders").id("kept").qos(1));
    let (pumps, valves) = ([&stolen_pump, &pump], [&stolen_valve, &valve]);
    factories.revoke([&pumps, &valves]);
    factories.wait_until_served();
    // Another URL is fetched at once, and not in an hour.
    factories.listener(2);
    for mut lost in connected {
        let end = cluster.block_on(async { timeout(SOON, lost.read_to_end()).await });
        end.expect("the connection of a revoked device is closed");
    }
    // Each pod fetches by itself, and either may get the next connection.
    for lost in [&pump, &valve] {
        eventually(SOON, "it gets no other one, from any pod", || {
            (0..TRIES).all(|_| !sends(&at(lost))).then_some(())
        });
    }
    for stolen in [&stolen_pump, &stolen_valve] {
        assert!(!sends(&at(stolen)), "it gets no connection");
    }
    goes_on(&kept, &mut open, "one");

    // Without the server, the last good lists are used.
    edge.kubectl(&["delete", "deployment", "web"]);
    factories.listener(3);
    edge.ready("edge");
    assert!(!sends(&at(&pump)) && !sends(&at(&valve)));
    goes_on(&kept, &mut open, "another");
    assert_eq!(edge.pods(), pods, "no pod restarts or is replaced");
}

fn device(ca: &Ca, name: &str) -> Leaf {
    ca.leaf().common_name(name).client_auth().issue()
}

/// Publishes as a device, which gets the message by its first connection.
#[track_caller]
fn goes_on(at: &Endpoint, open: &mut Subscriber, payload: &str) {
    let sending = at.publish("orders").qos(1).payload(payload);
    sending.send().expect_success();
    assert_eq!(open.next_message(), format!("orders {payload}"));
}

/// Two CAs of devices, whose lists are at one server: one by HTTP, the other by HTTPS.
struct Factories {
    edge: Edge,
    pumps: Ca,
    valves: Ca,
}

impl Factories {
    #[track_caller]
    fn start(cluster: &'static Cluster) -> Self {
        let edge = Edge::prepare(cluster, NAMESPACE);
        let (pumps, valves) = (Ca::new("pumps"), Ca::new("valves"));
        let web = Ca::new("web CA");
        edge.certificate("web-tls", &web.leaf().dns(SERVER).issue());
        edge.map("web-ca", &[("ca.crt", &web.cert_pem())]);
        for (name, ca) in [("pump-ca", &pumps), ("valve-ca", &valves)] {
            edge.map(name, &[("ca.crt", &ca.cert_pem())]);
        }
        Self {
            edge,
            pumps,
            valves,
        }
    }

    /// Issues both lists, and puts them on the server.
    #[track_caller]
    fn revoke(&self, [pumps, valves]: [&[&Leaf]; 2]) {
        let (pumps, valves) = (self.pumps.crl(pumps), self.valves.crl(valves));
        let files = [("pumps.crl", &*pumps), ("valves.crl", &*valves)];
        self.edge.map("web-files", &files);
    }

    /// Waits until the server has the lists of the ConfigMap.
    #[track_caller]
    fn wait_until_served(&self) {
        let map = "jsonpath={.data.pumps\\.crl}";
        let expected = self
            .edge
            .kubectl(&["get", "configmap", "web-files", "-o", map]);
        let asking = format!("curl -sf http://{}/pumps.crl", self.edge.service("web"));
        eventually(SOON, "the server has the lists", || {
            // A change of the pod lets the kubelet look at once.
            let poke = format!("poke={}", fastrand::u64(..));
            let pods = ["pods", "-l", "app.kubernetes.io/name=web", &poke];
            let annotate = [&["annotate", "--overwrite"][..], &pods].concat();
            self.edge.kubectl(&annotate);
            let served = self.edge.cluster.try_sh(&asking).stdout;
            (served == expected).then_some(())
        });
    }

    /// Applies the listener with URLs of a version.
    #[track_caller]
    fn listener(&self, version: usize) {
        self.edge.listener(&format!(
            "  clientAuth:\n    mode: Require\n    caRef: {{kind: ConfigMap, name: pump-ca}}\n    \
             caRefs: [{{kind: ConfigMap, name: valve-ca}}]\n    revocation:\n      crlUrls:\n      \
             - url: http://{SERVER}/pumps.crl?{version}\n      - url: https://{SERVER}/valves.crl?{version}\n        \
             caRef: {{kind: ConfigMap, name: web-ca}}\n"
        ));
    }

    #[track_caller]
    fn connect(&self, leaf: &Leaf) -> TlsClient {
        let connector = Connector::with_identity(&self.edge.ca, leaf).server_name(HOST);
        let connecting = connector.connect_mqtt(self.edge.address("edge"), "lost");
        let connected = self.edge.cluster.block_on(connecting);
        connected.expect("the device is not revoked yet")
    }
}
