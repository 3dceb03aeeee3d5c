//! The account of a connection: it is counted once when it ends, however that comes about.
//!
//! It must not decide anything, and must not log.

use std::sync::Arc;

use crate::state::Worker;

/// How a connection ended, by what happened first; one of a fixed set.
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
    ClientClosed,
    ClientCut,
    ClientReset,
    CutOff,
    DescriptorsExhausted,
    Drained,
    FirstPacketTimeout,
    HandshakeFailed,
    KeySpent,
    LocalPortsExhausted,
    NotMqtt,
    Refused,
    TlsError,
}

impl End {
    pub(crate) const ALL: [Self; 21] = [
        Self::BackendClosed,
        Self::BackendMute,
        Self::BackendNotMqtt,
        Self::BackendRefused,
        Self::BackendReset,
        Self::BackendTimeout,
        Self::BackendTls,
        Self::BackendUnresolved,
        Self::ClientClosed,
        Self::ClientCut,
        Self::ClientReset,
        Self::CutOff,
        Self::DescriptorsExhausted,
        Self::Drained,
        Self::FirstPacketTimeout,
        Self::HandshakeFailed,
        Self::KeySpent,
        Self::LocalPortsExhausted,
        Self::NotMqtt,
        Self::Refused,
        Self::TlsError,
    ];

    /// As a metric's label.
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
            Self::ClientClosed => "client_closed",
            Self::ClientCut => "client_cut",
            Self::ClientReset => "client_reset",
            Self::CutOff => "cut_off",
            Self::DescriptorsExhausted => "descriptors_exhausted",
            Self::Drained => "drained",
            Self::FirstPacketTimeout => "first_packet_timeout",
            Self::HandshakeFailed => "handshake_failed",
            Self::KeySpent => "key_spent",
            Self::LocalPortsExhausted => "local_ports_exhausted",
            Self::NotMqtt => "not_mqtt",
            Self::Refused => "refused",
            Self::TlsError => "tls_error",
        }
    }

    /// What it means, for the reference.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::BackendClosed => "the broker closed the connection",
            Self::BackendMute => {
                "the broker ended the connection, and had not answered the CONNECT"
            }
            Self::BackendNotMqtt => {
                "the broker ended the connection, and had answered with neither MQTT nor TLS"
            }
            Self::BackendRefused => "no connection to the broker: refused",
            Self::BackendReset => "the broker reset the connection",
            Self::BackendTimeout => "no connection to the broker within `timeouts.dial`",
            Self::BackendTls => {
                "the broker ended the connection, and had answered with TLS: name its plaintext port"
            }
            Self::BackendUnresolved => "the broker's name has no address, or DNS does not answer",
            Self::ClientClosed => "the client closed the connection in order (close_notify)",
            Self::ClientCut => {
                "the client's connection ended without close_notify: many clients do so"
            }
            Self::ClientReset => "the client's connection was reset",
            Self::CutOff => "still open at the end of a drain",
            Self::DescriptorsExhausted => "no file descriptor was left for the broker's connection",
            Self::Drained => "closed because the pod ends",
            Self::FirstPacketTimeout => "no CONNECT within `timeouts.firstPacket`",
            Self::HandshakeFailed => "the handshake failed; `mqtt_tls_handshakes_total` counts why",
            Self::KeySpent => "a key of TLS 1.2 encrypted all that it may; the client reconnects",
            Self::LocalPortsExhausted => {
                "no local port was left for one address of the broker: add replicas"
            }
            Self::NotMqtt => "the first packet inside of TLS was no CONNECT",
            Self::Refused => "over a limit; `mqtt_tls_connections_refused_total` counts which",
            Self::TlsError => "the client broke the TLS protocol after the handshake",
        }
    }
}

/// The limit for which a connection was refused; one of a fixed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    Connections,
    Descriptors,
    /// It kept us waiting, and its place was needed for another.
    Handshakes,
}

impl Limit {
    pub(crate) const ALL: [Self; 3] = [Self::Connections, Self::Descriptors, Self::Handshakes];

    /// As a metric's label.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Descriptors => "descriptors",
            Self::Handshakes => "handshakes",
        }
    }

    /// What it means, for the reference.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Connections => "`limits.connections` were open",
            Self::Descriptors => "no file descriptors were left for another connection",
            Self::Handshakes => "its place was needed for another client, see `limits.handshakes`",
        }
    }
}

/// Counts one connection when it is dropped.
pub(crate) struct Record {
    worker: Arc<Worker>,
    end: End,
}

impl Record {
    /// A connection that ends without a word was cut off: at the deadline of a drain, or by a fault of ours.
    pub(crate) fn begin(worker: &Arc<Worker>) -> Self {
        worker.counts().accepted.add(1);
        Self {
            worker: Arc::clone(worker),
            end: End::CutOff,
        }
    }

    /// How it ended.
    pub(crate) fn end(&mut self, end: End) {
        self.end = end;
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.worker.counts().end(self.end);
    }
}
