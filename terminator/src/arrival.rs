//! What a client begins with: TLS, or what people send to a TLS port by mistake. This is the one place that names
//! it. Pure.
//!
//! It must not show what arrived: that is text from outside.

/// What a client began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// An HTTP request.
    Http,
    /// Something else; its first byte.
    Other(u8),
    /// A CONNECT of MQTT without TLS.
    PlaintextMqtt,
    /// A header of the PROXY protocol, of version 1 or 2, before whatever follows.
    ProxyProtocol,
    /// A ClientHello in the frame of SSL 2.0.
    Ssl2,
    /// A TLS record.
    Tls,
    /// Too few bytes to know.
    Undecided,
}

impl Arrival {
    /// What to do about it, if it is likely that someone can.
    pub(crate) fn remedy(self) -> Option<&'static str> {
        match self {
            Self::Http => Some(
                "clients send HTTP to the TLS port; point browsers, HTTP probes and WebSocket clients elsewhere, \
                 and give load balancers a TCP health check",
            ),
            Self::PlaintextMqtt => Some(
                "clients send MQTT without TLS to the TLS port; switch TLS on in them (mqtts://, --cafile)",
            ),
            Self::ProxyProtocol => Some(
                "the load balancer sends PROXY protocol headers, which this listener does not take; switch them \
                 off there",
            ),
            Self::Other(_) | Self::Ssl2 | Self::Tls | Self::Undecided => None,
        }
    }
}

/// The content types of TLS records, from change_cipher_spec to heartbeat (RFC 8446, appendix B.1). A client begins
/// with a handshake record; how the others are answered is for the TLS library to know.
const RECORDS: std::ops::RangeInclusive<u8> = 20..=24;

/// How a header of version 2 begins (PROXY protocol, section 2.2).
const PROXY_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// How a header of version 1 begins (PROXY protocol, section 2.1).
const PROXY_V1: &[u8] = b"PROXY ";

/// How HTTP requests begin (RFC 9110, section 9; `PRI` is HTTP/2, RFC 9113, section 3.4).
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

/// The protocol names in a CONNECT, with their lengths (MQTT 3.1.1 and 5.0, section 3.1.2.1; 3.1, section 3.1).
const MQTT_NAMES: [&[u8]; 2] = [b"\0\x04MQTT", b"\0\x06MQIsdp"];

/// Names what a client began with; its first bytes are enough, 16 of them in any case.
pub(crate) fn name(bytes: &[u8]) -> Arrival {
    let Some(first) = bytes.first() else {
        return Arrival::Undecided;
    };
    if RECORDS.contains(first) {
        return Arrival::Tls;
    }
    if first & 0x80 != 0 {
        // A length of two bytes with its first bit set, and the message's type (RFC 5246, appendix E.2).
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

/// Whether bytes begin so; `None` where there are too few of them to know.
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

/// Whether bytes begin as an MQTT CONNECT: its type, up to four digits of its length, and the protocol's name.
fn begins_as_connect(bytes: &[u8]) -> Option<bool> {
    let (first, rest) = bytes.split_first()?;
    if *first != 0x10 {
        return Some(false);
    }
    let digits = rest.iter().take(4).take_while(|digit| *digit & 0x80 != 0);
    let name = rest.get(digits.count() + 1..)?;
    let names = MQTT_NAMES.map(|known| begins(name, known));
    if names.contains(&Some(true)) {
        Some(true)
    } else if names.contains(&None) {
        None
    } else {
        Some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::{Arrival, name};

    #[test]
    fn what_people_send_by_mistake_is_named() {
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
