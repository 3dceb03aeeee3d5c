//! The hosts of a listener: names with certificates, client authentication and a broker of their own.
//!
//! It must not decide what a device gets; `plan` and the terminators do.

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{Backend, CertificateSource, ClientAuth, HostTls, Identity, client_auth};

/// Maximum number of hosts of a listener.
pub const HOSTS_MAX: usize = mqtt_tls_config::HOSTS_MAX;

/// Maximum number of names of all hosts of a listener together.
pub const NAMES_MAX: usize = mqtt_tls_config::NAMES_MAX;

/// Maximum number of certificates of a host. Their sources are recorded in an annotation, and all annotations of an object
/// together have at most 256 KiB.
pub const HOST_CERTIFICATES_MAX: usize = 4;

/// Names with certificates, client authentication and a broker of their own. What a host leaves out, it takes from the
/// listener. A session is resumed under the host that issued it only.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
            "!has(self.identity) || (has(self.identity.mode) && self.identity.mode == 'None') || \
             !has(self.clientAuth) || self.clientAuth.mode != 'None'"
        )
        .message("identity gives devices the names of their certificates, which clientAuth.mode None does not request; set \
                  clientAuth.mode to Require or Optional, or identity.mode: None")
        .field_path(".identity")
)]
pub struct Host {
    /// The names that devices request (SNI): DNS names in lower case, or `*.` and a DNS name, which stands for one label.
    /// An exact name comes before a wildcard. Each name belongs to one host. 1 to 100; all hosts together have at most
    /// 1000.
    #[schemars(schema_with = "names")]
    pub names: Vec<String>,

    /// The server certificates for these names. The first is the default; the others are chosen by the name that a device
    /// requests and by key type. 1 to 4. Default: the listener's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 4))]
    #[x_kube(
        validation = Rule::new(
            "self.all(one, !has(one.secretRef) || self.exists_one(other, has(other.secretRef) && \
             other.secretRef == one.secretRef))"
        ).message("certificates lists the same Secret twice; list each Secret once"),
        validation = Rule::new("!has(self[0].optional) || !self[0].optional")
            .message("the first certificate is the default, and must not be optional")
    )]
    pub certificates: Vec<CertificateSource>,

    /// Whether devices that request these names must present a certificate (mutual TLS). Default: as the listener has it.
    #[serde(
        default,
        deserialize_with = "client_auth::never_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub client_auth: Option<ClientAuth>,

    /// User names and client IDs from devices' certificates. Default: as the listener has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,

    /// The smart-mqtt broker for these names. Default: the listener's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<Backend>,

    /// TLS options for these names.
    #[serde(default, skip_serializing_if = "HostTls::is_default")]
    pub tls: HostTls,
}

/// What devices get that request a name that no host has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum UnknownNames {
    /// What devices without SNI get.
    #[default]
    Serve,
    /// The alert unrecognized_name.
    Refuse,
}

/// What happens if devices of one host could take names that certificates give at another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum SharedNames {
    /// The spec is not accepted.
    #[default]
    Refuse,
    /// It is served.
    Accept,
}

fn names(_: &mut SchemaGenerator) -> Schema {
    let explanation = "must be a DNS name in lower case, such as mqtt.example.com or *.example.com, without a port";
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": 100,
        "items": {
            "type": "string",
            "minLength": 1,
            "maxLength": 253,
            "x-kubernetes-validations": [{
                // A longer pattern would exceed the budget for the cost of a rule; `plan` checks the rest.
                "rule": "self.matches('^([*][.])?([-a-z0-9_]+[.])*[a-z_][-a-z0-9_]*$')",
                "message": explanation,
                "messageExpression": format!("'{explanation}; it is ' + self"),
            }],
        },
    })
}
