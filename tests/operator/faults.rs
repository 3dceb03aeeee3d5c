//! An API server that fails, forgets or falls silent costs time, and nothing else: what it did not tell meanwhile
//! is found out afterwards, long before listeners are looked at anyway.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use tests::process::Process;
use tests::wait::eventually_async;

use crate::fixture::{Fixture, SOON, ask, spawn_operator};
use crate::proxy::{Fault, Proxy};

/// How many kinds of objects an operator watches.
const KINDS: usize = 7;

/// Silence is waited out for a minute: a failure, not a measure.
const SILENCE: Duration = Duration::from_secs(150);

/// An operator that reaches the API server by way of a proxy, and a listener whose certificate it has rendered.
async fn start(prefix: &str) -> (Fixture, Proxy, Process) {
    let cluster = Fixture::without_operator(prefix).await;
    let proxy = Proxy::start(cluster.client.clone()).await;
    cluster.put_tls("edge-tls", &cluster.leaf("edge")).await;
    cluster.apply_listener("edge", "");
    let operator = spawn_operator(&proxy.kubeconfig, &["--namespace", &cluster.namespace]);
    cluster
        .wait_for("edge", "Programmed", "True", "Programmed")
        .await;
    (cluster, proxy, operator)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_fails_is_told_when_it_stays_and_tried_until_it_works() {
    let (cluster, proxy, _operator) = start("faults-read").await;
    let before = cluster.child::<Secret>("edge").await.resource_version();
    proxy.becomes(Fault::Internal("/secrets/edge-tls".to_owned()));
    cluster.apply_listener("edge", "  replicas: 3\n");
    let said = cluster
        .wait_for("edge", "ResolvedRefs", "False", "ReadFailed")
        .await;
    assert!(
        said.message.contains("get Secret edge-tls was refused"),
        "{}",
        said.message
    );
    cluster
        .wait_for("edge", "Ready", "False", "ReadFailed")
        .await;
    let after = cluster.child::<Secret>("edge").await.resource_version();
    assert_eq!(after, before, "what serves stays");
    proxy.becomes(Fault::None);
    cluster
        .wait_for("edge", "ResolvedRefs", "True", "ResolvedRefs")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_expired_watch_missed_is_seen() {
    let (cluster, proxy, operator) = start("faults-expired").await;
    proxy.becomes(Fault::Expired);
    operator.wait_for_line("watch failed; retrying", SOON);
    let new = cluster.leaf("edge");
    cluster.put_tls("edge-tls", &new).await;
    proxy.becomes(Fault::None);
    serves(&cluster, &new.chain_pem).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_was_not_found_once_costs_readiness_for_a_moment_only() {
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
    proxy.becomes(Fault::Unknown);
    eventually_async(SOON, "it is not ready", is_ready(false)).await;
    // Nothing happens to any listener meanwhile.
    proxy.becomes(Fault::None);
    eventually_async(2 * SOON, "it is ready again", is_ready(true)).await;
    drop(cluster);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_died_without_a_word_is_given_up() {
    let (cluster, proxy, operator) = start("faults-silent").await;
    proxy.becomes(Fault::Silent);
    let another = spawn_operator(&proxy.kubeconfig, &["--namespace", &cluster.namespace]);
    another.wait_for_line("starting controller", SOON);
    // The watches are given up, and those that are begun instead have no answer: for every kind.
    let given_up = async || (proxy.unanswered() >= KINDS).then_some(());
    eventually_async(SILENCE, "the watches are begun again", given_up).await;
    proxy.becomes(Fault::None);
    let before = proxy.answered();
    another.wait_for_line("listed all listeners", SILENCE);
    let both = async || (proxy.answered() - before >= 2 * KINDS).then_some(());
    eventually_async(SILENCE, "both watch", both).await;
    let new = cluster.leaf("edge");
    cluster.put_tls("edge-tls", &new).await;
    serves(&cluster, &new.chain_pem).await;
    drop((operator, another));
}

/// Waits until this is what the terminators are given.
async fn serves(cluster: &Fixture, chain: &str) {
    let leaf = chain.trim();
    cluster
        .wait_for_config("edge", "the new certificate", |config| {
            config.pem.expose().contains(leaf)
        })
        .await;
}
