//! The sections of the file, one a module: their keys, with bounds, defaults and meanings.
//!
//! A new key is a field, a [`Key`](crate::key::Key) and a line in `visit`, all in its section's module.

mod admin;
mod alpn;
mod backend;
mod candidate;
mod client_auth;
mod crls;
mod drain;
mod host;
mod identity;
mod limits;
mod protocol;
mod suites;
mod timeouts;
mod tls;

pub use admin::Admin;
pub use alpn::{ALPN_NAME_LENGTH_MAX, ALPN_PROTOCOLS_MAX, Alpn, AlpnProtocol, HostTls};
pub use backend::Backend;
pub use candidate::Candidate;
pub use client_auth::{
    CLIENT_RULES_MAX, ClientAuth, ClientAuthMode, ClientRule, Revocation, RevocationCheck,
    RuleField, RuleMatching, WhenUnknown,
};
pub(crate) use crls::repeated;
pub use crls::{CRLS_MAX, CrlUrl, URL_LENGTH_MAX};
pub use drain::Drain;
pub(crate) use host::conflict;
pub use host::{Host, SharedNames, UnknownNames, are_same_names};
pub use identity::{Identity, IdentityMode, Mismatch, Naming, NamingAction, WithoutCertificate};
pub use limits::Limits;
pub use protocol::Protocol;
pub use suites::{Group, Suite, TlsVersion};
pub use timeouts::Timeouts;
pub use tls::{Conflict, Tickets, Tls};

/// Reports whether a section has its defaults, and need not be written.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
