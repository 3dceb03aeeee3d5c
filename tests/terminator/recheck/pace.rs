//! How fast: closes keep to a rate, and judging many clients delays no one.

use std::time::{Duration, Instant};

use super::{Connected, Judging};

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_closed_at_the_rate_that_is_configured() {
    let rate = 4;
    let judging = Judging::start(
        |ca| ca.crl(&[]),
        |config| config.limits.recheck_closes = rate,
    )
    .await;
    let bad = judging.device("bad");
    let mut connected = Vec::new();
    for _ in 0..9 {
        connected.push(judging.connect(&bad).await);
    }
    let mut stays = judging.connect(&judging.device("good")).await;
    let revoked = Instant::now();
    judging.list(&judging.devices.crl(&[&bad]));
    let closed: Vec<_> = connected
        .into_iter()
        .map(|one| tokio::spawn(one.ends()))
        .collect();
    for one in closed {
        one.await.unwrap();
    }
    // The first one may be closed at once, and each thread may have a time of its own in store.
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let steps = u32::try_from(9_usize.saturating_sub(threads)).unwrap();
    let at_least = Duration::from_secs(1) * steps / rate;
    assert!(revoked.elapsed() >= at_least, "{:?}", revoked.elapsed());
    stays.lives().await;
    judging.wait_for("revoked", 9.0);
    judging.wait_for("ok", 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_are_judged_while_others_are_served() {
    const CLIENTS: usize = 500;
    let judging = Judging::start(|ca| ca.crl(&[]), |config| config.limits.connections = 1000).await;
    let (device, other) = (judging.device("device"), judging.device("other"));
    let mut connected: Vec<Connected> = Vec::with_capacity(CLIENTS);
    for _ in 0..CLIENTS {
        connected.push(judging.connect(&device).await);
    }
    judging.list(&judging.devices.crl(&[&other]));
    let judged = || {
        let line = "mqtt_tls_certificates_rechecked_total{outcome=\"ok\"}";
        judging.fixture.metric(line)
    };
    let mut index = 0;
    while judged() < 499.5 {
        connected[index % CLIENTS].lives().await;
        index += 1;
    }
    judging
        .fixture
        .wait_for_metric("mqtt_tls_certificates_to_recheck", 0.0);
    for one in &mut connected {
        one.lives().await;
    }
    assert!(judging.closed() < 0.5);
    judging.wait_for("ok", 500.0);
}
