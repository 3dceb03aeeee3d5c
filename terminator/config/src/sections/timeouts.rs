//! `timeouts`: how long each phase of a connection may take.
//!
//! It must not hold for open connections: a change applies to new ones.

use std::time::Duration;

use serde::Serialize;

use crate::key::{Defaults, Key, Section, Values, Visitor};
use crate::scalar;

/// How long each phase of a connection may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeouts {
    /// From accept to the end of the handshake; 100 ms to 10 min.
    #[serde(serialize_with = "scalar::serialize_duration")]
    pub handshake: Duration,
    /// From the end of the handshake to the end of the client's CONNECT; 100 ms to 10 min. The backend is
    /// dialled after it.
    #[serde(
        serialize_with = "scalar::serialize_duration",
        skip_serializing_if = "Timeouts::has_default_first_packet"
    )]
    pub first_packet: Duration,
    /// Resolving the backend and connecting to it, all addresses together; 100 ms to 10 min.
    #[serde(serialize_with = "scalar::serialize_duration")]
    pub dial: Duration,
    /// How long one direction may outlive the other; 100 ms to 1 h.
    #[serde(serialize_with = "scalar::serialize_duration")]
    pub half_close: Duration,
}

impl Timeouts {
    /// Bounds of `handshake`, `firstPacket` and `dial`.
    pub const PHASE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(600));

    /// Bounds of `halfClose`.
    pub const HALF_CLOSE_RANGE: (Duration, Duration) =
        (Duration::from_millis(100), Duration::from_secs(3600));

    const HANDSHAKE: Key<Duration> = Key {
        name: "handshake",
        values: Values::duration(Self::PHASE),
        default: || Duration::from_secs(30),
        meaning: "from accept to the end of the handshake",
    };

    const FIRST_PACKET: Key<Duration> = Key {
        name: "firstPacket",
        values: Values::duration(Self::PHASE),
        default: || Duration::from_secs(20),
        meaning: "from the end of the handshake to the end of the client's CONNECT",
    };

    const DIAL: Key<Duration> = Key {
        name: "dial",
        values: Values::duration(Self::PHASE),
        default: || Duration::from_secs(5),
        meaning: "resolving the backend and connecting to it, all addresses together",
    };

    const HALF_CLOSE: Key<Duration> = Key {
        name: "halfClose",
        values: Values::duration(Self::HALF_CLOSE_RANGE),
        default: || Duration::from_secs(30),
        meaning: "how long one direction may outlive the other without moving a byte",
    };

    fn has_default_first_packet(value: &Duration) -> bool {
        Self::FIRST_PACKET.is_default(value)
    }
}

impl Section for Timeouts {
    const NAME: &'static str = "timeouts";
    const MEANING: &'static str =
        "how long each phase of a connection may take; a change applies to new connections";

    fn visit(visitor: &mut impl Visitor) -> Self {
        Self {
            handshake: visitor.key(&Self::HANDSHAKE),
            first_packet: visitor.key(&Self::FIRST_PACKET),
            dial: visitor.key(&Self::DIAL),
            half_close: visitor.key(&Self::HALF_CLOSE),
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self::visit(&mut Defaults)
    }
}
