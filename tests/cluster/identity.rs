//! A device is for the broker who its certificate says, by the sample: mosquitto's own rules hold for it, and the pod shows
//! who is connected.

use serde_json::Value;
use tests::clients::mosquitto::{Endpoint, Subscriber};
use tests::wait::eventually;

use crate::cluster::{Cluster, SOON};
use crate::install;
use crate::listener::{Edge, MOSQUITTO};

const SAMPLE: &str = include_str!("../../deploy/samples/identity.yaml");

const NAMESPACE: &str = "identity";

/// Each user may write below a topic of its own; a client without a name may read all of them.
const RIGHTS: &str = "topic read devices/#\npattern readwrite devices/%u/#\n";

const CONFIGURATION: &str =
    "listener 1883 0.0.0.0\nallow_anonymous true\nacl_file /rights/rights\nlog_dest stderr\n";

pub(crate) fn the_broker_knows_a_device_by_its_certificate(cluster: &'static Cluster) {
    install::ensure(cluster);
    let edge = Edge::prepare(cluster, NAMESPACE);
    start_broker(&edge);
    let devices = tests::pki::Ca::new("devices");
    edge.map("device-ca", &[("ca.crt", &devices.cert_pem())]);
    let of_sample = "name: smart-mqtt\n";
    assert!(SAMPLE.contains(of_sample), "the sample has a Service");
    cluster.apply(
        NAMESPACE,
        &SAMPLE.replace(of_sample, "name: mosquitto\n      port: 1883\n"),
    );
    let edge_at = edge.endpoint("identity", "edge-tls", &edge.ca);
    edge.forwards("identity-mqtts");
    edge.forwards("mosquitto");
    let pump = devices.leaf().common_name("pump-7").client_auth().issue();
    let pump = edge_at.identity(&pump);

    let observer = Endpoint::plain(edge.service("mosquitto"));
    let mut observer = Subscriber::start(&observer.subscribe("devices/#").qos(1));
    let publish = |topic: &str, payload: &str| {
        let sending = pump.clone().arg("-u").arg("pump-8").publish(topic);
        let sending = sending.qos(1).payload(payload);
        sending.send().expect_success();
    };
    publish("devices/pump-7/state", "first");
    assert_eq!(observer.next_message(), "devices/pump-7/state first");
    publish("devices/pump-8/state", "of another");
    publish("devices/pump-7/state", "second");
    assert_eq!(observer.next_message(), "devices/pump-7/state second");

    let listening = pump.subscribe("devices/pump-7/orders").id("any").qos(1);
    let _open = Subscriber::start(&listening);
    let pods = edge.pods_of("identity");
    let shown = eventually(SOON, "one of the pods shows the device", || {
        let mut shown = pods.iter().map(|pod| connections(&edge, &pod.name));
        shown.find_map(|shown| shown["connections"].as_array()?.first().cloned())
    });
    assert_eq!(shown["identity"], "pump-7");
    assert_eq!(shown["clientId"], "pump-7");
}

/// Starts mosquitto with its rules.
#[track_caller]
fn start_broker(edge: &Edge) {
    edge.map(
        "rights",
        &[("mosquitto.conf", CONFIGURATION), ("rights", RIGHTS)],
    );
    let mut manifest = MOSQUITTO.to_owned();
    for (before, after) in [
        (
            "        volumeMounts:\n",
            "        command: [/usr/sbin/mosquitto, -c, /rights/mosquitto.conf]\n        volumeMounts:\n        \
             - {name: rights, mountPath: /rights}\n",
        ),
        (
            "      volumes:\n",
            "      volumes:\n      - {name: rights, configMap: {name: rights}}\n",
        ),
    ] {
        assert!(manifest.contains(before), "{before}");
        manifest = manifest.replace(before, after);
    }
    edge.deploy("mosquitto", &manifest);
}

/// Returns what a pod answers to a request from itself.
#[track_caller]
fn connections(edge: &Edge, pod: &str) -> Value {
    let script = format!("kubectl -n {NAMESPACE} port-forward pod/{pod} :9883");
    let forward = edge.cluster.sh_in_background("port-forward", &script);
    let line = forward.wait_for_line("Forwarding from 127.0.0.1:", SOON);
    let port: String = line
        .rsplit("127.0.0.1:")
        .next()
        .map(|rest| rest.chars().take_while(char::is_ascii_digit).collect())
        .expect("the line has a port");
    let asking = format!("curl -sf http://127.0.0.1:{port}/connections");
    let answer = edge.cluster.sh(&asking).stdout;
    forward.stop();
    serde_json::from_str(&answer).expect("the answer is JSON")
}
