//! TLS: the server configurations, the ClientHello before rustls sees it, the handshake, and the session.
//!
//! It must not know the backend. No other module of this crate uses rustls.

pub(crate) mod again;
mod by_name;
pub(crate) mod client;
mod drawn;
pub(crate) mod failure;
pub(crate) mod handshake;
pub(crate) mod hello;
pub(crate) mod inbound;
pub(crate) mod names;
pub(crate) mod policy;
pub(crate) mod refused;
mod served;
pub(crate) mod session;
pub(crate) mod tickets;
mod trust;

pub(crate) use self::by_name::Candidate;
pub(crate) use self::served::{Error, Offering, Served};
pub(crate) use self::trust::{ClientTrust, Trust};
