//! Why something could not be fetched: as an error, and as one of a fixed set. It must not include what the server sent.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Errors in fetching.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The name leads to an address that must not be asked.
    #[error(
        "{0} is an address of the node or of its cloud, which is not asked; use a server in the network"
    )]
    Address(IpAddr),
    #[error("failed to connect to {address}")]
    Connect {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    /// The answer is no HTTP, or ends before its length.
    #[error("the server's answer is incomplete, or is not HTTP")]
    Http(#[source] hyper::Error),
    #[error("the name has no address")]
    NoAddress,
    #[error("the server redirects to {0}; use that URL, if it is right")]
    Redirect(String),
    #[error("failed to resolve the name")]
    Resolve(#[source] io::Error),
    #[error("the server answers with status {0}")]
    Status(u16),
    #[error("the server did not {what} within {} s", .within.as_secs_f64())]
    Timeout {
        what: &'static str,
        within: Duration,
    },
    #[error("the TLS handshake failed")]
    Tls(#[source] io::Error),
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
}

/// Why something could not be fetched; one of a fixed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Address,
    Connect,
    Http,
    Redirect,
    Resolve,
    Status,
    Timeout,
    Tls,
    TooLarge,
}

impl Reason {
    /// All of them, by name.
    pub(crate) const ALL: [Self; 9] = [
        Self::Address,
        Self::Connect,
        Self::Http,
        Self::Redirect,
        Self::Resolve,
        Self::Status,
        Self::Timeout,
        Self::Tls,
        Self::TooLarge,
    ];

    /// As metrics and status have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Address => "AddressRefused",
            Self::Connect => "ConnectFailed",
            Self::Http => "HTTPFailed",
            Self::Redirect => "Redirected",
            Self::Resolve => "ResolveFailed",
            Self::Status => "StatusNotOK",
            Self::Timeout => "TimedOut",
            Self::Tls => "TLSFailed",
            Self::TooLarge => "TooLarge",
        }
    }
}

impl Reason {
    /// Returns the description for the reference.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Address => "the URL leads to an address of the node or of its cloud",
            Self::Connect => "the server does not accept the connection",
            Self::Http => "the answer is incomplete, or is not HTTP",
            Self::Redirect => "the server redirects to another URL",
            Self::Resolve => "the name has no address, or cannot be resolved",
            Self::Status => "the status of the answer is not 200",
            Self::Timeout => "the server is too slow, or does not answer",
            Self::Tls => {
                "the TLS handshake failed, perhaps because the server's certificate does not chain to `ca`"
            }
            Self::TooLarge => "the answer is too large",
        }
    }
}

impl Error {
    /// Returns the reason, one of a fixed set.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Address(_) => Reason::Address,
            Self::Connect { .. } => Reason::Connect,
            Self::Http(_) => Reason::Http,
            Self::NoAddress | Self::Resolve(_) => Reason::Resolve,
            Self::Redirect(_) => Reason::Redirect,
            Self::Status(_) => Reason::Status,
            Self::Timeout { .. } => Reason::Timeout,
            Self::Tls(_) => Reason::Tls,
            Self::TooLarge(_) => Reason::TooLarge,
        }
    }
}
