//! The fixed header of a CONNECT, and the protocol name behind it: what decides early whether bytes are a CONNECT.
//!
//! It must not look at more than the first 16 bytes.

/// First byte of a CONNECT: its type and reserved flags (MQTT 5.0, sections 2.1.2 and 2.1.3; the same in 3.1.1 and
/// 3.1).
pub(crate) const CONNECT: u8 = 0x10;

/// Maximum number of digits of a variable byte integer (MQTT 5.0, section 1.5.5).
const DIGITS_MAX: usize = 4;

/// Largest variable byte integer, in bytes as a length.
pub(crate) const LENGTH_MAX: usize = (1 << (7 * DIGITS_MAX)) - 1;

/// A variable byte integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Integer {
    /// Its last digit is not there yet.
    Partial,
    /// It has more than four digits.
    TooLong,
    /// A value, and the number of its digits.
    Whole(usize, usize),
}

/// Reads a variable byte integer: seven bits a digit, least significant first.
pub(crate) fn integer(bytes: &[u8]) -> Integer {
    let mut value = 0;
    for index in 0..DIGITS_MAX {
        let Some(digit) = bytes.get(index) else {
            return Integer::Partial;
        };
        value |= usize::from(digit & 0x7f) << (7 * index);
        if digit & 0x80 == 0 {
            return Integer::Whole(value, index + 1);
        }
    }
    Integer::TooLong
}

/// Returns the number of digits that an integer needs.
pub(crate) fn digits(value: usize) -> usize {
    (1..DIGITS_MAX)
        .find(|count| value >> (7 * count) == 0)
        .unwrap_or(DIGITS_MAX)
}

/// Appends a variable byte integer of at most [`LENGTH_MAX`].
pub(crate) fn push_integer(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let digit = u8::try_from(value & 0x7f).unwrap_or_default();
        value >>= 7;
        if value == 0 {
            out.push(digit);
            return;
        }
        out.push(digit | 0x80);
    }
}

/// Protocol names with their lengths (MQTT 3.1.1 and 5.0, section 3.1.2.1; 3.1, section 3.1).
pub(crate) const NAMES: [&[u8]; 2] = [b"\0\x04MQTT", b"\0\x06MQIsdp"];

/// What is at the place of the protocol name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// One of [`NAMES`].
    Named(&'static [u8]),
    /// Another name.
    Other,
    /// Too few bytes to decide.
    Partial,
}

/// Reads the protocol name at the front.
pub(crate) fn protocol(bytes: &[u8]) -> Protocol {
    if let Some(known) = NAMES.into_iter().find(|known| bytes.starts_with(known)) {
        Protocol::Named(known)
    } else if NAMES.iter().any(|known| known.starts_with(bytes)) {
        Protocol::Partial
    } else {
        Protocol::Other
    }
}

/// Reports whether bytes begin as a CONNECT: type, length of up to four digits, protocol name. `None` if there are too
/// few to decide; 14 bytes suffice.
pub fn begins_as_connect(bytes: &[u8]) -> Option<bool> {
    let (first, rest) = bytes.split_first()?;
    if *first != CONNECT {
        return Some(false);
    }
    match integer(rest) {
        Integer::Partial => None,
        Integer::TooLong => Some(false),
        Integer::Whole(_, digits) => match protocol(&rest[digits..]) {
            Protocol::Named(_) => Some(true),
            Protocol::Other => Some(false),
            Protocol::Partial => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::{Integer, LENGTH_MAX, begins_as_connect, digits, integer, push_integer};

    /// The borders of MQTT 5.0, table 1-1.
    #[test]
    fn integers_are_written_as_the_specification_has_them() {
        for (value, bytes) in [
            (0, &[0x00][..]),
            (127, &[0x7F]),
            (128, &[0x80, 0x01]),
            (16_383, &[0xFF, 0x7F]),
            (16_384, &[0x80, 0x80, 0x01]),
            (2_097_151, &[0xFF, 0xFF, 0x7F]),
            (2_097_152, &[0x80, 0x80, 0x80, 0x01]),
            (268_435_455, &[0xFF, 0xFF, 0xFF, 0x7F]),
        ] {
            let mut written = Vec::new();
            push_integer(&mut written, value);
            assert_eq!(written, bytes);
            assert_eq!(integer(bytes), Integer::Whole(value, bytes.len()));
            assert_eq!(digits(value), bytes.len());
            let last = bytes.len() - 1;
            assert_eq!(integer(&bytes[..last]), Integer::Partial);
        }
        assert_eq!(LENGTH_MAX, 268_435_455);
        assert_eq!(integer(&[0xFF; 4]), Integer::TooLong);
    }

    #[test]
    fn the_name_decides_as_soon_as_it_differs() {
        for (bytes, expected) in [
            (&b""[..], None),
            (b"\x10", None),
            (b"\x11", Some(false)),
            (b"\x10\xff\xff\xff", None),
            (b"\x10\xff\xff\xff\xff", Some(false)),
            (b"\x10\x0e\0", None),
            (b"\x10\x0e\0\x04MQT", None),
            (b"\x10\x0e\0\x04MQTT", Some(true)),
            (b"\x10\x0e\0\x05", Some(false)),
            (b"\x10\xff\xff\x01\0\x06MQIsdp", Some(true)),
            (b"\x10\x0e\0\x04NQTT", Some(false)),
        ] {
            assert_eq!(begins_as_connect(bytes), expected, "{bytes:?}");
        }
    }
}
