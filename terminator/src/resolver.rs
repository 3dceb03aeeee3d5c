//! Resolves the backend's name. Results are cached for a second, one lookup runs at a time, and if DNS fails or
//! does not answer, the last known addresses are used: a lost packet must not cost a device its connection, and
//! many devices must not overload the cluster's DNS.
//!
//! It must not connect.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mqtt_tls_config::Backend;
use tokio::time::{Instant, timeout_at};

/// Time for which addresses are used without a new lookup.
const FRESH: Duration = Duration::from_secs(1);

/// Time to wait for DNS if older addresses are known. glibc retries after 5 s, the default timeout of a dial.
const PATIENCE: Duration = Duration::from_millis(500);

/// Errors in resolving the name.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("lookup failed")]
    Failed(#[source] io::Error),
    #[error("lookup timed out")]
    Timeout,
}

/// Cached addresses of the backend, shared by all threads.
#[derive(Debug, Default)]
pub(crate) struct Resolver {
    found: Mutex<Option<Found>>,
    /// Held by the running lookup.
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Clone, Debug)]
struct Found {
    backend: Backend,
    addresses: Vec<SocketAddr>,
    at: Instant,
}

impl Resolver {
    /// Returns the backend's addresses: cached, looked up, or, if DNS fails, the last known ones.
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

    /// Looks the name up, one lookup at a time. A lookup continues after its callers are gone, and its result
    /// is cached.
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
    const MISSING: &str = "backend.invalid";

    #[tokio::test]
    async fn last_known_addresses_are_used_if_dns_fails() {
        let resolver = Arc::new(Resolver::default());
        let missing = backend(MISSING);
        assert!(resolver.addresses(&missing, soon()).await.is_err());
        let address = ([192, 0, 2, 1], 1883).into();
        resolver.keep(missing.clone(), vec![address]);
        let mut found = resolver.found.lock().unwrap().clone().unwrap();
        found.at = found.at.checked_sub(FRESH * 2).unwrap();
        *resolver.found.lock().unwrap() = Some(found);
        assert_eq!(
            resolver.addresses(&missing, soon()).await.unwrap(),
            [address]
        );
        // Not for another name or port.
        let other = backend("other.invalid");
        assert!(resolver.addresses(&other, soon()).await.is_err());
    }

    #[tokio::test]
    async fn fresh_addresses_are_not_looked_up_again() {
        let resolver = Arc::new(Resolver::default());
        let address = ([192, 0, 2, 1], 1883).into();
        // The name does not exist, so the address cannot come from DNS.
        resolver.keep(backend(MISSING), vec![address]);
        let found = resolver.addresses(&backend(MISSING), soon()).await;
        assert_eq!(found.unwrap(), [address]);
    }

    #[tokio::test]
    async fn an_abandoned_lookup_finishes_and_is_cached() {
        let resolver = Arc::new(Resolver::default());
        let backend = backend("localhost");
        let given_up = resolver.addresses(&backend, Instant::now()).await;
        // The lookup may have succeeded or timed out.
        drop(given_up);
        // The next lookup waits for it, and uses its result.
        let found = resolver.addresses(&backend, soon()).await.unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback()));
    }
}
