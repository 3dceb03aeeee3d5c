//! How many connections a terminator pod takes, as users write it.
//!
//! It must have the defaults and bounds of the terminator's own file; the file's crate holds them, and a test
//! compares what is said here. As in `timeouts`, no default stands in the schema.

use mqtt_tls_config::Limits as File;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// How many connections each terminator pod takes. A change reaches the pods without replacing them, and
/// closes no connection.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Open at once, in each pod; those beyond are closed. Give the pods memory for them
    /// (`pod.resources`). 1 to 10000000. Default: 250000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "connections")]
    pub connections: Option<u32>,

    /// Devices that each pod waits for at once: that are silent, in their ClientHello, in their handshake, or before
    /// their CONNECT. Where there are more, one has to leave of the addresses that hold many of the fullest stage, so
    /// that no device is kept out. 1 to 1000000. Default: 8192.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "handshakes")]
    pub handshakes: Option<u32>,
}

fn connections(_: &mut SchemaGenerator) -> Schema {
    count(File::CONNECTIONS_RANGE)
}

fn handshakes(_: &mut SchemaGenerator) -> Schema {
    count(File::HANDSHAKES_RANGE)
}

fn count((least, most): (u32, u32)) -> Schema {
    json_schema!({"type": "integer", "format": "int32", "minimum": least, "maximum": most})
}
