//! A renewed certificate of another root is tried on a share of the devices. The pods are real terminators, and the devices real
//! clients; this test delivers what the operator writes as a kubelet would.

mod any_secret;
mod fleet;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::api::ListParams;
use mqtt_tls_operator::crd::{TrialState, TrialStatus};
use tests::clients::openssl::SClient;
use tests::clients::tls::Connector;
use tests::mqtt;
use tests::pki::{Ca, KeyKind};
use tests::pods::config_of;
use tests::wait::eventually_async;

use crate::fixture::SOON;
use fleet::{Edge, TRIAL, address};

/// Number of devices.
const DEVICES: u32 = 120;

/// One in this many trusts the old root only.
const OLD_EVERY: u32 = 12;

/// Number of addresses from which an attacker comes.
const ATTACKERS: u32 = 1000;

/// Steps of a few seconds.
const QUICK: &str = "{steps: [10, 50, 100], minHandshakes: 40, minStep: 1s, remember: 1h}";

/// Waits until a trial has this state, and returns what the status has of it.
async fn state(edge: &Edge, state: TrialState) -> TrialStatus {
    eventually_async(SOON, &format!("the trial is {state:?}"), async || {
        let status = edge.cluster.listener("edge").await.status?;
        let mut trials = status.trials.into_iter();
        trials.find(|one| one.state == state)
    })
    .await
}

