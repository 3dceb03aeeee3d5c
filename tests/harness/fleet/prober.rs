//! Periodic handshakes with several addresses: when each certificate was first served there, and every handshake that
//! failed. It sends no MQTT, and closes each connection with close_notify.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::report::Phase;
use super::tls::{client_config, server_name, shake_hands};
use crate::pki::fingerprint;
use crate::wait::eventually_async;

/// Probes until it is dropped.
pub struct Prober {
    addresses: Vec<SocketAddr>,
    seen: Arc<Mutex<Seen>>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Seen {
    first: BTreeMap<(SocketAddr, String), Instant>,
    failures: Vec<ProbeFailure>,
    handshakes: u64,
}

/// A handshake that failed.
#[derive(Clone, Debug)]
pub struct ProbeFailure {
    /// The address.
    pub address: SocketAddr,
    /// Time of the failure.
    pub at: Instant,
    /// The step that failed.
    pub phase: Phase,
    /// The cause, as in [`super::Incident::kind`].
    pub kind: String,
}

impl Prober {
    /// Starts probing each address at the interval `every`, one probe at a time. Certificates are verified with the
    /// bundle `ca_pem` and `name`.
    pub fn start(addresses: Vec<SocketAddr>, name: &str, ca_pem: &str, every: Duration) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let config = client_config(ca_pem);
        let name = server_name(name);
        let mut tasks = JoinSet::new();
        for &address in &addresses {
            let (seen, config, name) = (Arc::clone(&seen), Arc::clone(&config), name.clone());
            tasks.spawn(async move {
                let mut beat = interval(every);
                beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
                let to = address.to_string();
                loop {
                    beat.tick().await;
                    let done = shake_hands(&to, name.clone(), Arc::clone(&config)).await;
                    let at = Instant::now();
                    match done {
                        Err(failure) => lock(&seen).failures.push(ProbeFailure {
                            address,
                            at,
                            phase: failure.phase,
                            kind: failure.kind,
                        }),
                        Ok(mut stream) => {
                            let certs = stream.get_ref().1.peer_certificates().unwrap_or_default();
                            let leaf = certs.first().map(|leaf| fingerprint(leaf));
                            lock(&seen).note(address, leaf.unwrap_or_default(), at);
                            // A failure to close does not matter here.
                            let _ = stream.shutdown().await;
                        }
                    }
                }
            });
        }
        Self {
            addresses,
            seen,
            _tasks: tasks,
        }
    }

    /// When a handshake at this address first presented the leaf with this fingerprint.
    pub fn first_served(&self, address: SocketAddr, fingerprint: &str) -> Option<Instant> {
        let key = (address, fingerprint.to_owned());
        lock(&self.seen).first.get(&key).copied()
    }

    /// When all addresses had served a leaf; None until then.
    pub fn all_served(&self, fingerprint: &str) -> Option<Instant> {
        let first = self.addresses.iter();
        let first = first.map(|&address| self.first_served(address, fingerprint));
        first.collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    /// Waits for [`Prober::all_served`].
    pub async fn wait_all_served(&self, fingerprint: &str, within: Duration) -> Instant {
        let what = format!("{:?} serve {fingerprint}", self.addresses);
        eventually_async(within, &what, async || self.all_served(fingerprint)).await
    }

    /// All failed handshakes so far, in order of time.
    pub fn failures(&self) -> Vec<ProbeFailure> {
        lock(&self.seen).failures.clone()
    }

    /// Number of successful handshakes so far.
    pub fn handshakes(&self) -> u64 {
        lock(&self.seen).handshakes
    }
}

impl Seen {
    fn note(&mut self, address: SocketAddr, fingerprint: String, at: Instant) {
        self.handshakes += 1;
        self.first.entry((address, fingerprint)).or_insert(at);
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns a percentile by nearest rank: one of the values themselves. Panics if there are none.
pub fn percentile(values: &[Duration], percent: usize) -> Duration {
    assert!(!values.is_empty(), "no values");
    assert!((1..=100).contains(&percent), "{percent} %");
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted[rank - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_value_at_the_nearest_rank() {
        let values: Vec<_> = [15, 20, 35, 40, 50].map(Duration::from_millis).into();
        for (percent, expected) in [(5, 15), (30, 20), (40, 20), (50, 35), (99, 50), (100, 50)] {
            let found = percentile(&values, percent);
            assert_eq!(found, Duration::from_millis(expected), "{percent} %");
        }
        assert_eq!(percentile(&values[..1], 50), values[0]);
    }

    #[tokio::test]
    async fn all_served_needs_each_address() {
        let prober = Prober::start(
            vec![],
            "localhost",
            &crate::pki::Ca::new("ca").cert_pem(),
            Duration::MAX,
        );
        let (one, other) = (([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into());
        let prober = Prober {
            addresses: vec![one, other],
            ..prober
        };
        let (early, late) = (Instant::now(), Instant::now() + Duration::from_secs(1));
        lock(&prober.seen).note(other, "leaf".to_owned(), late);
        assert_eq!(prober.all_served("leaf"), None);
        lock(&prober.seen).note(one, "leaf".to_owned(), early);
        assert_eq!(prober.all_served("leaf"), Some(late));
        assert_eq!(prober.all_served("other"), None);
    }
}
