//! `protocol`: what clients speak inside TLS.
//!
//! It must not decide what is read of it.

use serde::Serialize;

/// What clients speak inside TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// MQTT 3.1, 3.1.1 or 5; each connection begins with a CONNECT.
    #[default]
    Mqtt,
    /// MQTT over WebSocket, which the backend handles.
    Websocket,
    /// Anything.
    Tcp,
}