/// Counts the operator's writes by kind.
fn writes(edge: &Edge) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for event in edge.cluster.writes() {
        let object = event.object_ref.expect("it is about an object");
        let kind = [object.resource, object.subresource].join("/");
        *counts.entry(kind).or_default() += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_devices_refuse_is_rolled_back_and_stays_so() {
    let mut edge = Edge::start("refused-trial", QUICK).await;
    let devices = (0..DEVICES).map(|number| {
        if number.is_multiple_of(OLD_EVERY) {
            edge.old_only()
        } else {
            edge.both()
        }
    });
    let devices = devices.collect();
    let devices = edge.connect_again(devices);
    devices.try_again(2).await;
    assert_eq!(devices.worst(), 0);
    edge.renew().await;
    let message = edge.is_rolled_back().await;
    for part in [
        "issuer",
        "handshakes aborted with it (",
        "trial=resume:edge-tls-",
        "skip:edge-tls-",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(devices.worst() <= 3, "{} tries in a row", devices.worst());
    let config = config_of(&edge.cluster.child::<Secret>("edge").await);
    assert!(edge.is_as_before(&config));
    let events = edge.cluster.api::<Event>();
    eventually_async(SOON, "there are events", async || {
        let events = events.list(&ListParams::default()).await.unwrap();
        let has = |reason: &str| {
            let mut events = events.items.iter();
            events.any(|one| one.reason.as_deref() == Some(reason))
        };
        (has("TrialRunning") && has("RolledBack")).then_some(())
    })
    .await;

    // It stays so without its memory, and when others change something.
    edge.cluster.kill_operator();
    edge.cluster.start_operator();
    edge.cluster
        .apply_listener("edge", &format!("  replicas: 3\n  trial: {QUICK}"));
    edge.cluster.wait_until_programmed("edge").await;
    edge.is_rolled_back().await;
    let config = config_of(&edge.cluster.child::<Secret>("edge").await);
    assert!(edge.is_as_before(&config));
    devices.try_again(2).await;
    drop(devices);

    // The devices were mended, and someone wants another try.
    let all = (0..DEVICES).map(|_| edge.both()).collect();
    let mended = edge.connect_again(all);
    let id = state(&edge, TrialState::RolledBack).await.id.unwrap();
    edge.ask(&format!("resume:{id}"));
    edge.is_at_all().await;
    assert_eq!(mended.worst(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_devices_take_reaches_all_by_itself() {
    let mut edge = Edge::start("taken-trial", QUICK).await;
    let devices = (0..DEVICES).map(|_| edge.both()).collect();
    let devices = edge.connect_again(devices);
    edge.renew().await;
    let begun = state(&edge, TrialState::Running).await;
    assert_eq!(begun.fingerprint, Some(edge.new.fingerprint()));
    // What was counted outlives the operator.
    eventually_async(TRIAL, "the second step", async || {
        let status = edge.cluster.listener("edge").await.status?;
        status.trials.iter().find(|one| one.percent == 50).cloned()
    })
    .await;
    edge.cluster.kill_operator();
    edge.cluster.start_operator();
    edge.is_at_all().await;
    assert_eq!(devices.worst(), 0, "no device has noticed it");
    edge.cluster.settle().await;
    let writes = writes(&edge);
    // The first configuration, the trial's begin, two more steps, and its end: each writes the config Secret, and the accepted one once or
    // twice. Some more for counts, and for retries.
    let secrets = writes.get("secrets/").copied().unwrap_or_default();
    assert!((5..=20).contains(&secrets), "{writes:?}");
    // Each of the two pods is marked after each write of the config Secret.
    let pods = writes.get("pods/").copied().unwrap_or_default();
    assert!((2..=2 * secrets).contains(&pods), "{writes:?}");
    println!("{writes:?}");
}

/// As they do behind a load balancer.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_one_pod_has_met_gets_the_previous_certificate_from_all() {
    let trial = "{steps: [50, 100], minStep: 1h, remember: 1h}";
    let edge = Edge::start("met-trial", trial).await;
    edge.renew().await;
    state(&edge, TrialState::Running).await;
    let device = edge.old_only().bound_to(address(1));
    let connect = async |pod| device.connect_mqtt(edge.pod(pod), "device").await;
    eventually_async(SOON, "the first pod shows it the renewed one", async || {
        connect(0).await.is_err().then_some(())
    })
    .await;
    edge.know_a_device();
    for _ in 0..20 {
        connect(1).await.expect("the other pod knows it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attacker_can_hold_a_trial_up_and_nothing_more() {
    let trial = "{steps: [50, 100], minHandshakes: 1000, minStep: 1s, remember: 1h}";
    let edge = Edge::start("attacked-trial", trial).await;
    let devices = (0..DEVICES / 4).map(|_| edge.both()).collect();
    let devices = edge.connect_again(devices);
    edge.renew().await;
    state(&edge, TrialState::Running).await;
    // It trusts none of the CAs, so it aborts each handshake.
    let attacker = Connector::new(&Ca::new("attacker's CA"));
    for number in 0..ATTACKERS {
        let from = attacker.clone().bound_to(address(100_000 + number));
        assert!(from.connect(edge.pod(number)).await.is_err());
    }
    let status = edge.cluster.listener("edge").await.status.unwrap();
    let trial = status
        .trials
        .iter()
        .find(|one| one.state == TrialState::RolledBack);
    assert_eq!(trial, None);
    edge.is_at_all().await;
    assert_eq!(devices.worst(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_decides_about_a_trial_once() {
    let edge = Edge::start("asked-trial", "{minStep: 1h}").await;
    edge.renew().await;
    let first = state(&edge, TrialState::Running).await.id.unwrap();
    edge.ask(&format!("end:{first}"));
    let message = edge.is_rolled_back().await;
    assert!(message.contains("its trial was ended"), "{message}");
    edge.ask(&format!("resume:{first}"));
    let second = state(&edge, TrialState::Running).await.id.unwrap();
    assert_ne!(second, first);
    // The annotation of before is not about this trial.
    edge.cluster.settle().await;
    assert_eq!(
        state(&edge, TrialState::Running).await.id.as_ref(),
        Some(&second)
    );
    edge.ask(&format!("skip:{second}"));
    edge.is_at_all().await;
}

/// A device that can verify ECDSA only would be locked out by an RSA certificate, whichever CA it trusts.
#[tokio::test(flavor = "multi_thread")]
async fn the_status_says_who_cannot_verify_the_renewed_certificate() {
    let mut edge = Edge::start("forecast-trial", "{steps: [50, 100], minStep: 1h}").await;
    edge.new = fleet::leaf(&edge.new_ca).key(KeyKind::Rsa2048).issue();
    for number in 0..2 {
        let device = edge.both().bound_to(address(number));
        let connected = device.connect_mqtt(edge.pod(number), "device").await;
        connected.expect("it can connect");
    }
    let old = |pod| {
        let client = SClient::new(pod, &edge.cluster.ca);
        client
            .args(&["-sigalgs", "ECDSA+SHA256"])
            .run(&mqtt::first_packet())
    };
    let seen = old(edge.pod(0));
    assert!(seen.stdout.contains("Verify return code: 0"), "{seen:?}");
    edge.renew().await;
    eventually_async(SOON, "one of three is forecast", async || {
        let status = edge.cluster.listener("edge").await.status?;
        let mut forecasts = status.trials.iter().map(|one| one.forecast_percent);
        forecasts.any(|percent| percent == Some(34)).then_some(())
    })
    .await;
    // It connects again while the trial is on.
    eventually_async(SOON, "it holds the trial", async || {
        let seen = old(edge.pod(0));
        assert!(seen.stdout.contains("Verify return code: 0"), "{seen:?}");
        let status = edge.cluster.listener("edge").await.status?;
        let held = status
            .trials
            .iter()
            .find(|one| one.state == TrialState::Held);
        held?.unable.filter(|unable| unable.devices == 1)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_trial_all_get_it_at_once() {
    let edge = Edge::start("no-trial", "{strategy: Immediate}").await;
    edge.renew().await;
    edge.is_at_all().await;
}
