//! TLS options, as users write them.
//!
//! It must not offer an option that weakens TLS. As in `timeouts`, the schema must have no defaults.

use kube::KubeSchema;
use mqtt_tls_config::key::Named;
use mqtt_tls_config::{Group, Suite, Tls as File};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::Alpn;

/// TLS options, of what is secure. A change reaches the pods without replacing them, and applies to new connections.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.minVersion) && self.minVersion == 'Tls13' && has(self.maxVersion) && self.maxVersion == 'Tls12')")
        .message("minVersion is higher than maxVersion; lower it, or remove maxVersion")
        .field_path(".minVersion"),
    validation = Rule::new(
            "!has(self.suites) || (has(self.maxVersion) && self.maxVersion == 'Tls12') || \
             self.suites.exists(suite, !suite.startsWith('TLS_ECDHE_'))"
        )
        .message(Message::Expression("'suites has none of TLS 1.3, which is on; add TLS_AES_128_GCM_SHA256, or set \
                  maxVersion: Tls12; it is ' + self.suites.join(', ')".to_owned()))
        .field_path(".suites"),
    validation = Rule::new(
            "!has(self.suites) || (has(self.minVersion) && self.minVersion == 'Tls13') || \
             self.suites.exists(suite, suite.startsWith('TLS_ECDHE_'))"
        )
        .message(Message::Expression("'suites has none of TLS 1.2, which is on; add \
                  TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 or TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, or set \
                  minVersion: Tls13; it is ' + self.suites.join(', ')".to_owned()))
        .field_path(".suites"),
    validation = Rule::new(
            "!has(self.groups) || (has(self.minVersion) && self.minVersion == 'Tls13') || \
             self.groups.exists(group, group != 'X25519MLKEM768')"
        )
        .message(Message::Expression("'groups has none of TLS 1.2, which is on; add x25519, or set minVersion: Tls13; \
                  it is ' + self.groups.join(', ')".to_owned()))
        .field_path(".groups")
)]
pub struct Tls {
    /// The lowest version of TLS, `Tls12` or `Tls13`. Devices that offer none from it on get the alert protocol_version.
    /// Before you raise it, see in the metric mqtt_tls_preview_failing_clients how many devices could not connect any
    /// more. Default: Tls12.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "version")]
    pub min_version: Option<TlsVersion>,

    /// The highest version of TLS, `Tls12` or `Tls13`. Default: Tls13.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "version")]
    pub max_version: Option<TlsVersion>,

    /// The cipher suites of all versions, by their IANA names; their order does not matter. Those with ECDHE are of TLS
    /// 1.2, and each is for one kind of key (ECDSA ones also for Ed25519): each version that is on needs one, and with TLS
    /// 1.2 each certificate. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "suites")]
    pub suites: Option<Vec<String>>,

    /// The key exchange groups, by their IANA names; their order does not matter. X25519MLKEM768, which is secure against
    /// quantum computers too, is of TLS 1.3 only. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "groups")]
    pub groups: Option<Vec<String>>,

    /// Which clients get session tickets, with which they resume their session after a reconnect. `None`:
    /// no client. `Tls12`: clients of TLS 1.2. `All`: also clients of TLS 1.3; choose it only if all devices'
    /// TLS stacks accept their tickets (wolfSSL usually does not). Default: Tls12.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "tickets")]
    pub tickets: Option<Tickets>,

    /// For small devices: the size of their TLS buffer in bytes, often 4096; from 512 to 16384. Records for devices have at
    /// most so much data. The messages of a handshake cannot be split for them: `CertificateValid` has a warning, with the
    /// bytes of each certificate, if these do not fit. Devices that ask for smaller records get them in any case. Default:
    /// 16384.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "record_size")]
    pub record_size_max: Option<u32>,

    /// The protocols that TLS negotiates (ALPN), perhaps with brokers of their own. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpn: Option<Alpn>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
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

fn version(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": ["Tls12", "Tls13"]})
}

fn suites(_: &mut SchemaGenerator) -> Schema {
    set_of::<Suite>()
}

fn groups(_: &mut SchemaGenerator) -> Schema {
    set_of::<Group>()
}

/// Schema of a list of names, each once, at least one.
fn set_of<T: Named>() -> Schema {
    let names: Vec<&str> = T::ALL.iter().map(|one| one.name()).collect();
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": names.len(),
        "x-kubernetes-list-type": "set",
        "items": {"type": "string", "maxLength": 64, "enum": names},
    })
}

fn tickets(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": ["None", "Tls12", "All"]})
}

fn record_size(_: &mut SchemaGenerator) -> Schema {
    let (least, most) = File::RECORD_SIZE_RANGE;
    json_schema!({"type": "integer", "format": "int32", "minimum": least, "maximum": most})
}
