//! What TLS offers: the operator's probes prove what is served under any policy, and the brokers of protocols are rendered and
//! reported like a host's.

use mqtt_tls_config::{Backend, Config, Group, TlsVersion};

use crate::fixture::Fixture;
use crate::prove::{broker, start};

/// The strictest policy: it leaves the probes one version, one suite and one group, and none of the protocols.
const STRICT: &str = "  replicas: 1
  tls:
    minVersion: Tls13
    suites: [TLS_AES_256_GCM_SHA384]
    groups: [secp384r1]
    recordSizeMax: 512
    alpn:
      required: true
      protocols:
      - name: mqtt
      - {name: x-amzn-mqtt-ca, backend: {address: {host: aws.example.com}}}
";

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_proved_and_the_brokers_of_protocols_reported_under_a_strict_policy() {
    let cluster = Fixture::start("policy").await;
    let (_broker, port) = broker().await;
    cluster.put_tls("edge-tls", &cluster.leaf("edge")).await;
    cluster.apply_listener("edge", STRICT);
    cluster.wait_until_programmed("edge").await;
    let is_strict = |config: &Config| config.tls.min_version == TlsVersion::Tls13;
    let config = cluster
        .wait_for_config("edge", "the policy", is_strict)
        .await;
    assert_eq!(config.tls.groups, [Group::P384]);
    let protocol = &config.tls.alpn.protocols[1];
    let aws = Backend {
        host: "aws.example.com".to_owned(),
        port: 1883,
    };
    assert_eq!(protocol.backend, Some(aws));
    cluster.run_pods("edge").await;
    let _pod = start(&cluster, "edge-mqtts-1", port).await;
    let served = "CertificateServed";
    cluster.wait_for("edge", served, "True", served).await;
    // The name of the protocol's broker does not exist.
    let unreached = cluster
        .wait_for("edge", "BackendReachable", "Unknown", "NotReachedYet")
        .await;
    let said = "protocol x-amzn-mqtt-ca, aws.example.com:1883: ";
    assert!(unreached.message.contains(said), "{}", unreached.message);
    let large = "LargeHandshake";
    let valid = cluster
        .wait_for("edge", "CertificateValid", "True", large)
        .await;
    assert!(
        valid.message.contains("the chain has "),
        "{}",
        valid.message
    );
}
