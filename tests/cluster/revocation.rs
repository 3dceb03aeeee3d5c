//! A device whose certificate is revoked loses its connection and gets no other one, while other devices go on, by the sample:
//! one list is a ConfigMap, and another one is fetched by the pods.

use tests::clients::mosquitto::Subscriber;
use tests::clients::tls::Connector;
use tests::pki::{Ca, Leaf};
use tokio::time::timeout;

use crate::cluster::{Cluster, SOON};
use crate::install;
use crate::listener::{Edge, HOST, sends};

const SAMPLE: &str = include_str!("../../deploy/samples/revocation.yaml");

const NAMESPACE: &str = "revocation";

pub(crate) fn a_revoked_device_is_cut_off(cluster: &'static Cluster) {
    install::ensure(cluster);
    let edge = Edge::prepare(cluster, NAMESPACE);
    let devices = Ca::new("devices");
    edge.map("device-ca", &[("ca.crt", &devices.cert_pem())]);
    edge.map("device-crl", &[("ca.crl", &devices.crl(&[]))]);
    // A port of the broker that answers no HTTP: what cannot be fetched must keep no device out.
    let elsewhere = "http://pki.example.com/factory.crl";
    assert!(SAMPLE.contains(elsewhere), "the sample has a URL");
    let here = format!("http://smart-mqtt.{NAMESPACE}.svc.cluster.local:1883/factory.crl");
    cluster.apply(NAMESPACE, &SAMPLE.replace(elsewhere, &here));
    let at = edge.endpoint("revocation", "edge-tls", &edge.ca);
    edge.forwards("revocation-mqtts");
    let warned = edge.wait_for("revocation", "the URL fails", |it| {
        it.reason == "RevocationListsNotLoaded" && it.status == "True"
    });
    assert_eq!(warned.type_, "CertificateServed");
    assert!(warned.message.contains(&here), "{}", warned.message);
    let leaf = |name: &str| -> Leaf {
        let name = format!("{name}.devices.example.com");
        devices.leaf().dns(&name).client_auth().issue()
    };
    let (lost, kept) = (leaf("lost"), leaf("kept"));
    let at_lost = at.clone().identity(&lost);
    let at_kept = at.clone().identity(&kept);
    let stranger = devices.leaf().dns("other.example.com").client_auth();
    let stranger = at.identity(&stranger.issue());
    assert!(!sends(&stranger), "no rule allows the name");

    let connector = Connector::with_identity(&edge.ca, &lost).server_name(HOST);
    let address = edge.address("revocation");
    let connected = cluster.block_on(connector.connect_mqtt(address, "lost"));
    let mut open_lost = connected.expect("the device is not revoked yet");
    let mut open_kept = Subscriber::start(&at_kept.subscribe("orders").id("kept").qos(1));
    edge.map("device-crl", &[("ca.crl", &devices.crl(&[&lost]))]);
    let end = cluster.block_on(async { timeout(SOON, open_lost.read_to_end()).await });
    end.expect("the connection of the revoked device is closed");
    assert!(!sends(&at_lost), "it gets no other one");
    let sending = at_kept.publish("orders").qos(1).payload("go on");
    sending.send().expect_success();
    assert_eq!(open_kept.next_message(), "orders go on");

    // A list of a namesake changes nothing, and the status names the object.
    let namesake = Ca::new("devices").crl(&[&kept]);
    edge.map("device-crl", &[("ca.crl", &namesake)]);
    let refs = edge.wait_for("revocation", "ResolvedRefs", |it| {
        it.type_ == "ResolvedRefs" && it.reason == "UnusableCrl"
    });
    assert!(
        refs.message.contains("ConfigMap device-crl"),
        "{}",
        refs.message
    );
    assert!(sends(&at_kept) && !sends(&at_lost));
}
