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
use tracing::{debug, info, warn};

use crate::record::End;
use crate::resolver::{self, Resolver};
use crate::settings::Settings;
use crate::sockets::{self, Peer};
use crate::state::{State, Worker};

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
    /// How it ends a connection.
    pub(crate) fn end(&self) -> End {
        match self {
            Self::Connect { source, .. } => {
                match source.raw_os_error().map(Errno::from_raw_os_error) {
                    // Each connection to one address needs a local port of its own.
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

/// Connects to the backend, and notes when that begins to fail, and when it works again.
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
                info!(backend = %settings.backend, "the backend is reached again");
            }
        }
        Err(error) => {
            let (backend, reason) = (settings.backend.to_string(), error.end().name());
            let cause = std::error::Error::source(error).map(ToString::to_string);
            if outages.begin() {
                warn!(backend, reason, %error, cause, "the backend is not reached, and its clients are sent away");
            } else {
                debug!(backend, reason, %error, cause, "the backend is not reached");
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
