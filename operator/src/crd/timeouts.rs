//! The time limits of the phases of a connection, as users write them.
//!
//! They must have the defaults and bounds of the terminator's configuration file; its crate defines them, and a
//! test compares the descriptions. The schema must have no defaults: the API server would write them into each
//! listener, and a better default in a later release would reach none of them.

use std::time::Duration;

use mqtt_tls_config::{Timeouts as File, show_duration};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Maximum length of a duration in characters.
const DURATION_LENGTH_MAX: usize = 16;

/// Time limits of the phases of a connection: whole numbers with units, such as `30s`, `1m30s` or `500ms`.
/// A change reaches the pods without replacing them, and applies to new connections.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Timeouts {
    /// From accept to the end of the TLS handshake, 100ms to 10m. Devices on GPRS or NB-IoT need 12 to 20
    /// seconds for a chain of 4 KB. Default: 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "phase")]
    pub handshake: Option<String>,

    /// From the end of the handshake to the end of the client's CONNECT packet, 100ms to 10m. The broker is
    /// dialled after it. Default: 20s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "phase")]
    pub first_packet: Option<String>,

    /// Resolving the broker's name and connecting to it, including all its addresses, 100ms to 10m. Default: 5s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "phase")]
    pub dial: Option<String>,

    /// How long one direction may stay open after the other has closed: after a client's half-close, how long the
    /// broker may still read and respond. 100ms to 1h. Default: 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "half_close")]
    pub half_close: Option<String>,
}

fn phase(_: &mut SchemaGenerator) -> Schema {
    duration(File::PHASE)
}

fn half_close(_: &mut SchemaGenerator) -> Schema {
    duration(File::HALF_CLOSE_RANGE)
}

/// Schema of a duration that the API server, this program and the terminator's file parse in the same way.
pub(super) fn duration((least, most): (Duration, Duration)) -> Schema {
    let (least, most) = (show_duration(least), show_duration(most));
    let rule = format!(
        "self.matches('^([0-9]+(h|m|s|ms))+$') && duration(self) >= duration('{least}') && \
         duration(self) <= duration('{most}')"
    );
    let message = format!("must be a duration from {least} to {most}, such as 30s, 1m30s or 500ms");
    json_schema!({
        "type": "string",
        "minLength": 2,
        "maxLength": DURATION_LENGTH_MAX,
        "x-kubernetes-validations": [{
            "rule": rule,
            "message": message,
            "messageExpression": format!("'{message}; it is ' + self"),
        }],
    })
}
