//! An API server that fails, expires its watches or stops responding costs time and nothing else: changes that it did
//! not report are found afterwards, long before the periodic reconciliation.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use tests::process::Process;
use tests::wait::eventually_async;

use crate::fixture::{Fixture, SOON, ask, spawn_operator};
use crate::proxy::{Fault, Proxy};

/// Number of kinds that an operator watches.
const KINDS: usize = 7;

/// Upper bound for detecting a silent connection, which takes a minute.
const SILENCE: Duration = Duration::from_secs(150);

/// An operator that reaches the API server through a proxy, and a listener whose certificate it has rendered.
async fn start(prefix: &str) -> (Fixture, Proxy, Process) {
    let cluster = Fixture::without_operator(prefix).await;
    let proxy = Proxy::start(cluster.client.clone()).await;
    cluster.put_tls("edge-tls", &cluster.leaf("edge")).await;
    cluster.apply_listener("edge", "");
    let operator = spawn_operator(&proxy.kubeconfig, &["--namespace", &cluster.namespace]);
    cluster.wait_until_programmed("edge").await;
    (cluster, proxy, operator)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_read_is_reported_and_retried_until_it_succeeds() {
    let (cluster, proxy, _operator) = start("faults-read").await;
    let before = cluster.child::<Secret>("edge").await.resource_version();
    proxy.set(Fault::Internal("/secrets/edge-tls".to_owned()));
    cluster.apply_listener("edge", "  replicas: 3\n");
    let condition = cluster
        .wait_for("edge", "ResolvedRefs", "False", "ReadFailed")
        .await;
    assert!(
        condition
            .message
            .contains("get Secret edge-tls was refused"),
        "{}",
        condition.message
    );
    cluster
        .wait_for("edge", "Ready", "False", "ReadFailed")
        .await;
    let after = cluster.child::<Secret>("edge").await.resource_version();
    assert_eq!(after, before, "the configuration is unchanged");
    proxy.set(Fault::None);
    cluster
        .wait_for("edge", "ResolvedRefs", "True", "ResolvedRefs")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_missed_by_an_expired_watch_are_seen() {
    let (cluster, proxy, operator) = start("faults-expired").await;
    proxy.set(Fault::Expired);
    operator.wait_for_line("watch failed; retrying", SOON);
    let new = cluster.leaf("edge");
    cluster.put_tls("edge-tls", &new).await;
    proxy.set(Fault::None);
    serves(&cluster, &new.chain_pem).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_gets_not_found_is_unready_until_it_recovers() {
    let (cluster, proxy, operator) = start("faults-unknown").await;
    let is_ready = |is_ready: bool| {
        let operator = &operator;
        let wanted = if is_ready {
            "HTTP/1.1 200"
        } else {
            "HTTP/1.1 503"
        };
        move || async move { ask(operator, "/readyz").starts_with(wanted).then_some(()) }
    };
    eventually_async(SOON, "it is ready", is_ready(true)).await;
    proxy.set(Fault::Unknown);
    eventually_async(SOON, "it is not ready", is_ready(false)).await;
    // No listener changes meanwhile.
    proxy.set(Fault::None);
    eventually_async(2 * SOON, "it is ready again", is_ready(true)).await;
    drop(cluster);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silently_dead_connection_is_given_up() {
    let (cluster, proxy, operator) = start("faults-silent").await;
    proxy.set(Fault::Silent);
    let another = spawn_operator(&proxy.kubeconfig, &["--namespace", &cluster.namespace]);
    another.wait_for_line("starting controller", SOON);
    // For every kind the watch is given up, and its replacement gets no response.
    let given_up = async || (proxy.unanswered() >= KINDS).then_some(());
    eventually_async(SILENCE, "the watches are started again", given_up).await;
    proxy.set(Fault::None);
    let before = proxy.answered();
    another.wait_for_line("listed all listeners", SILENCE);
    let both = async || (proxy.answered() - before >= 2 * KINDS).then_some(());
    eventually_async(SILENCE, "both watch", both).await;
    let new = cluster.leaf("edge");
    cluster.put_tls("edge-tls", &new).await;
    serves(&cluster, &new.chain_pem).await;
    drop((operator, another));
}

/// Waits until the terminators' configuration contains this chain.
async fn serves(cluster: &Fixture, chain: &str) {
    let leaf = chain.trim();
    cluster
        .wait_for_config("edge", "the new certificate", |config| {
            config.pem.expose().contains(leaf)
        })
        .await;
}
