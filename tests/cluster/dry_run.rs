//! A dry run refuses no device, and its metric says whom `Require` would refuse; then it refuses these.

use tests::clients::mosquitto::{Endpoint, Subscriber};
use tests::clients::openssl::SClient;
use tests::mqtt::{self, Version};
use tests::pki::{Ca, Leaf};

use crate::cluster::Cluster;
use crate::install;
use crate::listener::{Edge, HOST, sends};

/// Why devices here are refused.
const REASONS: [&str; 2] = ["missing", "unknown_issuer"];

pub(crate) fn a_dry_run_says_whom_require_would_refuse(cluster: &'static Cluster) {
    install::ensure(cluster);
    let edge = Edge::prepare(cluster, "dry-run");
    let devices = Ca::new("devices");
    edge.map("device-ca", &[("ca.crt", &devices.cert_pem())]);
    let apply = |mode: &str| {
        edge.listener(&format!(
            "  clientAuth: {{mode: {mode}, caRef: {{kind: ConfigMap, name: device-ca}}}}"
        ));
    };
    apply("DryRun");
    let at = edge.endpoint("edge", "edge-tls", &edge.ca);
    edge.forwards("edge-mqtts");
    let device = |ca: &Ca| ca.leaf().common_name("device").client_auth().issue();
    let (good, foreign) = (device(&devices), device(&Ca::new("strangers")));
    let clients = [None, Some(&foreign), Some(&good)];
    let is_served = |client: Option<&Leaf>| is_served(&edge, &at, client);
    let before = counts(&edge, "would_refuse");
    for client in clients {
        assert!(is_served(client), "a dry run refuses none");
    }
    // Twice each: by mosquitto's client and by OpenSSL's.
    assert_eq!(counts(&edge, "would_refuse"), before.map(|count| count + 2));

    let mut open = Subscriber::start(&at.subscribe("state").id("without").qos(1));
    apply("Require");
    edge.wait("CertificateServed", "True");
    edge.ready("edge");
    assert_eq!(clients.map(is_served), [false, false, true]);
    assert_eq!(counts(&edge, "refused"), [2, 2]);
    // A changed mode is for new connections.
    assert_eq!(open.next_message(), "state here");
}

/// How many clients of each of [`REASONS`] a metric counts, at all pods.
#[track_caller]
fn counts(edge: &Edge, metric: &str) -> [u64; 2] {
    REASONS.map(|reason| {
        let labels = format!("{{host=\"\",reason=\"{reason}\"}}");
        let name = format!("mqtt_tls_client_certificates_{metric}_total{labels}");
        edge.count("edge", &name)
    })
}

/// Reports whether a device with a certificate, or without one, is served. mosquitto's and OpenSSL's clients must agree.
#[track_caller]
fn is_served(edge: &Edge, at: &Endpoint, leaf: Option<&Leaf>) -> bool {
    let (mut at, mut openssl) = (at.clone(), SClient::unverified(edge.address("edge"), HOST));
    if let Some(leaf) = leaf {
        (at, openssl) = (at.identity(leaf), openssl.identity(leaf));
    }
    // In TLS 1.3 a client learns of its refusal when it reads: here until the broker ends the session.
    let session = [
        &mqtt::connect(Version::V311, "openssl")[..],
        &mqtt::DISCONNECT,
    ];
    let seen = openssl.until_server_closes().run(&session.concat());
    let (is_served, said) = (sends(&at), &seen.stderr);
    assert_eq!(is_served, !said.contains("alert number"), "{said}");
    is_served
}
