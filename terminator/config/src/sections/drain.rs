//! `drain`: how a terminator shuts down.
//!
//! It must not delay the end of a terminator without connections.

use std::time::Duration;

use serde::Serialize;

use crate::key::{Defaults, Key, Section, Values, Visitor};
use crate::scalar;

/// How a terminator shuts down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Drain {
    /// From SIGTERM to the end of the last connection; 0 to 1 h.
    #[serde(serialize_with = "scalar::serialize_duration")]
    pub deadline: Duration,
}

impl Drain {
    const DEADLINE: Key<Duration> = Key {
        name: "deadline",
        values: Values::duration((Duration::ZERO, Duration::from_secs(3600))),
        default: || Duration::from_secs(30),
        meaning: "from SIGTERM to the end of the last connection; connections are closed one after the other over \
                  three quarters of it, so that devices do not all return at once",
    };
}

impl Section for Drain {
    const NAME: &'static str = "drain";
    const MEANING: &'static str = "graceful shutdown";

    fn visit(visitor: &mut impl Visitor) -> Self {
        Self {
            deadline: visitor.key(&Self::DEADLINE),
        }
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self::visit(&mut Defaults)
    }
}
