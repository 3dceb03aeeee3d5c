//! From the backend's name to its addresses. What was found holds for a second, one lookup runs at a time, and where
//! DNS is silent or fails, the addresses that were found last are used: a lost packet must not cost a device its
//! connection, nor a crowd of devices the cluster its DNS.
//!
//! It must not connect.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mqtt_tls_config::Backend;
use tokio::time::{Instant, timeout_at};

/// How long what was found is used without asking again.
const FRESH: Duration = Duration::from_secs(1);

/// How long DNS is waited for where older addresses are known. glibc asks again after 5 s, which is all the time that
/// a dial has.
const PATIENCE: Duration = Duration::from_millis(500);

/// Why there are no addresses.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the name could not be resolved")]
    Failed(#[source] io::Error),
    #[error("the name was not resolved in time")]
    Timeout,
}

/// What is known of the backend's name, for all threads.
#[derive(Debug, Default)]
pub(crate) struct Resolver {
    found: Mutex<Option<Found>>,
    /// Held by the lookup that runs.
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Clone, Debug)]
struct Found {
    backend: Backend,
    addresses: Vec<SocketAddr>,
    at: Instant,
}

impl Resolver {
    /// The backend's addresses: found just now, a moment ago, or, where DNS does not answer, before.
    pub(crate) async fn addresses(
        self: &Arc<Self>,
        backend: &Backend,
        deadline: Instant,
    ) -> Result<Vec<SocketAddr>, Error> {
        if let Ok(address) = backend.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, backend.port)]);
        }
        let known = self.known(backend);
        if let Some(known) = known.as_ref().filter(|known| known.is_fresh()) {
            return Ok(known.addresses.clone());
        }
        let until = match known {
            Some(_) => deadline.min(Instant::now() + PATIENCE),
            None => deadline,
        };
        let found = timeout_at(until, self.look_up(backend)).await;
        match (found.unwrap_or(Err(Error::Timeout)), known) {
            (Err(_), Some(known)) => Ok(known.addresses),
            (found, _) => found,
        }
    }

    /// Asks DNS, one lookup at a time. A lookup goes on when no caller waits for it any more, and its result is kept.
    async fn look_up(self: &Arc<Self>, backend: &Backend) -> Result<Vec<SocketAddr>, Error> {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        if let Some(known) = self.known(backend).filter(Found::is_fresh) {
            return Ok(known.addresses);
        }
        let (resolver, backend) = (Arc::clone(self), backend.clone());
        let looked_up = tokio::spawn(async move {
            let found = tokio::net::lookup_host((backend.host.as_str(), backend.port)).await;
            let addresses: Vec<SocketAddr> = found.map(Iterator::collect)?;
            if !addresses.is_empty() {
                resolver.keep(backend, addresses.clone());
            }
            drop(turn);
            Ok(addresses)
        });
        let found = looked_up.await.map_err(io::Error::other);
        found.and_then(|found| found).map_err(Error::Failed)
    }

    fn known(&self, backend: &Backend) -> Option<Found> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found
            .as_ref()
            .filter(|found| found.backend == *backend)
            .cloned()
    }

    fn keep(&self, backend: Backend, addresses: Vec<SocketAddr>) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        *found = Some(Found {
            backend,
            addresses,
            at: Instant::now(),
        });
    }
}

impl Found {
    fn is_fresh(&self) -> bool {
        self.at.elapsed() < FRESH
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use mqtt_tls_config::Backend;
    use tokio::time::Instant;

    use super::{FRESH, Resolver};

    fn backend(host: &str) -> Backend {
        Backend {
            host: host.to_owned(),
            port: 1883,
        }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    /// A name that never exists (RFC 6761, section 6.4).
    const NOBODY: &str = "backend.invalid";

    #[tokio::test]
    async fn what_was_found_before_is_used_where_dns_fails() {
        let resolver = Arc::new(Resolver::default());
        let nobody = backend(NOBODY);
        assert!(resolver.addresses(&nobody, soon()).await.is_err());
        let address = ([192, 0, 2, 1], 1883).into();
        resolver.keep(nobody.clone(), vec![address]);
        let mut found = resolver.found.lock().unwrap().clone().unwrap();
        found.at = found.at.checked_sub(FRESH * 2).unwrap();
        *resolver.found.lock().unwrap() = Some(found);
        assert_eq!(
            resolver.addresses(&nobody, soon()).await.unwrap(),
            [address]
        );
        // Not for another name, nor for another port of the same one.
        let other = backend("other.invalid");
        assert!(resolver.addresses(&other, soon()).await.is_err());
    }

    #[tokio::test]
    async fn what_was_found_a_moment_ago_is_not_asked_for_again() {
        let resolver = Arc::new(Resolver::default());
        let address = ([192, 0, 2, 1], 1883).into();
        // It cannot come from DNS.
        resolver.keep(backend(NOBODY), vec![address]);
        let found = resolver.addresses(&backend(NOBODY), soon()).await;
        assert_eq!(found.unwrap(), [address]);
    }

    #[tokio::test]
    async fn a_lookup_that_nobody_waits_for_is_finished_and_kept() {
        let resolver = Arc::new(Resolver::default());
        let backend = backend("localhost");
        let given_up = resolver.addresses(&backend, Instant::now()).await;
        // It may have been quick.
        drop(given_up);
        // The next lookup waits for it, and uses its result.
        let found = resolver.addresses(&backend, soon()).await.unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback()));
    }
}
