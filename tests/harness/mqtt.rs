//! MQTT packets as bytes, as far as the tests need them. It must not do I/O beyond reading one packet.

use std::io::{self, Read};

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// A protocol version of the broker and the clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// MQTT 3.1 (`MQIsdp`, level 3)
    V31,
    /// MQTT 3.1.1 (level 4)
    V311,
    /// MQTT 5 (level 5)
    V5,
}

impl Version {
    /// All of them, for tests that go through the list.
    pub const ALL: [Self; 3] = [Self::V31, Self::V311, Self::V5];

    /// The value of `mosquitto_pub -V`.
    pub fn mosquitto_name(self) -> &'static str {
        match self {
            Self::V31 => "mqttv31",
            Self::V311 => "mqttv311",
            Self::V5 => "mqttv5",
        }
    }

    fn protocol(self) -> (&'static str, u8) {
        match self {
            Self::V31 => ("MQIsdp", 3),
            Self::V311 => ("MQTT", 4),
            Self::V5 => ("MQTT", 5),
        }
    }

    /// The empty property block of MQTT 5, which other versions do not have.
    fn no_properties(self) -> &'static [u8] {
        if self == Self::V5 { &[0] } else { &[] }
    }
}

/// CONNECT with a clean session and a keepalive of 60 s, without user name, password and will.
pub fn connect(version: Version, client_id: &str) -> Vec<u8> {
    connect_with_keepalive(version, client_id, 60)
}

/// A fixed CONNECT, for tests of what follows it.
pub fn first_packet() -> Vec<u8> {
    connect(Version::V311, "anyone")
}

/// [`connect`] with another keepalive, in seconds.
pub fn connect_with_keepalive(version: Version, client_id: &str, keepalive: u16) -> Vec<u8> {
    let (name, level) = version.protocol();
    let clean_session = 0b10;
    let mut body = text(name);
    body.extend([level, clean_session]);
    body.extend(keepalive.to_be_bytes());
    body.extend(version.no_properties());
    body.extend(text(client_id));
    packet(0x10, &body)
}

/// [`connect`] with a user name.
pub fn connect_as(version: Version, client_id: &str, user_name: &str) -> Vec<u8> {
    connect_with(version, client_id, user_name.as_bytes(), None)
}

/// [`connect`] with a user name, which need not be valid, and a password.
pub fn connect_with(
    version: Version,
    client_id: &str,
    user_name: &[u8],
    password: Option<&[u8]>,
) -> Vec<u8> {
    let (name, level) = version.protocol();
    let mut body = text(name);
    let flags = if password.is_some() {
        0b1100_0010
    } else {
        0b1000_0010
    };
    body.extend([level, flags, 0, 60]);
    body.extend(version.no_properties());
    body.extend(text(client_id));
    body.extend(data(user_name));
    body.extend(password.map(data).unwrap_or_default());
    packet(0x10, &body)
}

/// PUBLISH; `id` is the packet id, and used for QoS 1 and 2 only.
pub fn publish(version: Version, topic: &str, qos: u8, id: u16, payload: &[u8]) -> Vec<u8> {
    let mut body = text(topic);
    if qos > 0 {
        body.extend(id.to_be_bytes());
    }
    body.extend(version.no_properties());
    body.extend(payload);
    packet(0x30 | (qos << 1), &body)
}

/// SUBSCRIBE to one topic.
pub fn subscribe(version: Version, id: u16, topic: &str, qos: u8) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    body.extend(version.no_properties());
    body.extend(text(topic));
    body.push(qos);
    packet(0x82, &body)
}

/// PINGREQ, the smallest request that proves a connection to be alive.
pub const PINGREQ: [u8; 2] = [0xC0, 0];
/// The response to [`PINGREQ`].
pub const PINGRESP: [u8; 2] = [0xD0, 0];
/// DISCONNECT, without a body.
pub const DISCONNECT: [u8; 2] = [0xE0, 0];

