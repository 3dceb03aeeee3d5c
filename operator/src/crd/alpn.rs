//! The protocols that TLS negotiates (ALPN, RFC 7301), and the brokers for devices that negotiate one of them.
//!
//! It must not decide which one a device gets; the terminators do.

use kube::KubeSchema;
use mqtt_tls_config::{ALPN_NAME_LENGTH_MAX, PROBE_PROTOCOL};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{Backend, maps};

/// The protocols that TLS negotiates (ALPN).
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.required) || !self.required || (has(self.protocols) && size(self.protocols) > 0)")
        .message("protocols is empty, and one is required; add one, or set required: false")
        .field_path(".protocols")
)]
pub struct Alpn {
    /// The protocols, the preferred one first, at most 8. A device that offers none of them is served without one,
    /// unless one is `required`. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub protocols: Vec<AlpnProtocol>,

    /// Whether devices that offer none of the protocols are refused, with the alert no_application_protocol. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(schema_with = "maps::switch")]
    pub required: bool,
}

/// A protocol that TLS negotiates.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlpnProtocol {
    /// Its name, such as `mqtt` or `x-amzn-mqtt-ca`: 1 to 64 printable ASCII characters without spaces.
    #[schemars(schema_with = "name")]
    pub name: String,

    /// The smart-mqtt broker for devices that negotiate it. Default: that of the host, or else of the listener. A host with a
    /// `backend` of its own, and without `tls.alpn`, has the listener's protocols and not their brokers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<Backend>,
}

/// What a host has of `tls`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostTls {
    /// The protocols that TLS negotiates (ALPN) with devices that request these names. Default: as the listener has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpn: Option<Alpn>,
}

impl HostTls {
    /// Reports whether the host has nothing of its own.
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

fn name(_: &mut SchemaGenerator) -> Schema {
    let explanation =
        "must be the name of a protocol, such as mqtt: printable ASCII characters without spaces";
    let probe = String::from_utf8_lossy(PROBE_PROTOCOL);
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": ALPN_NAME_LENGTH_MAX,
        "x-kubernetes-validations": [
            {
                "rule": "self.matches('^[!-~]+$')",
                "message": explanation,
                "messageExpression": format!("'{explanation}; it is ' + self"),
            },
            {
                "rule": format!("self != '{probe}'"),
                "message": format!("{probe} marks the operator's probes; remove it"),
            },
        ],
    })
}
