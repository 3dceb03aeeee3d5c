//! Devices that reconnect again and again, and a broker's stand-in that answers them, for tests of what devices notice. It must not
//! decide how many failures are right.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::tls::Connector;
use crate::mqtt;
use crate::wait::eventually_async;

/// Upper bound for a few tries of each device.
const SOON: Duration = Duration::from_secs(30);

/// What became of a device's tries.
#[derive(Debug, Default)]
struct Tries {
    failed_in_a_row: AtomicU32,
    most_failed: AtomicU32,
    done: AtomicU32,
}

/// Devices that reconnect until it is dropped; then each ends the try that it is at.
pub struct Devices {
    tries: Vec<Arc<Tries>>,
    tasks: Vec<JoinHandle<()>>,
    is_over: Arc<AtomicBool>,
}

impl Drop for Devices {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

impl Devices {
    /// Lets devices connect to these addresses in turn, with a pause after each try.
    pub fn start(
        devices: impl IntoIterator<Item = Connector>,
        addrs: &[SocketAddr],
        pause: Duration,
    ) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (mut tries, mut tasks) = (Vec::new(), Vec::new());
        for device in devices {
            let one = Arc::<Tries>::default();
            tries.push(Arc::clone(&one));
            let (addrs, is_over) = (addrs.to_vec(), Arc::clone(&is_over));
            tasks.push(tokio::spawn(async move {
                for addr in addrs.into_iter().cycle() {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    one.record(device.connect_mqtt(addr, "device").await.is_ok());
                    sleep(pause).await;
                }
            }));
        }
        Self {
            tries,
            tasks,
            is_over,
        }
    }

    /// Returns how often each device has failed in a row, at most.
    pub fn most_failed(&self) -> Vec<u32> {
        let tries = self.tries.iter();
        tries
            .map(|one| one.most_failed.load(Ordering::Relaxed))
            .collect()
    }

    /// Returns how often a device has failed in a row, at most.
    pub fn worst(&self) -> u32 {
        self.most_failed().into_iter().max().unwrap_or_default()
    }

    /// Waits until each has ended so many tries more; the first of them may have begun before.
    pub async fn try_again(&self, times: u32) {
        let done = |one: &Arc<Tries>| one.done.load(Ordering::Relaxed);
        let before: Vec<u32> = self.tries.iter().map(done).collect();
        eventually_async(SOON, "each device tries again", async || {
            let mut all = self.tries.iter().zip(&before);
            all.all(|(one, before)| done(one) >= before + times)
                .then_some(())
        })
        .await;
    }

    /// Ends all devices after the tries that they are at.
    pub async fn stop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for task in self.tasks.drain(..) {
            task.await.expect("no device panics");
        }
    }
}

impl Tries {
    fn record(&self, is_served: bool) {
        if is_served {
            self.failed_in_a_row.store(0, Ordering::Relaxed);
        } else {
            let failed = self.failed_in_a_row.fetch_add(1, Ordering::Relaxed) + 1;
            self.most_failed.fetch_max(failed, Ordering::Relaxed);
        }
        self.done.fetch_add(1, Ordering::Relaxed);
    }
}

/// Starts a stand-in of a broker that answers each packet with a CONNACK, for as long as the test's runtime lives.
pub async fn answering() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a loopback port is free");
    let addr = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut packet = [0; 1024];
                while client.read(&mut packet).await.is_ok_and(|count| count > 0) {
                    if client.write_all(&[mqtt::CONNACK, 2, 0, 0]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    addr
}