/// The first byte of a CONNACK.
pub const CONNACK: u8 = 0x20;
/// The first byte of a PUBACK.
pub const PUBACK: u8 = 0x40;
/// The first byte of a SUBACK.
pub const SUBACK: u8 = 0x90;

/// A received packet: its first byte (type and flags), and its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Type and flags.
    pub head: u8,
    /// All bytes after the remaining length.
    pub body: Vec<u8>,
}

impl Packet {
    /// The topic of a PUBLISH, or `None` for any other packet.
    pub fn topic(&self) -> Option<&str> {
        let length = usize::from(u16::from_be_bytes([
            *self.body.first()?,
            *self.body.get(1)?,
        ]));
        (self.head >> 4 == 3).then_some(())?;
        std::str::from_utf8(self.body.get(2..2 + length)?).ok()
    }

    /// Reports whether this is a CONNACK that accepts the connection.
    pub fn accepts(&self) -> bool {
        self.head == CONNACK && self.body.get(1) == Some(&0)
    }
}

/// Reads one packet from a blocking stream.
pub fn read_packet(stream: &mut impl Read) -> io::Result<Packet> {
    let mut byte = [0];
    stream.read_exact(&mut byte)?;
    let head = byte[0];
    let mut length = Length::default();
    while !length.done {
        stream.read_exact(&mut byte)?;
        length.push(byte[0])?;
    }
    let mut body = vec![0; length.value];
    stream.read_exact(&mut body)?;
    Ok(Packet { head, body })
}

/// Reads one packet from an asynchronous stream.
pub async fn next_packet(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Packet> {
    let head = stream.read_u8().await?;
    let mut length = Length::default();
    while !length.done {
        length.push(stream.read_u8().await?)?;
    }
    let mut body = vec![0; length.value];
    stream.read_exact(&mut body).await?;
    Ok(Packet { head, body })
}

/// Decodes the remaining length byte by byte, for blocking and asynchronous readers.
#[derive(Debug, Default)]
struct Length {
    value: usize,
    done: bool,
    shift: u32,
}

impl Length {
    fn push(&mut self, byte: u8) -> io::Result<()> {
        if self.shift > 21 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a length of more than 4 bytes",
            ));
        }
        self.value |= usize::from(byte & 0x7F) << self.shift;
        self.shift += 7;
        self.done = byte & 0x80 == 0;
        Ok(())
    }
}

/// Builds a packet, also an invalid one, from its first byte and its body.
pub fn packet(head: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![head];
    let mut left = body.len();
    loop {
        let digit = u8::try_from(left % 128).expect("it is below 128");
        left /= 128;
        bytes.push(if left > 0 { digit | 0x80 } else { digit });
        if left == 0 {
            break;
        }
    }
    bytes.extend(body);
    bytes
}

fn text(text: &str) -> Vec<u8> {
    data(text.as_bytes())
}

fn data(data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).expect("fields of MQTT are below 64 KiB");
    [&length.to_be_bytes(), data].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connect_matches_the_standard() {
        let bytes = connect(Version::V311, "ab");
        assert_eq!(
            bytes,
            [
                0x10, 14, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 2, b'a', b'b'
            ]
        );
        let bytes = connect(Version::V5, "");
        assert_eq!(
            bytes,
            [0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 60, 0, 0, 0]
        );
    }

    #[test]
    fn a_written_packet_can_be_read() {
        let payload = vec![7; 20_000];
        let bytes = publish(Version::V311, "a/b", 1, 9, &payload);
        let read = read_packet(&mut bytes.as_slice()).expect("the packet is complete");
        assert_eq!(read.head, 0x32);
        assert_eq!(read.topic(), Some("a/b"));
        assert_eq!(read.body.len(), 2 + 3 + 2 + 20_000);
    }

    #[test]
    fn a_length_of_five_bytes_is_refused() {
        assert!(read_packet(&mut [0x30, 0x80, 0x80, 0x80, 0x80, 1].as_slice()).is_err());
    }
}
