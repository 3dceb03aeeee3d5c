//! How a relayed connection ended. It must not know how that came about.

/// How a connection ended, by what happened first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum End {
    /// The backend closed its side.
    BackendClosed,
    /// The backend ended the connection, and had not answered the client's CONNECT.
    BackendMute,
    /// The backend ended the connection, and had answered with something that is neither MQTT nor TLS.
    BackendNotMqtt,
    /// The backend's connection was reset.
    BackendReset,
    /// The backend ended the connection, and had answered with TLS.
    BackendTls,
    /// The client said close_notify.
    ClientClosed,
    /// The client's connection ended without close_notify: what it had to say may be cut off.
    ClientCut,
    /// The client's connection was reset.
    ClientReset,
    /// This process is ending.
    Drained,
    /// The session's key has encrypted all that it may.
    KeySpent,
    /// The client broke the TLS protocol.
    TlsError,
}

impl End {
    /// As a metric's label.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::BackendClosed => "backend_closed",
            Self::BackendMute => "backend_mute",
            Self::BackendNotMqtt => "backend_not_mqtt",
            Self::BackendReset => "backend_reset",
            Self::BackendTls => "backend_tls",
            Self::ClientClosed => "client_closed",
            Self::ClientCut => "client_cut",
            Self::ClientReset => "client_reset",
            Self::Drained => "drained",
            Self::KeySpent => "key_spent",
            Self::TlsError => "tls_error",
        }
    }
}
