//! Whether a client's first bytes are a complete CONNECT, by their length alone.
//!
//! It must not validate a CONNECT; `connect` does.

use crate::header::{self, CONNECT, Integer};

/// Kind of a client's first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// A complete CONNECT; more data may follow it.
    Connect,
    /// Not MQTT.
    Other,
    /// Part of a CONNECT, or nothing.
    Partial,
}

/// Classifies the first bytes of a client.
pub fn start(bytes: &[u8]) -> Start {
    let Some((first, rest)) = bytes.split_first() else {
        return Start::Partial;
    };
    if *first != CONNECT {
        return Start::Other;
    }
    match header::integer(rest) {
        Integer::TooLong => Start::Other,
        Integer::Whole(length, digits) if rest.len() - digits >= length => Start::Connect,
        Integer::Partial | Integer::Whole(..) => Start::Partial,
    }
}

#[cfg(test)]
mod tests {
    use super::{Start, start};

    #[test]
    fn a_connect_is_complete_with_its_last_byte() {
        let connect = [
            0x10, 14, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 2, b'a', b'b',
        ];
        for length in 0..connect.len() {
            assert_eq!(start(&connect[..length]), Start::Partial, "{length}");
        }
        assert_eq!(start(&connect), Start::Connect);
        assert_eq!(start(&[&connect[..], &[0xc0, 0]].concat()), Start::Connect);
    }

    #[test]
    fn a_length_has_at_most_four_digits() {
        let long = [&[0x10, 0x80, 0x01][..], &[0; 128]].concat();
        assert_eq!(start(&long[..130]), Start::Partial);
        assert_eq!(start(&long), Start::Connect);
        assert_eq!(start(&[0x10, 0xff, 0xff, 0xff]), Start::Partial);
        assert_eq!(start(&[0x10, 0xff, 0xff, 0xff, 0xff, 0]), Start::Other);
    }

    #[test]
    fn other_bytes_are_not_mqtt() {
        for first in [
            b"GET / HTTP/1.1".as_slice(),
            &[0xc0, 0],
            &[0x11, 2],
            &[0x30, 2],
        ] {
            assert_eq!(start(first), Start::Other, "{first:?}");
        }
    }
}
