//! `tls`: what TLS offers beyond its versions, suites and groups, which are fixed.
//!
//! It must not offer anything that would weaken TLS.

use serde::Serialize;

use crate::key::{Defaults, Key, Section, Values, Visitor};

/// What TLS offers beyond its versions, suites and groups, which are fixed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tls {
    /// Which clients get session tickets.
    pub tickets: Tickets,
}

/// Which clients get session tickets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Tickets {
    /// None: each handshake is a full one.
    None,
    /// Clients of TLS 1.2. Tickets of TLS 1.3 carry a nonce of 32 bytes here, and small stacks (wolfSSL)
    /// have room for 8: their handshake succeeds, and each read after it fails.
    #[default]
    Tls12,
    /// All clients.
    All,
}

impl Tls {
    const TICKETS: Key<Tickets> = Key {
        name: "tickets",
        values: Values::named(&[
            ("None", Tickets::None),
            ("Tls12", Tickets::Tls12),
            ("All", Tickets::All),
        ]),
        default: Tickets::default,
        meaning: "which clients get session tickets, to resume their sessions with. wolfSSL, as a rule, cannot read \
                  those of TLS 1.3",
    };
}

impl Section for Tls {
    const NAME: &'static str = "tls";
    const MEANING: &'static str =
        "what TLS offers beyond its versions, suites and groups, which are fixed";

    fn visit(visitor: &mut impl Visitor) -> Self {
        Self {
            tickets: visitor.key(&Self::TICKETS),
        }
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self::visit(&mut Defaults)
    }
}
