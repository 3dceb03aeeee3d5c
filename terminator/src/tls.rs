//! TLS: what is served, the ClientHello before rustls sees it, the handshake, and a session afterwards.
//!
//! It must not know the backend. Nothing else in this crate knows rustls.

pub(crate) mod failure;
pub(crate) mod handshake;
pub(crate) mod hello;
pub(crate) mod inbound;
pub(crate) mod names;
pub(crate) mod refused;
mod served;
pub(crate) mod session;

pub(crate) use self::served::{ClientTrust, Error, Served};
