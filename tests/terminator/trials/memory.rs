//! Who has refused the candidate gets the current certificate from then on: here at once, and at other terminators by the file.

use std::time::Duration;

use mqtt_tls_config::{AVOIDED_MAX, Avoided, Tickets};
use rustls::HandshakeKind;
use rustls::version::{TLS12, TLS13};
use serde_json::json;
use tests::clients::tls::Connector;
use tests::hello::Hello;

use super::aborts::hear;
use super::{Got, ID, REMEMBER, Trying, loopback, now, trial};

/// Returns devices that no terminator has seen.
fn strangers(count: usize, until: u64) -> Vec<Avoided> {
    let keys = (1..).take(count);
    keys.map(|key| Avoided { key, until }).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_trusts_the_old_root_only_is_out_for_one_try() {
    let one = Trying::start(10_000).await;
    for (count, version) in (1..).zip([&TLS12, &TLS13]) {
        let before = now();
        let device = Connector::build(&one.fixture.ca, None, &[version]);
        one.is_refused_by(&device, count).await;
        for _ in 0..3 {
            assert_eq!(one.connect(&device).await.unwrap(), Got::Current);
        }
        one.wait_for("/candidate/confirmed", count);
        let newest = one.avoided()[0].until;
        let expected = before + u64::from(REMEMBER)..=now() + u64::from(REMEMBER);
        assert!(expected.contains(&newest), "{newest} {expected:?}");
    }
    let shown = one.shown();
    // In TLS 1.3 tokio-rustls disconnects without an alert, as small stacks and modems do.
    assert_eq!(shown["alerts"], json!({"cut": 1, "unknown_ca": 1}));
    let failed: serde_json::Value =
        serde_json::from_str(&one.fixture.get("/handshakes").1).unwrap();
    assert_eq!(
        (&failed[0]["candidate"], &failed[1]["candidate"]),
        (&json!(ID), &json!(ID))
    );
    let current = json!({"served": 0, "aborted": 0, "confirmed": 0});
    assert_eq!(
        shown["counts"][0]["current"], current,
        "who is avoided is not drawn"
    );
    assert_eq!(
        (&shown["held"], &shown["full"]),
        (&json!(false), &json!(false))
    );

    // Another terminator has the same certificates, and the same keys of devices.
    let other = Trying::start_with(super::broker().await, 10_000, |config| {
        config.pem = one.fixture.config.pem.clone();
        config.candidate.clone_from(&one.fixture.config.candidate);
    });
    other.follow(10_000, one.avoided());
    for version in [&TLS12, &TLS13] {
        let device = Connector::build(&one.fixture.ca, None, &[version]);
        let connected = device.connect_mqtt(other.fixture.addr(), "device").await;
        assert_eq!(connected.unwrap().server_cert(), one.fixture.leaf.cert_der);
    }
    assert!(other.avoided().is_empty(), "it has found none itself");
    assert!(other.counts().is_null(), "{}", other.shown());
}

/// It has a session that began with the candidate, and would see that again without a handshake that says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_remembered_resumes_no_session() {
    let trying = Trying::start_with(super::broker().await, 10_000, |config| {
        config.timeouts.first_packet = Duration::from_millis(500);
        config.tls.tickets = Tickets::All;
    });
    for (count, version) in (1..).zip([&TLS12, &TLS13]) {
        let cas = [&trying.fixture.ca, &trying.new_ca];
        let device = |address| Connector::build_of(&cas, None, &[version]).bound_to(address);
        let content = device(loopback(1));
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let client = content.connect_mqtt(trying.fixture.addr(), "a").await;
            let client = client.unwrap();
            assert_eq!(client.session().handshake_kind(), Some(kind));
            assert_eq!(trying.got(&client), Got::Candidate);
        }
        // It checks afterwards: it reads its ticket, and sends nothing.
        let wary = device(loopback(2));
        let mut client = wary.connect(trying.fixture.addr()).await.unwrap();
        client.read_to_end().await;
        trying.wait_for("/candidate/aborted", count);
        for share in [10_000, 0] {
            trying.follow(share, Vec::new());
            let client = wary.connect_mqtt(trying.fixture.addr(), "b").await;
            let client = client.unwrap();
            assert_eq!(trying.got(&client), Got::Current, "share {share}");
        }
        trying.follow(10_000, Vec::new());
    }
}

