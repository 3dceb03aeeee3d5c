//! CONNACKs that refuse a client, in its version's form (MQTT 3.1, section 3.2; 3.1.1 and 5.0, section 3.2).
//!
//! It must not answer where the version has no code: there the connection is closed without a CONNACK.

use crate::version::Version;

/// Why a client is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The method of authentication is not allowed.
    BadAuthenticationMethod,
    /// The user name is not the client's, or the password is wrong.
    BadUserNameOrPassword,
    /// The client ID is not the client's, or not allowed.
    ClientIdNotValid,
    /// The CONNECT cannot be parsed.
    Malformed,
    /// The client may not connect.
    NotAuthorized,
    /// The CONNECT is too large.
    PacketTooLarge,
    /// The CONNECT can be parsed and contradicts the specification.
    ProtocolError,
    /// The server cannot serve it now.
    ServerUnavailable,
    /// The version is not supported.
    UnsupportedVersion,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::BadAuthenticationMethod,
        Self::BadUserNameOrPassword,
        Self::ClientIdNotValid,
        Self::Malformed,
        Self::NotAuthorized,
        Self::PacketTooLarge,
        Self::ProtocolError,
        Self::ServerUnavailable,
        Self::UnsupportedVersion,
    ];

    /// Returns the code of MQTT 3.1 and 3.1.1 (table 3.1), if it has one.
    fn return_code(self) -> Option<u8> {
        match self {
            Self::UnsupportedVersion => Some(1),
            Self::ClientIdNotValid => Some(2),
            Self::ServerUnavailable => Some(3),
            Self::BadUserNameOrPassword => Some(4),
            Self::NotAuthorized => Some(5),
            Self::BadAuthenticationMethod
            | Self::Malformed
            | Self::PacketTooLarge
            | Self::ProtocolError => None,
        }
    }

    /// Returns the code of MQTT 5.0 (table 3-1).
    fn reason_code(self) -> u8 {
        match self {
            Self::Malformed => 0x81,
            Self::ProtocolError => 0x82,
            Self::UnsupportedVersion => 0x84,
            Self::ClientIdNotValid => 0x85,
            Self::BadUserNameOrPassword => 0x86,
            Self::NotAuthorized => 0x87,
            Self::ServerUnavailable => 0x88,
            Self::BadAuthenticationMethod => 0x8C,
            Self::PacketTooLarge => 0x95,
        }
    }
}

/// A CONNACK that refuses a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connack {
    bytes: [u8; 5],
    length: usize,
}

impl Connack {
    /// Returns the packet; `None` if the version has no code for the cause.
    pub fn refusing(version: Version, cause: Cause) -> Option<Self> {
        // Type, length, no session present, code; in MQTT 5 no properties.
        Some(match version {
            Version::V31 | Version::V311 => Self {
                bytes: [0x20, 2, 0, cause.return_code()?, 0],
                length: 4,
            },
            Version::V5 => Self {
                bytes: [0x20, 3, 0, cause.reason_code(), 0],
                length: 5,
            },
        })
    }

    /// Returns the bytes to send.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}
