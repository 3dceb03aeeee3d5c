//! Reaching the broker: all addresses of its name are tried.
//!
//! It must not take longer than it is given, name resolution included.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mqtt_tls_config::Backend;
use rustix::io::Errno;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::resolver::{self, Resolver};
use crate::sockets::{self, Peer};

/// Why the backend was not reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{address} did not accept the connection")]
    Connect {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("the name has no address")]
    NoAddress,
    #[error("its addresses are not known")]
    Resolve(#[source] resolver::Error),
    #[error("no answer in time")]
    Timeout,
}

impl Error {
    /// The kind of error, one of a fixed set, as it ends a connection.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Connect { source, .. } => {
                match source.raw_os_error().map(Errno::from_raw_os_error) {
                    // Each connection to one address needs a local port of its own.
                    Some(Errno::ADDRNOTAVAIL) => "local_ports_exhausted",
                    Some(Errno::MFILE | Errno::NFILE) => "descriptors_exhausted",
                    _ => "backend_refused",
                }
            }
            Self::Resolve(resolver::Error::Timeout) | Self::Timeout => "backend_timeout",
            Self::NoAddress | Self::Resolve(_) => "backend_unresolved",
        }
    }
}

/// How often it is told that the backend is not reached: devices come back by the thousand.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Whether the backend is reached, so that the log tells when that changes, and no more.
#[derive(Debug, Default)]
pub(crate) struct Outages {
    is_out: AtomicBool,
    told: Mutex<Option<std::time::Instant>>,
}

impl Outages {
    /// Notes that the backend was not reached; whether that is to be told.
    pub(crate) fn begin(&self) -> bool {
        self.is_out.store(true, Ordering::Relaxed);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = told.is_none_or(|told| told.elapsed() >= TELL_EVERY);
        if is_due {
            *told = Some(std::time::Instant::now());
        }
        is_due
    }

    /// Notes that the backend was reached; whether that is news that is to be told.
    pub(crate) fn end(&self) -> bool {
        // As a rule nothing but a look at a flag.
        if !self.is_out.load(Ordering::Relaxed) || !self.is_out.swap(false, Ordering::Relaxed) {
            return false;
        }
        // The next outage is told at once, unless it comes at once.
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.is_some_and(|told| told.elapsed() < TELL_EVERY)
    }
}

/// Connects to the backend.
pub(crate) async fn dial(
    backend: &Backend,
    resolver: &Arc<Resolver>,
    within: Duration,
) -> Result<TcpStream, Error> {
    let deadline = Instant::now() + within;
    let addresses = resolver.addresses(backend, deadline).await;
    let addresses = addresses.map_err(Error::Resolve)?;
    let mut last = Error::NoAddress;
    for (index, address) in addresses.iter().enumerate() {
        // An address that does not answer must leave the others their share of the time.
        let left = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let now = Instant::now();
        let share = now + deadline.saturating_duration_since(now) / left;
        match timeout_at(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                sockets::tune(&stream, Peer::Backend);
                return Ok(stream);
            }
            Ok(Err(source)) => {
                last = Error::Connect {
                    address: *address,
                    source,
                }
            }
            Err(_) => last = Error::Timeout,
        }
    }
    Err(last)
}
