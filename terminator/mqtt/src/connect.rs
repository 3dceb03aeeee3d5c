//! Reads a CONNECT: by its fixed header and protocol name while it arrives, and each field once it is there.
//!
//! It must not accept a packet that two readers could read differently, since the broker reads it again. What has one
//! meaning is left to the broker: topics, passwords, whether a client ID may be empty. It must not allocate.

use crate::connack::Connack;
use crate::cursor::Cursor;
use crate::error::{Error, Field};
use crate::header::{self, CONNECT, Integer};
use crate::properties;
use crate::version::Version;

// Connect flags (MQTT 5.0, section 3.1.2.3).
const RESERVED: u8 = 0x01;
const CLEAN_START: u8 = 0x02;
const WILL: u8 = 0x04;
const WILL_QOS: u8 = 0x18;
const WILL_RETAIN: u8 = 0x20;
pub(crate) const PASSWORD: u8 = 0x40;
pub(crate) const USER_NAME: u8 = 0x80;

/// What the first bytes of a client are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress<'b> {
    /// Part of a CONNECT, of which at least so many bytes are missing.
    Partial(usize),
    /// A CONNECT; more data may follow it.
    Connect(Connect<'b>),
    /// Not a CONNECT, or one that is refused. More bytes do not change that.
    Refused(Refused),
}

/// A CONNECT that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub error: Error,
    /// Its version, if that is known.
    pub version: Option<Version>,
}

impl Refused {
    /// Returns the answer to the client; `None` if its version has none.
    pub fn connack(&self) -> Option<Connack> {
        let version = match self.error {
            Error::Version(level) => Some(Version::of_answer(level)),
            _ => self.version,
        };
        Connack::refusing(version?, self.error.cause())
    }
}

/// A CONNECT. Its texts are UTF-8 without U+0000.
#[derive(Clone, PartialEq, Eq)]
pub struct Connect<'b> {
    /// The packet.
    pub(crate) packet: &'b [u8],
    /// Position behind the fixed header.
    pub(crate) body_at: usize,
    /// Position of the connect flags.
    pub(crate) flags_at: usize,
    /// Position behind the client ID.
    pub(crate) client_id_end: usize,
    /// Position at which the user name is or would be.
    pub(crate) user_name_at: usize,
    /// Version of MQTT.
    pub version: Version,
    /// Whether the protocol level has the bit of bridges.
    pub is_bridge: bool,
    /// Clean start; clean session before MQTT 5.
    pub clean_start: bool,
    /// Keep alive, in seconds; 0 for none.
    pub keep_alive: u16,
    /// Properties without their length; `None` before MQTT 5.
    pub properties: Option<&'b [u8]>,
    /// Whether it begins enhanced authentication (MQTT 5.0, section 4.12), which may bring another user name.
    pub authenticates: bool,
    /// Client ID; may be empty.
    pub client_id: &'b str,
    /// Will.
    pub will: Option<Will<'b>>,
    /// User name; may be empty.
    pub user_name: Option<&'b str>,
    /// Password.
    pub password: Option<&'b [u8]>,
}

/// A will.
#[derive(Clone, PartialEq, Eq)]
pub struct Will<'b> {
    /// Quality of service, 0 to 2.
    pub qos: u8,
    /// Whether the broker retains it.
    pub retain: bool,
    /// Properties without their length; `None` before MQTT 5.
    pub properties: Option<&'b [u8]>,
    /// Topic.
    pub topic: &'b str,
    /// Payload.
    pub payload: &'b [u8],
}

impl Connect<'_> {
    /// Returns the number of bytes of the packet, its fixed header included. What follows is the rest of the stream.
    pub fn size(&self) -> usize {
        self.packet.len()
    }
}

// By hand: no password, no will, no text from outside.
impl std::fmt::Debug for Connect<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connect({}, {} bytes)", self.version, self.size())
    }
}

impl std::fmt::Debug for Will<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Will({} bytes)", self.payload.len())
    }
}

/// Reads the first bytes of a client. `most` is the maximum size of the packet, in bytes. While the packet arrives, it
/// costs the same for each call, whatever has arrived.
pub fn read(bytes: &[u8], most: usize) -> Progress<'_> {
    let mut version = None;
    match try_read(bytes, most, &mut version) {
        Ok(progress) => progress,
        Err(error) => Progress::Refused(Refused { error, version }),
    }
}

/// Returns the version of a CONNECT that may still arrive, once its protocol level is there.
pub fn version(bytes: &[u8]) -> Option<Version> {
    let mut version = None;
    // An error does not concern the version.
    let _ = try_read(bytes, usize::MAX, &mut version);
    version
}

