//! `backend`: where the plaintext MQTT goes.
//!
//! It must not resolve the name.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::Serialize;

use crate::key::{Defaults, Key, Section, Values, Visitor};

/// Where the plaintext MQTT goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Backend {
    /// A DNS name or an IP address, at most 253 characters.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl Backend {
    const HOST: Key<String> = Key {
        name: "host",
        values: Values::<String>::HOST,
        default: || Ipv4Addr::LOCALHOST.to_string(),
        meaning: "the broker's DNS name or IP address; resolved at most once a second while clients connect",
    };

    const PORT: Key<u16> = Key {
        name: "port",
        values: Values::PORT,
        default: || 1883,
        meaning: "the broker's plaintext MQTT port",
    };
}

impl Section for Backend {
    const NAME: &'static str = "backend";
    const MEANING: &'static str = "the smart-mqtt broker";

    fn visit(visitor: &mut impl Visitor) -> Self {
        Self {
            host: visitor.key(&Self::HOST),
            port: visitor.key(&Self::PORT),
        }
    }
}

impl Default for Backend {
    fn default() -> Self {
        Self::visit(&mut Defaults)
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.parse::<Ipv6Addr>().is_ok() {
            return write!(f, "[{}]:{}", self.host, self.port);
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}
