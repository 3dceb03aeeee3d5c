//! What devices speak inside TLS. It must not decide what is read of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What devices speak inside TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// MQTT 3.1, 3.1.1 or 5.
    #[default]
    Mqtt,
    /// MQTT over WebSocket, which the broker handles.
    Websocket,
    /// Anything.
    Tcp,
}
