//! The limits of a terminator pod, as users write them.
//!
//! They must have the defaults and bounds of the terminator's configuration file; its crate defines them, and a
//! test compares the descriptions. As in `timeouts`, the schema must have no defaults.

use mqtt_tls_config::Limits as File;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Limits on the connections of each terminator pod. A change reaches the pods without replacing them, and
/// closes no connection.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Maximum number of open connections per pod; further ones are closed. Give the pods enough memory for them
    /// (`pod.resources`). 1 to 10000000. Default: 250000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "connections")]
    pub connections: Option<u32>,

    /// Maximum number of connections per pod that have not sent their CONNECT yet: silent, in the ClientHello, in the
    /// handshake, or before the CONNECT. Above it, each new one replaces one in the fullest stage, from the addresses
    /// that hold the most, so that no device is locked out. 1 to 1000000. Default: 8192.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "handshakes")]
    pub handshakes: Option<u32>,

    /// Maximum size of a CONNECT in bytes, its will included, where names in it come from certificates; a client that
    /// announces a larger one is refused. 1024 to 1048576. Default: 65536.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "connect_bytes")]
    pub connect_bytes: Option<u32>,

    /// Maximum number of connections per pod that are closed in a second because their client's certificate is not accepted any
    /// more when it is judged again; the others wait. 1 to 10000. Default: 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "recheck_closes")]
    pub recheck_closes: Option<u32>,
}

fn connections(_: &mut SchemaGenerator) -> Schema {
    count(File::CONNECTIONS_RANGE)
}

fn handshakes(_: &mut SchemaGenerator) -> Schema {
    count(File::HANDSHAKES_RANGE)
}

fn connect_bytes(_: &mut SchemaGenerator) -> Schema {
    count(File::CONNECT_BYTES_RANGE)
}

fn recheck_closes(_: &mut SchemaGenerator) -> Schema {
    count(File::RECHECK_CLOSES_RANGE)
}

fn count((least, most): (u32, u32)) -> Schema {
    json_schema!({"type": "integer", "format": "int32", "minimum": least, "maximum": most})
}
