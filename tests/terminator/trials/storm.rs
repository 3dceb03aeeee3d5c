//! A fleet that reconnects again and again while the share rises to all: devices that cannot take the candidate are out for one try.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tests::clients::tls::Connector;
use tests::wait::eventually_async;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{Got, Trying, broker, loopback};
use crate::fixture::SOON;

const DEVICES: u32 = 500;

/// How often a device reconnects.
const PERIOD: Duration = Duration::from_millis(500);

/// One in this many trusts the old root only: 3 %.
const OLD_EVERY: u32 = 33;

/// What became of a device's tries.
#[derive(Debug, Default)]
struct Tries {
    failed_in_a_row: AtomicU32,
    most_failed: AtomicU32,
    done: AtomicU32,
}

async fn reconnect(
    device: Connector,
    addr: std::net::SocketAddr,
    tries: Arc<Tries>,
    is_over: Arc<AtomicBool>,
) {
    while !is_over.load(Ordering::Relaxed) {
        if device.connect_mqtt(addr, "device").await.is_ok() {
            tries.failed_in_a_row.store(0, Ordering::Relaxed);
        } else {
            let failed = tries.failed_in_a_row.fetch_add(1, Ordering::Relaxed) + 1;
            tries.most_failed.fetch_max(failed, Ordering::Relaxed);
        }
        tries.done.fetch_add(1, Ordering::Relaxed);
        sleep(PERIOD).await;
    }
}

fn done(tries: &Tries) -> u32 {
    tries.done.load(Ordering::Relaxed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_loses_no_device_while_the_share_rises() {
    let trying = Trying::start_with(broker().await, 0, |_| {});
    let is_over = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    let is_old = |number: u32| number.is_multiple_of(OLD_EVERY);
    let fleet: Vec<Arc<Tries>> = (0..DEVICES)
        .map(|number| {
            let device = if is_old(number) {
                trying.old()
            } else {
                trying.both()
            };
            let tries = Arc::<Tries>::default();
            let device = device.bound_to(loopback(number));
            let addr = trying.fixture.addr();
            tasks.spawn(reconnect(
                device,
                addr,
                Arc::clone(&tries),
                Arc::clone(&is_over),
            ));
            tries
        })
        .collect();
    for share in [100, 500, 2_500, 10_000] {
        trying.follow(share, trying.avoided());
        // Each device has begun two tries or more under this share.
        let before: Vec<u32> = fleet.iter().map(|one| done(one)).collect();
        eventually_async(SOON, "each device has tried again", async || {
            let mut fleet = fleet.iter().zip(&before);
            fleet
                .all(|(one, before)| done(one) >= before + 3)
                .then_some(())
        })
        .await;
    }
    is_over.store(true, Ordering::Relaxed);
    tasks.join_all().await;
    for (number, tries) in (0..).zip(&fleet) {
        let most = tries.most_failed.load(Ordering::Relaxed);
        let allowed = u32::from(is_old(number));
        assert!(
            most <= allowed,
            "device {number} has failed {most} times in a row"
        );
    }
    let old = (0..DEVICES).filter(|number| is_old(*number)).count();
    assert_eq!(
        trying.avoided().len(),
        old,
        "each has met the candidate once"
    );
    let shown = trying.shown();
    let mut aborted = [0, 0];
    for one in shown["counts"].as_array().unwrap() {
        for (sum, arm) in aborted.iter_mut().zip(["current", "candidate"]) {
            *sum += one[arm]["aborted"].as_u64().unwrap();
        }
    }
    assert_eq!(aborted, [0, u64::try_from(old).unwrap()], "{shown}");
    assert_eq!(
        trying.connect(&trying.both()).await.unwrap(),
        Got::Candidate
    );
}
