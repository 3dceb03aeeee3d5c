//! What the pods say counts: their configuration, their certificates and their broker. The pods are real terminators on
//! loopback addresses; this test delivers the configuration as a kubelet would.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Pod, Secret};
use mqtt_tls_config::Config;
use tests::pods::{self, StandIn, config_of, write};
use tests::wait::eventually_async;
use tokio::net::TcpListener;

use crate::fixture::{Fixture, SOON};

/// Returns the configuration in the Secret, as the pod at an address runs it, with a broker on this machine.
pub(crate) async fn mounted(cluster: &Fixture, ip: IpAddr, broker: u16) -> Config {
    let secret = cluster.child::<Secret>("edge").await;
    pods::placed(config_of(&secret), ip, broker)
}

/// Starts a ready pod of the listener `edge`.
pub(crate) async fn start(cluster: &Fixture, name: &str, broker: u16) -> StandIn {
    cluster.make_pod("edge", name).await;
    let config = config_of(&cluster.child::<Secret>("edge").await);
    let pod = StandIn::start(config, broker);
    pods::report_ready(&cluster.api::<Pod>(), name, pod.ip).await;
    pod
}

/// A broker that accepts connections.
pub(crate) async fn broker() -> (TcpListener, u16) {
    let broker = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = broker.local_addr().unwrap().port();
    (broker, port)
}

async fn is_ready(cluster: &Fixture, status: &str, reason: &str) {
    cluster.wait_for("edge", "Ready", status, reason).await;
}

async fn fingerprint(cluster: &Fixture) -> String {
    let status = cluster.listener("edge").await.status.unwrap();
    status.certificates[0].fingerprint.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_shows_what_pods_serve() {
    let cluster = Fixture::start("prove").await;
    let (_broker, port) = broker().await;
    let (old, new) = (cluster.leaf("edge"), cluster.leaf("edge"));
    cluster.put_tls("edge-tls", &old).await;
    cluster.apply_listener("edge", "  replicas: 2");
    cluster.wait_until_programmed("edge").await;
    cluster.run_pods("edge").await;
    let one = start(&cluster, "edge-mqtts-1", port).await;
    let other = start(&cluster, "edge-mqtts-2", port).await;
    let served = "CertificateServed";
    cluster.wait_for("edge", served, "True", served).await;
    let reachable = "BackendReachable";
    cluster.wait_for("edge", reachable, "True", reachable).await;
    is_ready(&cluster, "True", "Ready").await;
    let since = cluster.listener("edge").await.status.unwrap().certificates[0].clone();
    assert_eq!(since.fingerprint, old.fingerprint());
    assert!(since.since.is_some());

    // A renewal that one of the kubelets does not deliver.
    cluster.put_tls("edge-tls", &new).await;
    let is_new = |config: &Config| config.pem.expose().contains(new.key_pem.trim());
    cluster
        .wait_for_config("edge", "it is rendered", is_new)
        .await;
    write(&one.file, &mounted(&cluster, one.ip, port).await);
    let condition = cluster
        .wait_for("edge", served, "Unknown", "NotServedYet")
        .await;
    assert!(
        condition.message.starts_with("1 of 2"),
        "{}",
        condition.message
    );
    assert!(
        condition.message.contains("pod edge-mqtts-2"),
        "{}",
        condition.message
    );
    is_ready(&cluster, "True", "Ready").await;
    assert_eq!(fingerprint(&cluster).await, old.fingerprint());

    write(&other.file, &mounted(&cluster, other.ip, port).await);
    cluster.wait_for("edge", served, "True", served).await;
    is_ready(&cluster, "True", "Ready").await;
    assert_eq!(fingerprint(&cluster).await, new.fingerprint());
    cluster.writes_nothing_more().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_shown_in_the_pods_words() {
    let cluster = Fixture::start("refused").await;
    let (_broker, port) = broker().await;
    cluster.put_tls("edge-tls", &cluster.leaf("edge")).await;
    cluster.apply_listener("edge", "  replicas: 1");
    cluster.wait_until_programmed("edge").await;
    cluster.run_pods("edge").await;
    let pod = start(&cluster, "edge-mqtts-1", port).await;
    is_ready(&cluster, "True", "Ready").await;

    // No pod has this address.
    cluster.apply_listener("edge", "  replicas: 1\n  host: 192.0.2.1");
    let is_new = |config: &Config| config.host.is_some();
    cluster
        .wait_for_config("edge", "it is rendered", is_new)
        .await;
    let mut config = mounted(&cluster, pod.ip, port).await;
    config.host = Some("192.0.2.1".parse().unwrap());
    write(&pod.file, &config);
    let (type_, reason) = ("CertificateServed", "ConfigurationRefused");
    let condition = cluster.wait_for("edge", type_, "False", reason).await;
    for said in [
        "0 of 1",
        "pod edge-mqtts-1",
        "192.0.2.1:8883",
        "Cannot assign",
    ] {
        assert!(condition.message.contains(said), "{}", condition.message);
    }
    is_ready(&cluster, "False", reason).await;
    cluster.writes_nothing_more().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_cannot_be_asked_prove_nothing() {
    let cluster = Fixture::start("unasked").await;
    cluster.put_tls("edge-tls", &cluster.leaf("edge")).await;
    cluster.apply_listener("edge", "  replicas: 1");
    cluster.wait_until_programmed("edge").await;
    cluster.run_pods("edge").await;
    cluster.make_pod("edge", "edge-mqtts-1").await;
    pods::report_ready(&cluster.api::<Pod>(), "edge-mqtts-1", pods::address()).await;
    let (type_, reason) = ("CertificateServed", "PodsNotAsked");
    let condition = cluster.wait_for("edge", type_, "Unknown", reason).await;
    assert!(
        condition.message.contains("NetworkPolicy"),
        "{}",
        condition.message
    );
    is_ready(&cluster, "True", "Ready").await;
    cluster.writes_nothing_more().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_reaches_the_broker_again_is_noticed_without_an_event() {
    let cluster = Fixture::start("broker").await;
    let (broker, port) = broker().await;
    drop(broker);
    cluster.put_tls("edge-tls", &cluster.leaf("edge")).await;
    cluster.apply_listener("edge", "  replicas: 1");
    cluster.wait_until_programmed("edge").await;
    cluster.run_pods("edge").await;
    let pod = start(&cluster, "edge-mqtts-1", port).await;
    let (type_, reason) = ("BackendReachable", "NotReachedYet");
    let condition = cluster.wait_for("edge", type_, "Unknown", reason).await;
    let address = format!("127.0.0.1:{port}");
    assert!(
        condition.message.contains(&address),
        "{}",
        condition.message
    );
    // It may be the broker's first minute.
    is_ready(&cluster, "True", "Ready").await;
    let _broker = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    // Another backend ends the outage at once; the same one is tried again after a quarter of a minute.
    let mut config = mounted(&cluster, pod.ip, port).await;
    config.backend.host = "localhost".to_owned();
    write(&pod.file, &config);
    let look = || async {
        let status = cluster.listener("edge").await.status?;
        let mut conditions = status.conditions.into_iter();
        conditions.find(|one| one.type_ == type_ && one.status == "True")
    };
    eventually_async(SOON, "the broker is reached", look).await;
}
