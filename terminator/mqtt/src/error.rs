//! Why a CONNECT is refused: as an error with details, and as one of a fixed set for metrics.
//!
//! It must not include what the client sent, but for numbers.

use std::fmt;

use crate::connack::Cause;

/// A field of a CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Client identifier.
    ClientId,
    /// Connect flags.
    Flags,
    /// Keep alive.
    KeepAlive,
    /// Password.
    Password,
    /// Properties of MQTT 5.
    Properties,
    /// Protocol name and level.
    Protocol,
    /// User name.
    UserName,
    /// Payload of the will.
    WillPayload,
    /// Properties of the will.
    WillProperties,
    /// Topic of the will.
    WillTopic,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClientId => "client ID",
            Self::Flags => "connect flags",
            Self::KeepAlive => "keep alive",
            Self::Password => "password",
            Self::Properties => "properties",
            Self::Protocol => "protocol name and level",
            Self::UserName => "user name",
            Self::WillPayload => "will payload",
            Self::WillProperties => "will properties",
            Self::WillTopic => "will topic",
        })
    }
}

/// Errors in a CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A field goes beyond the end of the packet.
    #[error("the CONNECT ends within its {0}")]
    CutShort(Field),
    /// A property that may occur once occurs again.
    #[error("the CONNECT has property {0:#04x} twice")]
    DuplicateProperty(u8),
    /// A text is not UTF-8.
    #[error("the {0} of the CONNECT is not UTF-8")]
    IllFormed(Field),
    /// The length has more than four digits.
    #[error("the length of the CONNECT is not a valid variable byte integer")]
    Length,
    /// A text has U+0000.
    #[error("the {0} of the CONNECT contains U+0000")]
    Nul(Field),
    /// The packet is of another type, or has reserved flags.
    #[error("the client's first packet is not a CONNECT")]
    NotConnect,
    /// A password without a user name, which MQTT 5 alone allows.
    #[error("the CONNECT has a password without a user name, which MQTT 5 alone allows")]
    PasswordWithoutUserName,
    /// The length of properties has more than four digits, or more than it needs.
    #[error("the length of the properties of the CONNECT is not a valid variable byte integer")]
    PropertiesLength,
    /// A property has a value that it cannot have.
    #[error("the CONNECT has an invalid value in property {0:#04x}")]
    PropertyValue(u8),
    /// The protocol name is unknown.
    #[error("the protocol name of the CONNECT is neither MQTT nor MQIsdp")]
    ProtocolName,
    /// Bit 0 of the connect flags is set.
    #[error("the CONNECT sets the reserved connect flag")]
    ReservedFlag,
    /// The packet is too large.
    #[error("the client announces a CONNECT of {size} bytes; the maximum is {most}")]
    TooLarge {
        /// Size of the packet, in bytes.
        size: usize,
        /// Maximum, in bytes.
        most: usize,
    },
    /// Bytes follow the last field.
    #[error("the CONNECT has {0} bytes after its last field")]
    TrailingBytes(usize),
    /// A property does not exist, or not here.
    #[error("the CONNECT has property {0:#04x}, which does not belong there")]
    UnknownProperty(u8),
    /// The version is not supported.
    #[error("the protocol level {0} of the CONNECT is not one of MQTT 3.1, 3.1.1 and 5.0")]
    Version(u8),
    /// The will's QoS is 3, or there is a QoS or retain flag without a will.
    #[error("the CONNECT has will flags that contradict each other")]
    WillFlags,
}

/// Why a CONNECT is refused; one of a fixed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Flags that no CONNECT has.
    BadFlags,
    /// A length that does not fit.
    BadLength,
    /// A property that does not belong there.
    BadProperty,
    /// A text that is not UTF-8, or has U+0000.
    BadText,
    /// Not a CONNECT.
    NotMqtt,
    /// Too large.
    TooLarge,
    /// A version that is not supported.
    UnsupportedVersion,
}

impl Reason {
    /// All of them, by name.
    pub const ALL: [Self; 7] = [
        Self::BadFlags,
        Self::BadLength,
        Self::BadProperty,
        Self::BadText,
        Self::NotMqtt,
        Self::TooLarge,
        Self::UnsupportedVersion,
    ];

    /// Returns the metric label.
    pub fn name(self) -> &'static str {
        match self {
            Self::BadFlags => "bad_flags",
            Self::BadLength => "bad_length",
            Self::BadProperty => "bad_property",
            Self::BadText => "bad_text",
            Self::NotMqtt => "not_mqtt",
            Self::TooLarge => "too_large",
            Self::UnsupportedVersion => "unsupported_version",
        }
    }

    /// Returns the description for the reference.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::BadFlags => {
                "reserved or contradictory connect flags, or a password without a user name before MQTT 5"
            }
            Self::BadLength => {
                "a length in the CONNECT does not fit: it ends within a field, or bytes follow the last one"
            }
            Self::BadProperty => {
                "a property of MQTT 5 that is unknown, occurs twice or has an invalid value"
            }
            Self::BadText => {
                "a client ID, user name, will topic or property that is not UTF-8 or contains U+0000"
            }
            Self::NotMqtt => "the client's first packet is not a CONNECT",
            Self::TooLarge => "the CONNECT exceeds the size limit",
            Self::UnsupportedVersion => "a version other than MQTT 3.1, 3.1.1 and 5.0",
        }
    }
}

impl Error {
    /// Returns the reason, one of a fixed set.
    pub fn reason(&self) -> Reason {
        match self {
            Self::CutShort(_) | Self::Length | Self::PropertiesLength | Self::TrailingBytes(_) => {
                Reason::BadLength
            }
            Self::DuplicateProperty(_) | Self::PropertyValue(_) | Self::UnknownProperty(_) => {
                Reason::BadProperty
            }
            Self::IllFormed(_) | Self::Nul(_) => Reason::BadText,
            Self::NotConnect | Self::ProtocolName => Reason::NotMqtt,
            Self::PasswordWithoutUserName | Self::ReservedFlag | Self::WillFlags => {
                Reason::BadFlags
            }
            Self::TooLarge { .. } => Reason::TooLarge,
            Self::Version(_) => Reason::UnsupportedVersion,
        }
    }

    /// Reports whether it is in the fields behind the version, which the broker reads as well.
    pub fn is_in_fields(&self) -> bool {
        !matches!(
            self,
            Self::CutShort(Field::Protocol)
                | Self::Length
                | Self::NotConnect
                | Self::ProtocolName
                | Self::TooLarge { .. }
                | Self::Version(_)
        )
    }

    /// Returns what a CONNACK says about it.
    pub fn cause(&self) -> Cause {
        match self {
            Self::DuplicateProperty(_) | Self::PropertyValue(_) => Cause::ProtocolError,
            Self::TooLarge { .. } => Cause::PacketTooLarge,
            Self::ProtocolName | Self::Version(_) => Cause::UnsupportedVersion,
            _ => Cause::Malformed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Reason;

    #[test]
    fn reasons_are_sorted() {
        let names = Reason::ALL.map(Reason::name);
        assert!(names.is_sorted_by(|one, next| one < next), "{names:?}");
    }
}
