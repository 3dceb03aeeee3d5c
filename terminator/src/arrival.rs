//! Recognizes the protocol of a client's first bytes: TLS, or what clients send to a TLS port by mistake. Pure.
//!
//! It must not show the received bytes, which are untrusted.

use std::fmt;

use mqtt_tls_mqtt::begins_as_connect;

/// Protocol of a client's first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// An HTTP request.
    Http,
    /// Another protocol, with its first byte.
    Other(u8),
    /// An MQTT CONNECT without TLS.
    PlaintextMqtt,
    /// A header of the PROXY protocol, version 1 or 2.
    ProxyProtocol,
    /// A ClientHello in SSL 2.0 format.
    Ssl2,
    /// A TLS record.
    Tls,
    /// Too few bytes to decide.
    Undecided,
}

impl fmt::Display for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http => f.write_str("HTTP"),
            Self::Other(first) => write!(f, "an unknown protocol (first byte {first:#04x})"),
            Self::PlaintextMqtt => f.write_str("MQTT without TLS"),
            Self::ProxyProtocol => f.write_str("a PROXY protocol header"),
            Self::Ssl2 => f.write_str("an SSL 2.0 ClientHello"),
            Self::Tls => f.write_str("TLS"),
            Self::Undecided => f.write_str("too few bytes"),
        }
    }
}

impl Arrival {
    /// Returns advice for common mistakes.
    pub(crate) fn remedy(self) -> Option<&'static str> {
        match self {
            Self::Http => Some(
                "received HTTP on the TLS port; point browsers, HTTP probes and WebSocket clients elsewhere, and use \
                TCP health checks for load balancers",
            ),
            Self::PlaintextMqtt => Some(
                "received MQTT without TLS on the TLS port; enable TLS in the clients (mqtts://, --cafile)",
            ),
            Self::ProxyProtocol => Some(
                "received a PROXY protocol header, which this listener does not support; disable it in the load \
                balancer",
            ),
            Self::Other(_) | Self::Ssl2 | Self::Tls | Self::Undecided => None,
        }
    }
}

/// Content types of TLS records, from change_cipher_spec to heartbeat (RFC 8446, appendix B.1). Clients begin
/// with a handshake record; the TLS library handles the others.
const RECORDS: std::ops::RangeInclusive<u8> = 20..=24;

/// Prefix of a version 2 header (PROXY protocol, section 2.2).
const PROXY_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Prefix of a version 1 header (PROXY protocol, section 2.1).
const PROXY_V1: &[u8] = b"PROXY ";

/// Prefixes of HTTP requests (RFC 9110, section 9; `PRI` is HTTP/2, RFC 9113, section 3.4).
const METHODS: [&[u8]; 10] = [
    b"CONNECT ",
    b"DELETE ",
    b"GET ",
    b"HEAD ",
    b"OPTIONS ",
    b"PATCH ",
    b"POST ",
    b"PRI ",
    b"PUT ",
    b"TRACE ",
];

/// Recognizes the protocol of a client's first bytes; 16 bytes always suffice.
pub(crate) fn name(bytes: &[u8]) -> Arrival {
    let Some(first) = bytes.first() else {
        return Arrival::Undecided;
    };
    if RECORDS.contains(first) {
        return Arrival::Tls;
    }
    if first & 0x80 != 0 {
        // A two-byte length with its first bit set, then the message type (RFC 5246, appendix E.2).
        return match bytes.get(2) {
            Some(1) => Arrival::Ssl2,
            Some(_) => Arrival::Other(*first),
            None => Arrival::Undecided,
        };
    }
    let starts = [
        (Arrival::ProxyProtocol, begins(bytes, PROXY_V1)),
        (Arrival::ProxyProtocol, begins(bytes, PROXY_V2)),
        (Arrival::PlaintextMqtt, begins_as_connect(bytes)),
    ];
    let methods = METHODS.map(|method| (Arrival::Http, begins(bytes, method)));
    let mut is_undecided = false;
    for (arrival, begins) in starts.into_iter().chain(methods) {
        match begins {
            Some(true) => return arrival,
            Some(false) => {}
            None => is_undecided = true,
        }
    }
    if is_undecided {
        Arrival::Undecided
    } else {
        Arrival::Other(*first)
    }
}

/// Reports whether bytes have a prefix; `None` if there are too few to decide.
fn begins(bytes: &[u8], start: &[u8]) -> Option<bool> {
    if bytes.len() < start.len() {
        return if start.starts_with(bytes) {
            None
        } else {
            Some(false)
        };
    }
    Some(bytes.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::{Arrival, name};

    #[test]
    fn protocols_sent_by_mistake_are_recognized() {
        for (bytes, expected) in [
            (&b"\x16\x03\x01\x02"[..], Arrival::Tls),
            (b"\x15\x03\x01\0\x02\x01\0", Arrival::Tls),
            (
                b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
                Arrival::ProxyProtocol,
            ),
            (b"PROXY UNKNOWN\r\n", Arrival::ProxyProtocol),
            (
                b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c",
                Arrival::ProxyProtocol,
            ),
            (b"\x10\x0e\0\x04MQTT\x04\x02", Arrival::PlaintextMqtt),
            (b"\x10\xff\xff\x01\0\x04MQTT\x05", Arrival::PlaintextMqtt),
            (b"\x10\x10\0\x06MQIsdp\x03", Arrival::PlaintextMqtt),
            (b"GET / HTTP/1.1\r\n", Arrival::Http),
            (b"PRI * HTTP/2.0\r\n", Arrival::Http),
            (b"OPTIONS * HTTP/1.1\r\n", Arrival::Http),
            (b"\x10\x0e\0\x04NQTT\x04\x02", Arrival::Other(0x10)),
            (b"SSH-2.0-OpenSSH", Arrival::Other(b'S')),
            (b"\x80\x2e\x01\x03\x01", Arrival::Ssl2),
            (b"\x80\x2e\x02\x03\x01", Arrival::Other(0x80)),
            (b"Getaway", Arrival::Other(b'G')),
            (b"", Arrival::Undecided),
            (b"PRO", Arrival::Undecided),
            (b"\r\n\r\n", Arrival::Undecided),
            (b"\x10", Arrival::Undecided),
            (b"\x10\xff\xff\xff", Arrival::Undecided),
        ] {
            assert_eq!(name(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn sixteen_bytes_decide() {
        for first in 0..=u8::MAX {
            for rest in [0, b' ', 0xff, 0x10, b'\n'] {
                let mut bytes = [rest; 16];
                bytes[0] = first;
                assert_ne!(name(&bytes), Arrival::Undecided, "{bytes:?}");
            }
        }
    }
}
