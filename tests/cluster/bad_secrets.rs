//! A Secret that becomes invalid, in each common way: serving goes on, the condition reports the problem, and the
//! next valid Secret is loaded.

use tests::clients::mosquitto::{Endpoint, Subscriber};
use tests::pki::Leaf;

use crate::cluster::Cluster;
use crate::install;
use crate::listener::{Edge, HOST};
use crate::operator::Fate;

/// The Secret's type, its data, and the expected reason.
type Case = (&'static str, Vec<(&'static str, String)>, &'static str);

const TLS: &str = "kubernetes.io/tls";
const OPAQUE: &str = "Opaque";
const TOPIC: &str = "bad/secrets";

pub(crate) fn each_is_reported_and_changes_nothing(cluster: &'static Cluster) {
    journey(cluster, Fate::Lives, cases);
}

pub(crate) fn each_is_reported_despite_operator_kills(cluster: &'static Cluster) {
    // Each case waits twice for another operator to acquire the Lease, so only two cases run.
    journey(cluster, Fate::IsKilled, |edge| {
        cases(edge).into_iter().step_by(7).collect()
    });
}

fn journey(cluster: &'static Cluster, fate: Fate, cases: fn(&Edge) -> Vec<Case>) {
    install::ensure(cluster);
    let edge = Edge::start(cluster, &format!("bad{}", fate.suffix()));
    let endpoint = edge.endpoint("edge", "edge-tls", &edge.ca);
    // A device that stays connected throughout.
    let mut device = Subscriber::start(&endpoint.subscribe(TOPIC).qos(1));
    let mut good = edge.leaf();
    edge.certificate("edge-tls", &good);
    all_pods_serve(&edge, &good);
    for (kind, data, reason) in cases(&edge) {
        // A Secret's type is immutable.
        edge.kubectl(&["delete", "secret", "edge-tls"]);
        let data: Vec<_> = data
            .iter()
            .map(|(key, text)| (*key, text.as_str()))
            .collect();
        edge.secret("edge-tls", kind, &data);
        is_reported_and_recovers(&edge, fate, reason, &mut good);
    }
    edge.kubectl(&["delete", "secret", "edge-tls"]);
    is_reported_and_recovers(&edge, fate, "SecretNotFound", &mut good);

    let now = edge.endpoint("edge", "edge-tls", &edge.ca);
    publish(&now, "still here");
    assert_eq!(device.next_message(), "bad/secrets still here");
    let lines = device.process().lines();
    let connected = lines.iter().filter(|line| line.contains("CONNACK"));
    assert_eq!(connected.count(), 1, "its session is the first: {lines:?}");
    assert!(
        edge.pods().iter().all(|pod| pod.restarts == 0),
        "{:?}",
        edge.pods()
    );
}

/// Checks that the condition reports the problem while `good` is still served, and that the next valid certificate
/// replaces it.
fn is_reported_and_recovers(edge: &Edge, fate: Fate, reason: &str, good: &mut Leaf) {
    fate.strikes(edge.cluster);
    let type_ = match reason {
        "Expired" | "NotYetValid" => "CertificateValid",
        _ => "ResolvedRefs",
    };
    let found = edge.wait_for("edge", reason, |condition| {
        condition.type_ == type_ && condition.status == "False" && condition.reason == reason
    });
    assert!(
        found.message.contains("edge-tls"),
        "the message names the Secret: {}",
        found.message
    );
    all_pods_serve(edge, good);
    *good = edge.leaf();
    edge.kubectl(&["delete", "secret", "edge-tls", "--ignore-not-found"]);
    edge.certificate("edge-tls", good);
    fate.strikes(edge.cluster);
    edge.wait("Ready", "True");
    all_pods_serve(edge, good);
}

fn cases(edge: &Edge) -> Vec<Case> {
    let (good, other) = (edge.leaf(), edge.leaf());
    let expired = edge.ca.leaf().dns(HOST).expired().issue();
    let early = edge.ca.leaf().dns(HOST).not_yet_valid().issue();
    let (chain, key) = (good.chain_pem.clone(), good.key_pem.clone());
    let cut: String = chain.lines().take(3).collect::<Vec<_>>().join("\n");
    // Whole lines are missing: the PEM is well-formed, and its content is not.
    let mut half_a_key: Vec<&str> = key.lines().take(3).collect();
    half_a_key.extend(key.lines().last());
    let half_a_key = half_a_key.join("\n");
    let no_certificate =
        "-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n";
    let encrypted = good.encrypted_key("x");
    // Each is a different one: duplicates are dropped from the chain.
    let deep = (0..12).fold(edge.ca.intermediate("first"), |ca, number| {
        ca.intermediate(&format!("below {number}"))
    });
    let long = deep.leaf().dns(HOST).issue();
    let tls = |chain: &str, key: &str, reason| {
        let data = vec![("tls.crt", chain.to_owned()), ("tls.key", key.to_owned())];
        (TLS, data, reason)
    };
    let pem = |text: String, reason| (OPAQUE, vec![("pem", text)], reason);
    vec![
        tls(&chain, &other.key_pem, "KeyMismatch"),
        tls(&cut, &key, "BrokenPem"),
        tls(&key, &key, "NoCertificate"),
        tls(no_certificate, &key, "UnusableCertificate"),
        tls(&chain, &half_a_key, "UnusablePrivateKey"),
        tls(&long.chain_pem, &long.key_pem, "ChainTooLong"),
        tls(&expired.chain_pem, &expired.key_pem, "Expired"),
        tls(&early.chain_pem, &early.key_pem, "NotYetValid"),
        (OPAQUE, vec![("tls.crt", chain.clone())], "MissingKey"),
        (OPAQUE, vec![("certificate", chain.clone())], "MissingKey"),
        pem(chain.clone(), "NoPrivateKey"),
        pem(
            format!("{chain}{key}{}", other.key_pem),
            "SeveralPrivateKeys",
        ),
        pem(format!("{chain}{encrypted}"), "EncryptedPrivateKey"),
        pem(format!("{}{chain}{key}", other.cert_pem), "ChainOutOfOrder"),
    ]
}

fn publish(at: &Endpoint, payload: &str) {
    let publish = at.publish(TOPIC).qos(1).payload(payload);
    publish.send().expect_success();
}

fn all_pods_serve(edge: &Edge, leaf: &Leaf) {
    edge.all_pods_serve("edge", &edge.ca, leaf);
}
