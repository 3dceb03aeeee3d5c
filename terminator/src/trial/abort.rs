//! How a client aborts a connection in which it was shown a certificate: a fixed set.
//!
//! It must not judge whether the certificate was the cause: the same is counted of the clients that get the current certificate.

/// How a client aborts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Abort {
    /// By an alert, in the handshake or after it.
    Alert(u8),
    /// It closed or reset the connection in the handshake.
    Cut,
    /// It sent no first packet after the handshake.
    NoFirstPacket,
    /// It did not go on with the handshake.
    Timeout,
}

/// The names of alerts (RFC 8446, section 6.2, and the IANA registry), and of what is no alert. Any alert counts: devices choose
/// from the whole list, or send the same one for each error.
const ALERTS: [(u8, &str); 28] = [
    (0, "close_notify"),
    (10, "unexpected_message"),
    (20, "bad_record_mac"),
    (22, "record_overflow"),
    (40, "handshake_failure"),
    (41, "no_certificate"),
    (42, "bad_certificate"),
    (43, "unsupported_certificate"),
    (44, "certificate_revoked"),
    (45, "certificate_expired"),
    (46, "certificate_unknown"),
    (47, "illegal_parameter"),
    (48, "unknown_ca"),
    (49, "access_denied"),
    (50, "decode_error"),
    (51, "decrypt_error"),
    (70, "protocol_version"),
    (71, "insufficient_security"),
    (80, "internal_error"),
    (90, "user_canceled"),
    (109, "missing_extension"),
    (110, "unsupported_extension"),
    (111, "certificate_unobtainable"),
    (112, "unrecognized_name"),
    (113, "bad_certificate_status_response"),
    (115, "unknown_psk_identity"),
    (116, "certificate_required"),
    (120, "no_application_protocol"),
];

impl Abort {
    /// Returns its name: the alert's, or `cut`, `no_first_packet`, `timeout` or `other`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Alert(code) => {
                let known = ALERTS.iter().find(|(known, _)| *known == code);
                known.map_or("other", |(_, name)| name)
            }
            Self::Cut => "cut",
            Self::NoFirstPacket => "no_first_packet",
            Self::Timeout => "timeout",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{ALERTS, Abort};

    #[test]
    fn names_are_a_fixed_set() {
        let alerts: BTreeSet<&str> = (0..=u8::MAX)
            .map(|code| Abort::Alert(code).name())
            .collect();
        assert_eq!(alerts.len(), ALERTS.len() + 1);
        assert!(alerts.contains("unknown_ca") && alerts.contains("other"));
        for other in [Abort::Cut, Abort::NoFirstPacket, Abort::Timeout] {
            assert!(!alerts.contains(other.name()));
        }
    }
}
