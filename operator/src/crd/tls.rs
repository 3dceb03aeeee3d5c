//! What TLS offers beyond its versions, suites and groups, which are fixed; as users write it.
//!
//! It must not offer what would weaken it. As in `timeouts`, no default stands in the schema.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// What TLS offers beyond its versions, suites and groups, which are fixed. A change reaches the pods without
/// replacing them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// Which clients get session tickets, with which they resume their session when they come back. `None`:
    /// nobody. `Tls12`: those of TLS 1.2. `All`: those of TLS 1.3, too; choose it where no device has a stack
    /// that cannot take them (wolfSSL, as a rule, cannot). Default: Tls12.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "tickets")]
    pub tickets: Option<Tickets>,
}

/// Which clients get session tickets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Tickets {
    /// Nobody.
    None,
    /// Those of TLS 1.2.
    Tls12,
    /// All.
    All,
}

fn tickets(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": ["None", "Tls12", "All"]})
}
