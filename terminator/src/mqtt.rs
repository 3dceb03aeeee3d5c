//! Recognizes the first packets of an MQTT connection: whether the client's is a complete CONNECT, and whether the
//! backend's is an answer to it. Pure.
//!
//! It must not validate a CONNECT: versions, names and flags are up to the broker.

/// First byte of a CONNECT: its type and reserved flags (MQTT 5.0, sections 2.1.2 and 2.1.3; the same in 3.1.1 and
/// 3.1).
const CONNECT: u8 = 0x10;

/// Kind of a client's first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// A complete CONNECT; more data may follow it.
    Connect,
    /// Not MQTT.
    Other,
    /// Part of a CONNECT, or nothing.
    Partial,
}

/// Classifies the first bytes of a client.
pub(crate) fn start(bytes: &[u8]) -> Start {
    let Some((first, rest)) = bytes.split_first() else {
        return Start::Partial;
    };
    if *first != CONNECT {
        return Start::Other;
    }
    // At most four digits of seven bits, least significant first (MQTT 5.0, section 1.5.5).
    let mut length = 0;
    for index in 0..4 {
        let Some(digit) = rest.get(index) else {
            return Start::Partial;
        };
        length |= usize::from(digit & 0x7f) << (7 * index);
        if digit & 0x80 == 0 {
            let is_whole = rest.len() - index > length;
            return if is_whole {
                Start::Connect
            } else {
                Start::Partial
            };
        }
    }
    Start::Other
}

/// Kind of a backend's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// CONNACK, AUTH or DISCONNECT.
    Mqtt,
    /// A TLS record, such as the alert with which a TLS server answers plaintext.
    Tls,
    /// Not an answer of a broker.
    Other,
}

/// Classifies the first byte of a backend's answer to a CONNECT (MQTT 5.0, section 2.1.2; RFC 8446, section 5.1).
pub(crate) fn answer(first: u8) -> Answer {
    match first {
        0x20 | 0xE0 | 0xF0 => Answer::Mqtt,
        20..=23 => Answer::Tls,
        _ => Answer::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Start, answer, start};

    #[test]
    fn an_answer_is_distinguished_from_tls_and_http() {
        let answers = [0x20, 0xF0, 0x15, b'H'].map(answer);
        let expected = [Answer::Mqtt, Answer::Mqtt, Answer::Tls, Answer::Other];
        assert_eq!(answers, expected);
    }

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
