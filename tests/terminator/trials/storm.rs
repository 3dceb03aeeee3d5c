//! A fleet that reconnects again and again while the share rises to all: devices that cannot take the candidate are out for one try.

use std::time::Duration;

use tests::clients::again::Devices;

use super::{Got, Trying, broker, loopback};

const DEVICES: u32 = 500;

/// How often a device reconnects.
const PERIOD: Duration = Duration::from_millis(500);

/// One in this many trusts the old root only: 3 %.
const OLD_EVERY: u32 = 33;

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_loses_no_device_while_the_share_rises() {
    let trying = Trying::start_with(broker().await, 0, |_| {});
    let is_old = |number: u32| number.is_multiple_of(OLD_EVERY);
    let devices = (0..DEVICES).map(|number| {
        let device = if is_old(number) {
            trying.old()
        } else {
            trying.both()
        };
        device.bound_to(loopback(number))
    });
    let mut devices = Devices::start(devices, &[trying.fixture.addr()], PERIOD);
    for share in [100, 500, 2_500, 10_000] {
        trying.follow(share, trying.avoided());
        // Each device has begun two tries or more under this share.
        devices.try_again(3).await;
    }
    devices.stop().await;
    for (number, most) in (0..).zip(devices.most_failed()) {
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
