//! `limits`: how many connections there may be, over all threads.
//!
//! It must not close open connections when a limit is lowered.

use serde::Serialize;

use crate::key::{Defaults, Key, Section, Values, Visitor};

/// How many connections there may be, over all threads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Maximum number of open connections; 1 to 10,000,000.
    pub connections: u32,
    /// Maximum number of clients in the stages before their CONNECT; 1 to 1,000,000.
    pub handshakes: u32,
    /// Maximum size of a CONNECT with names from certificates, in bytes; 1,024 to 1,048,576.
    #[serde(skip_serializing_if = "Limits::has_default_connect_bytes")]
    pub connect_bytes: u32,
    /// Maximum number of connections that are closed in a second because their client's certificate is not accepted any more;
    /// 1 to 10,000.
    #[serde(skip_serializing_if = "Limits::has_default_recheck_closes")]
    pub recheck_closes: u32,
}

impl Limits {
    /// Bounds of `connections`.
    pub const CONNECTIONS_RANGE: (u32, u32) = (1, 10_000_000);

    /// Bounds of `handshakes`.
    pub const HANDSHAKES_RANGE: (u32, u32) = (1, 1_000_000);

    /// Bounds of `connectBytes`.
    pub const CONNECT_BYTES_RANGE: (u32, u32) = (1024, 1024 * 1024);

    /// Bounds of `recheckCloses`.
    pub const RECHECK_CLOSES_RANGE: (u32, u32) = (1, 10_000);

    const CONNECTIONS: Key<u32> = Key {
        name: "connections",
        values: Values::count(Self::CONNECTIONS_RANGE),
        default: || 250_000,
        meaning: "connections open at once, counted from their CONNECT",
    };

    const HANDSHAKES: Key<u32> = Key {
        name: "handshakes",
        values: Values::count(Self::HANDSHAKES_RANGE),
        default: || 8192,
        meaning: "clients at once that are silent, in their ClientHello, in their handshake, or before their \
                  CONNECT; beyond that, the oldest of the addresses that hold many places are evicted",
    };

    const CONNECT_BYTES: Key<u32> = Key {
        name: "connectBytes",
        values: Values::count(Self::CONNECT_BYTES_RANGE),
        default: || 64 * 1024,
        meaning: "with `identity`, size of a CONNECT in bytes, its will included; a client that announces a larger one is \
                  refused. All CONNECTs that are held and have more than 16 KiB take 64 MiB at most; beyond that, the oldest of \
                  the addresses that hold many are evicted. Without `identity`, a CONNECT of more than 16 KiB passes as it \
                  arrives",
    };

    const RECHECK_CLOSES: Key<u32> = Key {
        name: "recheckCloses",
        values: Values::count(Self::RECHECK_CLOSES_RANGE),
        default: || 100,
        meaning: "connections closed in a second, over all threads, because their client's certificate is not accepted any more \
                  when it is judged again; the others wait",
    };

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde hands in a reference"
    )]
    fn has_default_connect_bytes(value: &u32) -> bool {
        Self::CONNECT_BYTES.is_default(value)
    }

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde hands in a reference"
    )]
    fn has_default_recheck_closes(value: &u32) -> bool {
        Self::RECHECK_CLOSES.is_default(value)
    }
}

impl Section for Limits {
    const NAME: &'static str = "limits";
    const MEANING: &'static str =
        "how many connections there may be; a change closes no open connection";

    fn visit(visitor: &mut impl Visitor) -> Self {
        Self {
            connections: visitor.key(&Self::CONNECTIONS),
            handshakes: visitor.key(&Self::HANDSHAKES),
            connect_bytes: visitor.key(&Self::CONNECT_BYTES),
            recheck_closes: visitor.key(&Self::RECHECK_CLOSES),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::visit(&mut Defaults)
    }
}