/// Behind one address devices are distinguished as far as their TLS stacks differ.
#[tokio::test(flavor = "multi_thread")]
async fn two_stacks_behind_one_address_are_two_devices() {
    let trying = Trying::start(10_000).await;
    let stack = |device: Connector, name: &str| {
        let name = name.as_bytes().to_vec();
        device.configure(|config| config.alpn_protocols = vec![name])
    };
    trying.is_refused_by(&stack(trying.old(), "a"), 1).await;
    let good = stack(trying.both(), "b");
    assert_eq!(trying.connect(&good).await.unwrap(), Got::Candidate);
    let same = stack(trying.both(), "a");
    assert_eq!(trying.connect(&same).await.unwrap(), Got::Current);
    // With many of them, all devices at the address are avoided.
    for count in 2..=17 {
        let device = stack(trying.old(), &format!("c{count}"));
        trying.is_refused_by(&device, count).await;
    }
    assert_eq!(trying.avoided().len(), 1, "one entry for all");
    assert_eq!(trying.connect(&good).await.unwrap(), Got::Current);
    let elsewhere = good.bound_to(loopback(1));
    assert_eq!(trying.connect(&elsewhere).await.unwrap(), Got::Candidate);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_table_holds_the_trial_and_forgets_no_device() {
    let trying = Trying::start(10_000).await;
    trying.is_refused_by(&trying.old(), 1).await;
    let (fresh, soon) = (trying.both().bound_to(loopback(1)), now() + 1_000);
    trying.follow(10_000, strangers(AVOIDED_MAX - 2, soon));
    assert_eq!(trying.shown()["held"], false);
    assert_eq!(trying.connect(&fresh).await.unwrap(), Got::Candidate);
    trying.follow(10_000, strangers(AVOIDED_MAX - 1, soon));
    assert_eq!(trying.shown()["held"], true);
    assert_eq!(trying.connect(&fresh).await.unwrap(), Got::Current);
    assert_eq!(trying.connect(&trying.old()).await.unwrap(), Got::Current);
    assert!(trying.fixture.metric("mqtt_tls_trials_held") > 0.5);
    // They have ended.
    trying.follow(10_000, strangers(AVOIDED_MAX, now() - 1));
    assert_eq!(trying.shown()["held"], false);
    assert_eq!(trying.connect(&fresh).await.unwrap(), Got::Candidate);
    assert_eq!(
        trying.connect(&trying.old()).await.unwrap(),
        Got::Current,
        "it is still remembered"
    );
}

/// Who aborts everything from many addresses can hold a trial up, and nothing more.
#[tokio::test(flavor = "multi_thread")]
async fn an_attacker_from_many_addresses_harms_no_device() {
    const ADDRESSES: u32 = 400;
    let trying = Trying::start(5_000).await;
    let mut failed_in_a_row = 0;
    let device = trying.old();
    for address in 0..ADDRESSES {
        drop(hear(&trying, loopback(address), &Hello::default()).await);
        if address % 20 == 0 {
            match trying.connect(&device).await {
                Ok(got) => {
                    assert_eq!(got, Got::Current);
                    failed_in_a_row = 0;
                }
                Err(_) => failed_in_a_row += 1,
            }
            assert!(failed_in_a_row < 2, "it is out for one try");
        }
    }
    let counted = |counts: &serde_json::Value, count: &str| -> u64 {
        ["current", "candidate"]
            .map(|arm| counts[arm][count].as_u64().unwrap_or(0))
            .iter()
            .sum()
    };
    tests::wait::eventually(crate::fixture::SOON, "all are counted", || {
        (counted(&trying.counts(), "aborted") >= ADDRESSES.into()).then_some(())
    });
    let counts = trying.counts();
    assert!(
        counted(&counts, "aborted") <= u64::from(ADDRESSES) + 1,
        "{counts}"
    );
    assert!(
        counted(&counts, "confirmed") <= 1,
        "no attacker is taken for a device: {counts}"
    );
    let avoided = trying.avoided();
    assert!(avoided.len() > 100, "{counts}");
    // From a full table on, all get the current certificate.
    let others = strangers(AVOIDED_MAX - avoided.len(), now() + 1_000);
    trying.follow(10_000, [avoided, others].concat());
    assert_eq!(trying.shown()["held"], true);
    let fresh = trying.old().bound_to(loopback(70_000));
    assert_eq!(trying.connect(&fresh).await.unwrap(), Got::Current);
}

/// A file that leaves a trial out ends it, and one that brings it back goes on with what this terminator knows.
#[tokio::test(flavor = "multi_thread")]
async fn a_trial_survives_reloads() {
    let trying = Trying::start(10_000).await;
    trying.is_refused_by(&trying.old(), 1).await;
    trying.follow(0, Vec::new());
    let generation = trying.fixture.terminator.status().configuration.generation;
    let mut config = trying.fixture.config.clone();
    config.version = Some("another".to_owned());
    trying.fixture.rewrite(&config);
    trying.fixture.wait_for_generation(generation + 1);
    assert_eq!(trying.connect(&trying.both()).await.unwrap(), Got::Current);
    trying.follow(10_000, Vec::new());
    assert_eq!(trying.connect(&trying.old()).await.unwrap(), Got::Current);
    trying.wait_for("/candidate/confirmed", 1);
    assert_eq!(trying.shown()["share"], trial(10_000, Vec::new()).share);
}