fn try_read<'b>(
    bytes: &'b [u8],
    most: usize,
    version: &mut Option<Version>,
) -> Result<Progress<'b>, Error> {
    let Some((first, rest)) = bytes.split_first() else {
        return Ok(Progress::Partial(2));
    };
    if *first != CONNECT {
        return Err(Error::NotConnect);
    }
    // Small clients reserve digits, also in MQTT 5, which forbids it ([MQTT-1.5.5-1]): each reader reads the same.
    let (remaining, digits) = match header::integer(rest) {
        Integer::Partial => return Ok(Progress::Partial(1)),
        Integer::TooLong => return Err(Error::Length),
        Integer::Whole(remaining, digits) => (remaining, digits),
    };
    let (header, size) = (1 + digits, 1 + digits + remaining);
    let arrived = &bytes[..size.min(bytes.len())];
    let protocol = protocol(&arrived[header..]);
    if let Ok(Some((_, (known, _)))) = protocol {
        *version = Some(known);
    }
    let Some((length, protocol)) = protocol? else {
        return match size - arrived.len() {
            0 => Err(Error::CutShort(Field::Protocol)),
            missing => Ok(Progress::Partial(missing)),
        };
    };
    // Only now is the version of the answer known.
    if size > most {
        return Err(Error::TooLarge { size, most });
    }
    match size - arrived.len() {
        0 => fields(arrived, header, header + length, protocol).map(Progress::Connect),
        missing => Ok(Progress::Partial(missing)),
    }
}

/// Number of bytes of name and level, and what they say.
type Protocol = (usize, (Version, bool));

/// Reads protocol name and level; `None` if there are too few bytes.
fn protocol(bytes: &[u8]) -> Result<Option<Protocol>, Error> {
    let name = match header::protocol(bytes) {
        header::Protocol::Named(name) => name,
        header::Protocol::Other => return Err(Error::ProtocolName),
        header::Protocol::Partial => return Ok(None),
    };
    let Some(level) = bytes.get(name.len()) else {
        return Ok(None);
    };
    Ok(Some((name.len() + 1, Version::of(name, *level)?)))
}

/// Reads the fields behind the protocol level of a whole packet.
fn fields(
    packet: &[u8],
    body_at: usize,
    flags_at: usize,
    (version, is_bridge): (Version, bool),
) -> Result<Connect<'_>, Error> {
    let mut cursor = Cursor::new(packet, flags_at);
    cursor.enter(Field::Flags);
    let flags = cursor.byte()?;
    check(flags, version)?;
    cursor.enter(Field::KeepAlive);
    let keep_alive = cursor.two_bytes()?;
    let properties = read_properties(&mut cursor, Field::Properties, version)?;
    let (properties, authenticates) = properties.unzip();
    cursor.enter(Field::ClientId);
    let client_id = cursor.text()?;
    let client_id_end = cursor.at();
    let will = if flags & WILL == 0 {
        None
    } else {
        Some(will(&mut cursor, flags, version)?)
    };
    let user_name_at = cursor.at();
    // MQTT 3.1 (section 3.1) accepts the flags of names that are not there.
    let is_missing = |cursor: &Cursor<'_>| version == Version::V31 && cursor.left() == 0;
    cursor.enter(Field::UserName);
    let user_name = if flags & USER_NAME == 0 || is_missing(&cursor) {
        None
    } else {
        Some(cursor.text()?)
    };
    cursor.enter(Field::Password);
    let password = if flags & PASSWORD == 0 || is_missing(&cursor) {
        None
    } else {
        Some(cursor.data()?)
    };
    if cursor.left() > 0 {
        return Err(Error::TrailingBytes(cursor.left()));
    }
    Ok(Connect {
        packet,
        body_at,
        flags_at,
        client_id_end,
        user_name_at,
        version,
        is_bridge,
        clean_start: flags & CLEAN_START != 0,
        keep_alive,
        properties,
        authenticates: authenticates.unwrap_or_default(),
        client_id,
        will,
        user_name,
        password,
    })
}

/// Checks the connect flags. MQTT 3.1 does not use the reserved one, nor those of a will that is not there.
fn check(flags: u8, version: Version) -> Result<(), Error> {
    let has = |flag: u8| flags & flag != 0;
    if version != Version::V31 && has(RESERVED) {
        return Err(Error::ReservedFlag);
    }
    let is_without_will = !has(WILL) && has(WILL_QOS | WILL_RETAIN);
    let is_qos_3 = has(WILL) && flags & WILL_QOS == WILL_QOS;
    if is_qos_3 || (version != Version::V31 && is_without_will) {
        return Err(Error::WillFlags);
    }
    if version != Version::V5 && has(PASSWORD) && !has(USER_NAME) {
        return Err(Error::PasswordWithoutUserName);
    }
    Ok(())
}

/// Reads properties, and whether they begin enhanced authentication.
fn read_properties<'p>(
    cursor: &mut Cursor<'p>,
    field: Field,
    version: Version,
) -> Result<Option<(&'p [u8], bool)>, Error> {
    if version != Version::V5 {
        return Ok(None);
    }
    cursor.enter(field);
    properties::read(cursor).map(Some)
}

fn will<'p>(cursor: &mut Cursor<'p>, flags: u8, version: Version) -> Result<Will<'p>, Error> {
    let properties = read_properties(cursor, Field::WillProperties, version)?;
    cursor.enter(Field::WillTopic);
    let topic = cursor.text()?;
    cursor.enter(Field::WillPayload);
    Ok(Will {
        qos: (flags & WILL_QOS) >> 3,
        retain: flags & WILL_RETAIN != 0,
        properties: properties.map(|(bytes, _)| bytes),
        topic,
        payload: cursor.data()?,
    })
}
