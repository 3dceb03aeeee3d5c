//! TLS options, as users write them. Versions, cipher suites and key exchange groups are fixed.
//!
//! It must not offer an option that weakens TLS. As in `timeouts`, the schema must have no defaults.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// TLS options. Versions, cipher suites and key exchange groups are fixed. A change reaches the pods without
/// replacing them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// Which clients get session tickets, with which they resume their session after a reconnect. `None`:
    /// no client. `Tls12`: clients of TLS 1.2. `All`: also clients of TLS 1.3; choose it only if all devices'
    /// TLS stacks accept their tickets (wolfSSL usually does not). Default: Tls12.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "tickets")]
    pub tickets: Option<Tickets>,
}

/// Which clients get session tickets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Tickets {
    /// No clients.
    None,
    /// Clients of TLS 1.2.
    Tls12,
    /// All clients.
    All,
}

fn tickets(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": ["None", "Tls12", "All"]})
}
