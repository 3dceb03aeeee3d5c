//! Connects to the broker, trying all addresses of its name.
//!
//! It must not exceed its deadline, including name resolution.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mqtt_tls_config::Backend;
use rustix::io::Errno;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, info, warn};

use crate::record::End;
use crate::resolver::{self, Resolver};
use crate::settings::Settings;
use crate::sockets::{self, Peer};
use crate::state::{State, Worker};

/// Errors in connecting to the backend.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to connect to {address}")]
    Connect {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("no address found for the name")]
    NoAddress,
    #[error("failed to resolve the name")]
    Resolve(#[source] resolver::Error),
    #[error("timed out")]
    Timeout,
}

impl Error {
    /// Returns how the error ends a connection.
    pub(crate) fn end(&self) -> End {
        match self {
            Self::Connect { source, .. } => {
                match source.raw_os_error().map(Errno::from_raw_os_error) {
                    // Each connection to an address needs its own local port.
                    Some(Errno::ADDRNOTAVAIL) => End::LocalPortsExhausted,
                    Some(Errno::MFILE | Errno::NFILE) => End::DescriptorsExhausted,
                    _ => End::BackendRefused,
                }
            }
            Self::Resolve(resolver::Error::Timeout) | Self::Timeout => End::BackendTimeout,
            Self::NoAddress | Self::Resolve(_) => End::BackendUnresolved,
        }
    }
}

/// Minimum time between two log lines about outages: devices reconnect by the thousand.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// Whether the backend is reachable, to log only changes.
#[derive(Debug, Default)]
pub(crate) struct Outages {
    is_out: AtomicBool,
    logged: Mutex<Option<std::time::Instant>>,
}

impl Outages {
    /// Records a failure; reports whether to log it.
    pub(crate) fn begin(&self) -> bool {
        self.is_out.store(true, Ordering::Relaxed);
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = logged.is_none_or(|logged| logged.elapsed() >= LOG_EVERY);
        if is_due {
            *logged = Some(std::time::Instant::now());
        }
        is_due
    }

    /// Records a success; reports whether to log it.
    pub(crate) fn end(&self) -> bool {
        // Usually only a relaxed load.
        if !self.is_out.load(Ordering::Relaxed) || !self.is_out.swap(false, Ordering::Relaxed) {
            return false;
        }
        // An outage was logged recently, so log its end too.
        let logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        logged.is_some_and(|logged| logged.elapsed() < LOG_EVERY)
    }
}

/// Connects to the backend, and logs the start and end of outages.
pub(crate) async fn reach(settings: &Settings, worker: &Worker) -> Result<TcpStream, Error> {
    let State {
        outages, resolver, ..
    } = &*worker.state;
    let began = Instant::now();
    let dialed = dial(&settings.backend, resolver, settings.timeouts.dial).await;
    match &dialed {
        Ok(_) => {
            worker.counts().dial_duration.observe(began.elapsed());
            if outages.end() {
                info!(backend = %settings.backend, "backend reachable again");
            }
        }
        Err(error) => {
            let (backend, reason) = (settings.backend.to_string(), error.end().name());
            let cause = std::error::Error::source(error).map(ToString::to_string);
            if outages.begin() {
                warn!(backend, reason, %error, cause, "backend unreachable; closing client connections");
            } else {
                debug!(backend, reason, %error, cause, "backend unreachable");
            }
        }
    }
    dialed
}

async fn dial(
    backend: &Backend,
    resolver: &Arc<Resolver>,
    within: Duration,
) -> Result<TcpStream, Error> {
    let deadline = Instant::now() + within;
    let addresses = resolver.addresses(backend, deadline).await;
    let addresses = addresses.map_err(Error::Resolve)?;
    let mut last = Error::NoAddress;
    for (index, address) in addresses.iter().enumerate() {
        // Divide the time among the addresses, so that an unresponsive one leaves time for the others.
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
