//! `admin`: where probes, metrics and status are answered, in plain HTTP.
//!
//! It must not listen on more than loopback unless the file says so.

use std::net::{IpAddr, Ipv4Addr};

use serde::Serialize;

use crate::key::{Defaults, Key, Section, Values, Visitor};

/// Where probes, metrics and status are answered, in plain HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Admin {
    /// The address to listen on.
    pub host: IpAddr,
    /// The TCP port.
    pub port: u16,
    /// Whether the last failed handshakes are kept, for `/handshakes`.
    #[serde(skip_serializing_if = "Admin::has_default_journal")]
    pub journal: bool,
    /// Whether open connections are listed, at `/connections`.
    #[serde(skip_serializing_if = "Admin::has_default_connections")]
    pub connections: bool,
}

impl Admin {
    const HOST: Key<IpAddr> = Key {
        name: "host",
        values: Values::<IpAddr>::ADDRESS,
        default: || IpAddr::V4(Ipv4Addr::LOCALHOST),
        meaning: "the address to listen on",
    };

    const PORT: Key<u16> = Key {
        name: "port",
        values: Values::PORT,
        default: || 9883,
        meaning: "the TCP port to listen on; another than the listener's",
    };

    const JOURNAL: Key<bool> = Key {
        name: "journal",
        values: Values::SWITCH,
        default: || true,
        meaning: "whether the last failed handshakes are kept, for `/handshakes`",
    };

    const CONNECTIONS: Key<bool> = Key {
        name: "connections",
        values: Values::SWITCH,
        default: || false,
        meaning: "whether connections that open are listed at `/connections`, with the names of their clients. It takes about \
                  100 bytes a connection",
    };

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde hands in a reference"
    )]
    fn has_default_journal(value: &bool) -> bool {
        Self::JOURNAL.is_default(value)
    }

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde hands in a reference"
    )]
    fn has_default_connections(value: &bool) -> bool {
        Self::CONNECTIONS.is_default(value)
    }
}

impl Section for Admin {
    const NAME: &'static str = "admin";
    const MEANING: &'static str = "where probes, metrics and status are answered, in plain HTTP";

    fn visit(visitor: &mut impl Visitor) -> Self {
        Self {
            host: visitor.key(&Self::HOST),
            port: visitor.key(&Self::PORT),
            journal: visitor.key(&Self::JOURNAL),
            connections: visitor.key(&Self::CONNECTIONS),
        }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self::visit(&mut Defaults)
    }
}
