//! Versions of MQTT, by protocol name and level.
//!
//! It must not accept a level under another version's name.

use std::fmt;

use crate::error::Error;
use crate::header::NAMES;

/// Bit of the protocol level that bridges set (mosquitto and others do; no specification has it). It is kept.
const BRIDGE: u8 = 0x80;

/// A version of MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// MQTT 3.1: `MQIsdp`, level 3.
    V31,
    /// MQTT 3.1.1: `MQTT`, level 4.
    V311,
    /// MQTT 5.0: `MQTT`, level 5.
    V5,
}

impl Version {
    /// Returns the version, and whether the client is a bridge.
    pub(crate) fn of(name: &[u8], level: u8) -> Result<(Self, bool), Error> {
        let version = match level & !BRIDGE {
            3 if name == NAMES[1] => Self::V31,
            4 if name == NAMES[0] => Self::V311,
            5 if name == NAMES[0] => Self::V5,
            _ => return Err(Error::Version(level)),
        };
        Ok((version, level & BRIDGE != 0))
    }

    /// Returns the version in whose form a client of an unknown level is answered: levels above 4 are the future's, and
    /// the form of a CONNACK changed with level 5.
    pub(crate) fn of_answer(level: u8) -> Self {
        if level & !BRIDGE > 4 {
            Self::V5
        } else {
            Self::V311
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V31 => "3.1",
            Self::V311 => "3.1.1",
            Self::V5 => "5.0",
        })
    }
}
