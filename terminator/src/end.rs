//! How connections end, and over which limit they are refused: fixed sets, for metrics, logs and the reference.
//!
//! It must not hold details of a connection.

use mqtt_tls_mqtt::Answer;

/// Cause of the end of a connection: the first event that led to it. One of a fixed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    BackendClosed,
    BackendMute,
    BackendNotMqtt,
    BackendRefused,
    BackendReset,
    BackendTimeout,
    BackendTls,
    BackendUnresolved,
    BadConnect,
    BadPacket,
    CertificateRefused,
    ClientClosed,
    ClientCut,
    ClientReset,
    ConnectTooLarge,
    CutOff,
    DescriptorsExhausted,
    Drained,
    EnhancedAuthentication,
    FirstPacketTimeout,
    HandshakeFailed,
    IdentityMismatch,
    KeySpent,
    LocalPortsExhausted,
    NoIdentity,
    NotMqtt,
    Probed,
    Refused,
    SecondConnect,
    TlsError,
    UnsupportedVersion,
}

impl End {
    pub(crate) const ALL: [Self; 31] = [
        Self::BackendClosed,
        Self::BackendMute,
        Self::BackendNotMqtt,
        Self::BackendRefused,
        Self::BackendReset,
        Self::BackendTimeout,
        Self::BackendTls,
        Self::BackendUnresolved,
        Self::BadConnect,
        Self::BadPacket,
        Self::CertificateRefused,
        Self::ClientClosed,
        Self::ClientCut,
        Self::ClientReset,
        Self::ConnectTooLarge,
        Self::CutOff,
        Self::DescriptorsExhausted,
        Self::Drained,
        Self::EnhancedAuthentication,
        Self::FirstPacketTimeout,
        Self::HandshakeFailed,
        Self::IdentityMismatch,
        Self::KeySpent,
        Self::LocalPortsExhausted,
        Self::NoIdentity,
        Self::NotMqtt,
        Self::Probed,
        Self::Refused,
        Self::SecondConnect,
        Self::TlsError,
        Self::UnsupportedVersion,
    ];

