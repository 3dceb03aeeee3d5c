//! What TLS offers, by the sample: ALPN leads to brokers, only its suites and groups are negotiated, and whom a change would
//! refuse shows before it is made.

use serde_json::Value;
use tests::clients::mosquitto::{Endpoint, Subscriber};
use tests::clients::openssl::SClient;

use crate::cluster::Cluster;
use crate::install;
use crate::listener::{Edge, HOST, MOSQUITTO};

const SAMPLE: &str = include_str!("../../deploy/samples/tls-policy.yaml");

const NAMESPACE: &str = "tls-policy";
const TOPIC: &str = "policy/topic";

pub(crate) fn a_change_is_previewed_and_then_made(cluster: &'static Cluster) {
    install::ensure(cluster);
    let edge = Edge::prepare(cluster, NAMESPACE);
    let other = MOSQUITTO.replace("  name: mosquitto\n", "  name: aws-compatible\n");
    edge.deploy("aws-compatible", &other);
    cluster.apply(NAMESPACE, SAMPLE);
    let at = edge.endpoint(NAMESPACE, "edge-tls", &edge.ca);
    for service in ["tls-policy-mqtts", "smart-mqtt", "aws-compatible"] {
        edge.forwards(service);
    }
    alpn_leads_to_brokers(&edge, &at);
    only_the_policy_is_negotiated(&edge);

    let (old, new) = (at.clone().tls_version("tlsv1.2"), at.tls_version("tlsv1.3"));
    let [served, failing] = preview(&edge);
    publish(&old, "of an old device");
    publish(&new, "of a new device");
    assert_eq!(preview(&edge), [served + 2, failing + 1]);
    change(
        &edge,
        r#"{"minVersion": "Tls13", "alpn": {"required": true}}"#,
    );
    let [old, new] = [old, new].map(|at| at.arg("--tls-alpn").arg("mqtt"));
    let refused = old.publish(TOPIC).payload("of an old device").send();
    assert!(!refused.status.success());
    // protocol_version (RFC 8446, section 6).
    assert_eq!(openssl(&edge, &["-tls1_2", "-alpn", "mqtt"]), alert(70));
    // no_application_protocol (RFC 7301, section 3.2).
    assert_eq!(openssl(&edge, &["-alpn", "h2"]), alert(120));
    publish(&new, "of a new device");
}

/// Changes `tls`, and waits until each pod has the change.
#[track_caller]
fn change(edge: &Edge, tls: &str) {
    let patch = format!("{{\"spec\": {{\"tls\": {tls}}}}}");
    edge.kubectl(&["patch", "mtl", NAMESPACE, "--type=merge", "-p", &patch]);
    edge.wait_for(NAMESPACE, "CertificateServed", |it| {
        it.type_ == "CertificateServed" && it.status == "True"
    });
}

/// Each protocol has its broker, and a client that offers none has the listener's.
#[track_caller]
fn alpn_leads_to_brokers(edge: &Edge, at: &Endpoint) {
    let start = |service: &str| {
        let at = Endpoint::plain(edge.service(service));
        Subscriber::start(&at.subscribe(TOPIC).qos(1))
    };
    let (mut usual, mut compatible) = (start("smart-mqtt"), start("aws-compatible"));
    let by = |protocol: &str| at.clone().arg("--tls-alpn").arg(protocol);
    publish(at, "without");
    publish(&by("mqtt"), "by mqtt");
    publish(&by("x-amzn-mqtt-ca"), "by another");
    assert_eq!(usual.next_message(), format!("{TOPIC} without"));
    assert_eq!(usual.next_message(), format!("{TOPIC} by mqtt"));
    assert_eq!(compatible.next_message(), format!("{TOPIC} by another"));
    assert_eq!(
        (usual.messages().len(), compatible.messages().len()),
        (2, 1)
    );
    for (offered, chosen) in [
        ("h2,x-amzn-mqtt-ca", "ALPN protocol: x-amzn-mqtt-ca"),
        ("x-amzn-mqtt-ca,mqtt", "ALPN protocol: mqtt"),
        ("h2", "No ALPN negotiated"),
    ] {
        let seen = openssl(edge, &["-alpn", offered]).unwrap();
        assert!(seen.contains(chosen), "{offered}: {seen}");
    }
}

#[track_caller]
fn only_the_policy_is_negotiated(edge: &Edge) {
    let old = openssl(edge, &["-tls1_2"]).unwrap();
    assert!(
        old.contains("Cipher is ECDHE-ECDSA-AES128-GCM-SHA256"),
        "{old}"
    );
    let new = openssl(edge, &["-tls1_3"]).unwrap();
    assert!(new.contains("Cipher is TLS_AES_128_GCM_SHA256"), "{new}");
    // handshake_failure (RFC 8446, section 6).
    for options in [
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"][..],
        &["-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384"],
        &["-groups", "secp384r1"],
    ] {
        assert_eq!(openssl(edge, options), alert(40), "{options:?}");
    }
}

#[track_caller]
fn publish(at: &Endpoint, payload: &str) {
    let sending = at.publish(TOPIC).qos(1).payload(payload);
    sending.send().expect_success();
}

fn alert(number: u8) -> Result<String, String> {
    Err(number.to_string())
}

/// Returns what OpenSSL says of a session, or the number of the alert with which it is refused.
#[track_caller]
fn openssl(edge: &Edge, options: &[&str]) -> Result<String, String> {
    let client = SClient::unverified(edge.address(NAMESPACE), HOST);
    let seen = client.args(options).run(b"");
    let Some((_, alert)) = seen.stderr.split_once("alert number ") else {
        return Ok(seen.expect_success().stdout);
    };
    Err(alert.chars().take_while(char::is_ascii_digit).collect())
}

/// Returns the numbers of clients of the last hour, and of those that could not connect by TLS 1.3 only, at all pods.
#[track_caller]
fn preview(edge: &Edge) -> [u64; 2] {
    let pods = edge.pods_of(NAMESPACE);
    let hours = pods.iter().map(|pod| {
        let status: Value = serde_json::from_str(&edge.admin(pod, "status")).expect("it is JSON");
        let hour = &status["preview"]["hour"];
        let changes = hour["changes"].as_array().expect("it lists changes");
        let of_version = changes.iter().find(|one| one["change"] == "min_version");
        let of_version = of_version.expect("one is about the version");
        [&hour["served"], &of_version["clients"]].map(|count| count.as_u64().expect("a count"))
    });
    hours.fold([0, 0], |[served, failing], of_one| {
        [served + of_one[0], failing + of_one[1]]
    })
}
