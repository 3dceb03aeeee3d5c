//! Connects to the broker, trying all addresses of its name.
//!
//! It must not exceed its deadline, including name resolution.

pub(crate) mod health;
pub(crate) mod known;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mqtt_tls_config::Backend;
use rustix::io::Errno;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, info, warn};

use crate::end::End;
use crate::resolver::{self, Resolver};
use crate::settings::Settings;
use crate::settings::hosts::Target;
use crate::sockets::{self, Peer};
use crate::state::Worker;
use known::Known;
use mqtt_tls_program::error::chain;

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

/// Connects to a backend for a client; also returns what is known of the backend.
pub(crate) async fn reach(
    target: &Target,
    settings: &Settings,
    worker: &Worker,
) -> Result<(TcpStream, Arc<Known>), Error> {
    let began = Instant::now();
    let dialed = attempt(target, settings.timeouts.dial).await;
    if dialed.is_ok() {
        worker.counts().dial_duration.observe(began.elapsed());
    }
    dialed.map(|stream| (stream, Arc::clone(&target.known)))
}

/// Connects to the backend, keeps its health, and logs the start and end of outages.
pub(crate) async fn attempt(target: &Target, within: Duration) -> Result<TcpStream, Error> {
    let Target { backend, known } = target;
    let Known { health, resolver } = &**known;
    let dialed = dial(backend, resolver, within).await;
    match &dialed {
        Ok(_) => {
            if health.end() {
                info!(%backend, "backend reachable again");
            }
        }
        Err(error) => {
            let (backend, reason) = (backend.to_string(), error.end().name());
            let cause = std::error::Error::source(error).map(ToString::to_string);
            if health.begin(|| chain(error)) {
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
