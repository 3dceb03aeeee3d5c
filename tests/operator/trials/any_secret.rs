//! Whatever comes into a Secret in whatever state of a trial: a fixed share of the events that `operator/tests/trials.rs` enumerates over
//! pure plans, here on a real API server with real terminators. What serves is never worse, the status explains, and the way back heals.

use k8s_openapi::api::core::v1::Secret;
use kube::api::DeleteParams;
use mqtt_tls_operator::crd::TrialState;
use tests::pki::Leaf;
use tests::pods::config_of;
use tests::wait::eventually_async;

use super::fleet::{Edge, TRIAL, leaf};
use super::state;
use crate::bad_secret::{cases, is_reported};
use crate::fixture::SOON;

/// Steps that do not end by themselves.
const SLOW: &str = "{steps: [10, 100], minStep: 24h, maxStep: 24h}";

/// The certificate that all get, the candidate with its trial, and the trial's state.
#[derive(Debug, PartialEq)]
struct Shown {
    pem: String,
    candidate: Option<(String, String)>,
    trial: Option<(Option<String>, TrialState)>,
}

impl Shown {
    async fn of(edge: &Edge) -> Self {
        let config = config_of(&edge.cluster.child::<Secret>("edge").await);
        let status = edge.cluster.listener("edge").await.status.unwrap();
        let trial = status.trials.into_iter().next();
        Self {
            pem: config.pem.expose().to_owned(),
            candidate: config
                .candidate
                .map(|one| (one.id, one.pem.expose().to_owned())),
            trial: trial.map(|one| (one.id, one.state)),
        }
    }

    fn serves(&self, leaf: &Leaf) -> bool {
        self.pem.contains(leaf.key_pem.trim())
    }

    fn tries(&self, leaf: &Leaf) -> bool {
        let candidate = self.candidate.as_ref();
        candidate.is_some_and(|(_, pem)| pem.contains(leaf.key_pem.trim()))
    }
}

async fn delete(edge: &Edge, name: &str) {
    let secrets = edge.cluster.api::<Secret>();
    secrets
        .delete(name, &DeleteParams::default())
        .await
        .unwrap();
}

/// Puts each bad content into the Secret, one after the other, deletes it, and puts back what it had.
async fn survives(edge: &Edge, content: &Leaf, what: &str) {
    let before = Shown::of(edge).await;
    let cluster = &edge.cluster;
    let other = leaf(&edge.new_ca).issue();
    for case in cases(content, &other) {
        is_reported(cluster, &case).await;
        let (_, reason, _) = case;
        assert_eq!(Shown::of(edge).await, before, "{what}: {reason}");
    }
    delete(edge, "edge-tls").await;
    cluster
        .wait_for("edge", "ResolvedRefs", "False", "SecretNotFound")
        .await;
    assert_eq!(Shown::of(edge).await, before, "{what}: deleted");
    cluster.put_tls("edge-tls", content).await;
    for healed in ["ResolvedRefs", "CertificateServed"] {
        cluster.wait_for("edge", healed, "True", healed).await;
    }
    assert_eq!(Shown::of(edge).await, before, "{what}: back");
}

/// Waits until a certificate is tried or served.
async fn wait_until(edge: &Edge, what: &str, is: impl Fn(&Shown) -> bool) -> Shown {
    eventually_async(TRIAL, what, async || {
        Some(Shown::of(edge).await).filter(|shown| is(shown))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_comes_into_the_secret_changes_nothing_for_the_worse() {
    let edge = Edge::start("any-secret", SLOW).await;
    survives(&edge, &edge.old, "no trial").await;
    edge.renew().await;
    let first = wait_until(&edge, "it is tried", |shown| {
        shown.tries(&edge.new) && shown.trial.is_some()
    })
    .await;
    survives(&edge, &edge.new, "running").await;
    goes_on_with_others(&edge, &first).await;

    let running = state(&edge, TrialState::Running).await.id.unwrap();
    edge.ask(&format!("end:{running}"));
    edge.is_rolled_back().await;
    survives(&edge, &edge.new, "rolled back").await;
    stays_without_the_config_secret(&edge).await;

    edge.ask(&format!("skip:{running}"));
    edge.is_at_all().await;
    survives(&edge, &edge.new, "skipped").await;
    // The way back is another class, so it is tried, too.
    edge.cluster.put_tls("edge-tls", &edge.old).await;
    let back = wait_until(&edge, "the way back is tried", |shown| {
        shown.tries(&edge.old)
    })
    .await;
    assert!(back.serves(&edge.new));
}

/// A renewed certificate of the candidate's class takes its place, one of the class that is served ends the trial, and one outside of its
/// dates changes nothing.
async fn goes_on_with_others(edge: &Edge, first: &Shown) {
    let cluster = &edge.cluster;
    let expired = leaf(&edge.new_ca).expired().issue();
    cluster.put_tls("edge-tls", &expired).await;
    let valid = cluster
        .wait_for("edge", "CertificateValid", "False", "Expired")
        .await;
    assert!(
        valid
            .message
            .contains("the previous certificate stays in use"),
        "{}",
        valid.message
    );
    assert_eq!(Shown::of(edge).await, *first);

    let newer = leaf(&edge.new_ca).issue();
    cluster.put_tls("edge-tls", &newer).await;
    let other = wait_until(edge, "the newer one is tried", |shown| shown.tries(&newer)).await;
    let id = |shown: &Shown| shown.candidate.as_ref().map(|(id, _)| id.clone());
    assert_eq!(
        (id(&other), &other.trial),
        (id(first), &first.trial),
        "the same trial"
    );

    let renewed = leaf(&cluster.ca).issue();
    cluster.put_tls("edge-tls", &renewed).await;
    let healed = wait_until(edge, "the way back ends the trial", |shown| {
        shown.serves(&renewed)
    })
    .await;
    assert_eq!(healed.candidate, None);
    eventually_async(SOON, "the trial is over", async || {
        Shown::of(edge).await.trial.is_none().then_some(())
    })
    .await;
    edge.renew().await;
    let again = wait_until(edge, "another trial begins", |shown| shown.tries(&edge.new)).await;
    assert_ne!(id(&again), id(first));
}

/// It is written again as the pods have accepted it.
async fn stays_without_the_config_secret(edge: &Edge) {
    let before = Shown::of(edge).await;
    let secrets = edge.cluster.api::<Secret>();
    eventually_async(SOON, "the pods have accepted it", async || {
        let accepted = secrets.get_opt("edge-mqtts-accepted").await.unwrap()?;
        let text = String::from_utf8(accepted.data?["accepted.yaml"].0.clone()).unwrap();
        let state = accepted
            .metadata
            .annotations?
            .remove("mqtt.smartboot.tech/trials")?;
        (!text.contains("candidate:") && state.contains("rolledBack")).then_some(())
    })
    .await;
    delete(edge, "edge-mqtts").await;
    eventually_async(SOON, "the config Secret is back", async || {
        secrets.get_opt("edge-mqtts").await.unwrap()
    })
    .await;
    edge.cluster.settle().await;
    assert_eq!(Shown::of(edge).await, before);
}