    /// Returns the metric label.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BackendClosed => "backend_closed",
            Self::BackendMute => "backend_mute",
            Self::BackendNotMqtt => "backend_not_mqtt",
            Self::BackendRefused => "backend_refused",
            Self::BackendReset => "backend_reset",
            Self::BackendTimeout => "backend_timeout",
            Self::BackendTls => "backend_tls",
            Self::BackendUnresolved => "backend_unresolved",
            Self::BadConnect => "bad_connect",
            Self::BadPacket => "bad_packet",
            Self::CertificateRefused => "certificate_refused",
            Self::ClientClosed => "client_closed",
            Self::ClientCut => "client_cut",
            Self::ClientReset => "client_reset",
            Self::ConnectTooLarge => "connect_too_large",
            Self::CutOff => "cut_off",
            Self::DescriptorsExhausted => "descriptors_exhausted",
            Self::Drained => "drained",
            Self::EnhancedAuthentication => "enhanced_authentication",
            Self::FirstPacketTimeout => "first_packet_timeout",
            Self::HandshakeFailed => "handshake_failed",
            Self::IdentityMismatch => "identity_mismatch",
            Self::KeySpent => "key_spent",
            Self::LocalPortsExhausted => "local_ports_exhausted",
            Self::NoIdentity => "no_identity",
            Self::NotMqtt => "not_mqtt",
            Self::Probed => "probed",
            Self::Refused => "refused",
            Self::SecondConnect => "second_connect",
            Self::TlsError => "tls_error",
            Self::UnsupportedVersion => "unsupported_version",
        }
    }

    /// Returns how the connection ended, with the backend's answer: if it is none of a broker, that matters more than which
    /// side closed or reset.
    pub(crate) fn with(self, answer: Option<Answer>) -> Self {
        let by_backend = matches!(self, Self::BackendClosed | Self::BackendReset);
        let by_client = matches!(
            self,
            Self::ClientClosed | Self::ClientCut | Self::ClientReset
        );
        match answer {
            None if by_backend => Self::BackendMute,
            Some(Answer::Tls) if by_backend || by_client => Self::BackendTls,
            Some(Answer::Other) if by_backend || by_client => Self::BackendNotMqtt,
            _ => self,
        }
    }

    /// Reports whether the broker did not answer the CONNECT with MQTT.
    pub(crate) fn is_unanswered(self) -> bool {
        matches!(
            self,
            Self::BackendMute | Self::BackendNotMqtt | Self::BackendTls
        )
    }

    /// Returns the description for the reference.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::BackendClosed => "the broker closed the connection",
            Self::BackendMute => {
                "the broker did not answer the CONNECT: it closed the connection, or the client gave up after 3 \
                 seconds or longer"
            }
            Self::BackendNotMqtt => "the broker's answer to the CONNECT was neither MQTT nor TLS",
            Self::BackendRefused => {
                "connecting to the broker failed, for example with connection refused"
            }
            Self::BackendReset => "the broker reset the connection",
            Self::BackendTimeout => "connecting to the broker exceeded `timeouts.dial`",
            Self::BackendTls => "the broker answered the CONNECT in TLS: use its plaintext port",
            Self::BackendUnresolved => "the broker's name has no address, or cannot be resolved",
            Self::BadConnect => {
                "`identity` is set, and a length or another field of the CONNECT is invalid"
            }
            Self::BadPacket => {
                "`identity` is set, and the client sent a packet whose length does not end"
            }
            Self::CertificateRefused => {
                "the client's certificate was judged again, and is refused now; see \
                 `mqtt_tls_certificates_rechecked_total`"
            }
            Self::ClientClosed => "the client closed the connection with close_notify",
            Self::ClientCut => {
                "the client closed the connection without close_notify, as many clients do"
            }
            Self::ClientReset => "the client's connection was reset",
            Self::ConnectTooLarge => {
                "`identity` is set, and the client announced a CONNECT larger than `limits.connectBytes`"
            }
            Self::CutOff => "still open at the drain deadline",
            Self::DescriptorsExhausted => {
                "no file descriptor was left for the connection to the broker"
            }
            Self::Drained => "closed by a drain",
            Self::EnhancedAuthentication => {
                "`identity.userName` is set, and the client began enhanced authentication (MQTT 5), which may bring another name"
            }
            Self::FirstPacketTimeout => "the client sent no CONNECT within `timeouts.firstPacket`",
            Self::HandshakeFailed => "the handshake failed; see `mqtt_tls_handshakes_total`",
            Self::IdentityMismatch => {
                "the client sent another user name or client ID than its certificate gives"
            }
            Self::KeySpent => "a TLS 1.2 key reached its limit; the client reconnects",
            Self::LocalPortsExhausted => {
                "no local port was left for an address of the broker: add replicas"
            }
            Self::NoIdentity => {
                "`identity` is set, and the client has no certificate, or one that does not give the name"
            }
            Self::NotMqtt => "the first packet inside TLS was not a CONNECT",
            Self::Probed => "a probe of the operator, which gets no connection to the broker",
            Self::Refused => "a limit was exceeded; see `mqtt_tls_connections_refused_total`",
            Self::SecondConnect => "`identity` is set, and the client sent a second CONNECT",
            Self::TlsError => "the client violated the TLS protocol after the handshake",
            Self::UnsupportedVersion => {
                "`identity` is set, and the CONNECT is of a version other than MQTT 3.1, 3.1.1 and 5"
            }
        }
    }
}

/// Limit because of which a connection was refused; one of a fixed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    Connections,
    Descriptors,
    /// The client was evicted during its handshake or before its first packet.
    Handshakes,
}

impl Limit {
    pub(crate) const ALL: [Self; 3] = [Self::Connections, Self::Descriptors, Self::Handshakes];

    /// Returns the metric label.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Descriptors => "descriptors",
            Self::Handshakes => "handshakes",
        }
    }

    /// Returns the description for the reference.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Connections => "`limits.connections` connections were open",
            Self::Descriptors => "no file descriptors were left for another connection",
            Self::Handshakes => {
                "evicted for another client, see `limits.handshakes`, and `limits.connectBytes` with `identity`"
            }
        }
    }
}
