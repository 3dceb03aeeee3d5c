//! Devices that connect once a second, each time with a full handshake and an MQTT CONNECT, and what became of their tries. It must not
//! decide which failures are right.

use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rustls::HandshakeKind;
use rustls::client::Resumption;
use tests::clients::tls::Connector;
use tests::mqtt;
use tests::pki::Ca;
use tests::wait::eventually_async;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::cluster::SOON;
use crate::listener::{Edge, HOST};
use crate::place::Owner;

/// How often each device connects.
const PERIOD: Duration = Duration::from_secs(1);

/// Number of failures that a report shows.
const SHOWN_MAX: usize = 5;

/// A group of devices. Dropping it ends them.
pub(super) struct Devices {
    all: Vec<Arc<Mutex<Tries>>>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// What became of a device's tries.
#[derive(Default)]
struct Tries {
    done: usize,
    failed: Vec<String>,
    failed_in_a_row: usize,
    worst: usize,
    /// The certificate of the last handshake.
    served: Vec<u8>,
}

/// The tries of a group since the report before.
#[derive(Default)]
pub(super) struct Report {
    pub(super) done: usize,
    pub(super) failed: usize,
    /// The most failures in a row of a device.
    pub(super) worst: usize,
    failures: Vec<String>,
}

impl Devices {
    /// Starts the devices with these numbers, which trust these CAs. Their tries are spread over the second.
    pub(super) fn start(edge: &Edge, numbers: Range<u16>, cas: &[&Ca]) -> Self {
        let any = Connector::trusting(cas).server_name(HOST);
        let any = any.configure(|config| config.resumption = Resumption::disabled());
        let address = edge.address("edge");
        let mut devices = Self {
            all: Vec::new(),
            stop: watch::Sender::new(false),
            tasks: JoinSet::new(),
        };
        let number_of = numbers.len();
        edge.cluster.block_on(async {
            let begun = Instant::now();
            for (index, number) in (0..).zip(numbers) {
                let connector = distinct(edge, any.clone(), number);
                let first = begun + index * PERIOD / u32::try_from(number_of).unwrap();
                let tries = Arc::<Mutex<Tries>>::default();
                devices.all.push(Arc::clone(&tries));
                let stop = devices.stop.subscribe();
                let id = format!("device-{number}");
                let device = connect_again(connector, address, id, first, tries, stop);
                devices.tasks.spawn(device);
            }
        });
        devices
    }

    /// Waits until each device has begun and ended two tries.
    pub(super) async fn have_tried(&self) {
        let done = || self.all.iter().map(|one| lock(one).done);
        let before: Vec<usize> = done().collect();
        eventually_async(SOON, "each device has tried again", async || {
            // The first of three may have begun before.
            let mut counts = done().zip(&before);
            counts.all(|(now, before)| now >= before + 3).then_some(())
        })
        .await;
    }

    /// Returns the number of devices to which this certificate was served last.
    pub(super) fn served(&self, leaf: &[u8]) -> usize {
        let devices = self.all.iter();
        devices.filter(|one| lock(one).served == leaf).count()
    }

    /// Returns the tries since the last report.
    pub(super) fn report(&self) -> Report {
        let mut report = Report::default();
        for (number, one) in self.all.iter().enumerate() {
            let mut tries = lock(one);
            let taken = std::mem::take(&mut *tries);
            report.done += taken.done;
            report.failed += taken.failed.len();
            report.worst = report.worst.max(taken.worst);
            let failures = taken.failed.iter();
            report
                .failures
                .extend(failures.map(|why| format!("device {number}: {why}")));
            // A row goes on.
            *tries = Tries {
                failed_in_a_row: taken.failed_in_a_row,
                worst: taken.failed_in_a_row,
                served: taken.served,
                ..Tries::default()
            };
        }
        report
    }

    /// Ends all devices after the try that each is at.
    pub(super) async fn stop(self) {
        self.stop.send_replace(true);
        self.tasks.join_all().await;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            done,
            failed,
            worst,
            failures,
        } = self;
        write!(
            f,
            "{failed} of {done} tries failed, at most {worst} in a row of a device"
        )?;
        for failure in failures.iter().take(SHOWN_MAX) {
            write!(f, "\n  {failure}")?;
        }
        Ok(())
    }
}

/// Makes a device that terminators know from others: on the local node by its address. In a cluster of a user, addresses are not this
/// machine's choice, and each device has its own kind of TLS stack.
fn distinct(edge: &Edge, connector: Connector, number: u16) -> Connector {
    match &edge.cluster.place.owner {
        Owner::Local(node) => connector.bound_to(node.visitor(number)),
        Owner::Context => connector.configure(|config| {
            config.alpn_protocols = vec![format!("x-device-{number}").into_bytes()];
        }),
    }
}

async fn connect_again(
    connector: Connector,
    address: SocketAddr,
    id: String,
    first: Instant,
    tries: Arc<Mutex<Tries>>,
    stop: watch::Receiver<bool>,
) {
    let mut beat = interval_at(first, PERIOD);
    // One that was late does not hurry, as devices do not either.
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !*stop.borrow() {
        beat.tick().await;
        let outcome = connect(&connector, address, &id).await;
        let mut tries = lock(&tries);
        tries.done += 1;
        match outcome {
            Ok(served) => {
                tries.served = served;
                tries.failed_in_a_row = 0;
            }
            Err(error) => {
                tries.failed.push(error.to_string());
                tries.failed_in_a_row += 1;
                tries.worst = tries.worst.max(tries.failed_in_a_row);
            }
        }
    }
}

/// Connects once, and returns the certificate that was served.
async fn connect(connector: &Connector, addr: SocketAddr, id: &str) -> std::io::Result<Vec<u8>> {
    let mut client = connector.connect_mqtt(addr, id).await?;
    assert_ne!(
        client.session().handshake_kind(),
        Some(HandshakeKind::Resumed),
        "a resumed session shows no certificate"
    );
    client.send(&mqtt::DISCONNECT).await?;
    Ok(client.server_cert())
}

fn lock(tries: &Mutex<Tries>) -> MutexGuard<'_, Tries> {
    tries.lock().expect("no holder of the lock panics")
}
