//! Whether a backend's first byte is an answer to a CONNECT.
//!
//! It must not read more than that byte.

/// Kind of a backend's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// CONNACK, AUTH or DISCONNECT.
    Mqtt,
    /// A TLS record, such as the alert with which a TLS server answers plaintext.
    Tls,
    /// Not an answer of a broker.
    Other,
}

/// Classifies the first byte of a backend's answer to a CONNECT (MQTT 5.0, section 2.1.2; RFC 8446, section 5.1).
pub fn answer(first: u8) -> Answer {
    match first {
        0x20 | 0xE0 | 0xF0 => Answer::Mqtt,
        20..=23 => Answer::Tls,
        _ => Answer::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, answer};

    #[test]
    fn an_answer_is_distinguished_from_tls_and_http() {
        let answers = [0x20, 0xF0, 0x15, b'H'].map(answer);
        let expected = [Answer::Mqtt, Answer::Mqtt, Answer::Tls, Answer::Other];
        assert_eq!(answers, expected);
    }
}
