//! The listener's status. It must not contain key material, or a hash of it.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The status of a listener.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MqttTlsListenerStatus {
    /// The generation of the spec that this status describes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// `Accepted`: the spec is valid. `ResolvedRefs`: every referenced object exists and is usable.
    /// `CertificateValid`: all certificates are currently valid. `Programmed`: the children match the spec.
    /// `Available`: all pods are ready and of the current template. `CertificateServed`: the ready pods have proved that
    /// they serve the current configuration. `BackendReachable`: they reach the broker. `Ready`: all of these.
    /// `Trial`, only with a trial: a renewed certificate is tried, or was rolled back.
    /// `Reconciling` or `Stalled`, only while true: a change is in progress, or does not proceed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Condition>,

    /// The listener's own certificates that the terminators serve, the default first. While ready pods prove that they serve
    /// others, the entries of the last time stay.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub certificates: Vec<CertificateStatus>,

    /// The renewed certificates of another class that are tried, or were rolled back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub trials: Vec<TrialStatus>,

    /// The hosts that are not right: their certificates, CA certificates or broker, as the conditions say in full.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub hosts: Vec<HostStatus>,

    /// Where devices connect. Empty while a load balancer has assigned no address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub addresses: Vec<Address>,

    /// Number of terminator pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,

    /// Number of ready terminator pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,

    /// Ready and wanted terminator pods, such as `2/2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods: Option<String>,

    /// The label selector of the terminator pods, for `kubectl scale` and autoscalers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
}

/// One certificate that the terminators serve.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateStatus {
    /// The Secret that contains it.
    pub secret_name: String,
    /// Its DNS names and IP addresses (subject alternative names). At most 64 are shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_names: Vec<String>,
    /// Start of its validity, in RFC 3339.
    pub not_before: String,
    /// End of its validity, in RFC 3339.
    pub not_after: String,
    /// The SHA-256 fingerprint of the certificate (not of its key), in hexadecimal.
    pub fingerprint: String,
    /// Its serial number, in hexadecimal.
    pub serial: String,
    /// Its subject; empty if it has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// Its issuer.
    pub issuer: String,
    /// Since when it is served, in RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// The trial of a renewed certificate.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrialStatus {
    /// Its ID, which `kubectl annotate` needs; absent if it has not begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The Secret that contains the certificate.
    pub secret_name: String,
    /// `Running`, `Held`, `Waiting` or `RolledBack`.
    pub state: TrialState,
    /// The share of the full handshakes in which devices get it, in percent.
    #[schemars(schema_with = "percent")]
    pub percent: u16,
    /// Since when, in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// When the previous certificate expires, in RFC 3339: then all devices get this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// How it differs from the previous certificate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
    /// The SHA-256 fingerprint of the certificate (not of its key), in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Its issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// End of its validity, in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
    /// Handshakes with it, as of the last change of the trial, and at most five minutes old.
    pub renewed: TrialCounts,
    /// Handshakes with the previous certificate in the same time.
    pub previous: TrialCounts,
    /// How devices aborted on it, by alert.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "counts")]
    pub alerts: BTreeMap<String, u64>,
    /// Clients that cannot verify signatures by its key, as their ClientHellos say; they get the previous certificate meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unable: Option<TrialUnable>,
    /// Percentage of the last day's clients that cannot verify its kind of key, rounded up, as the pods have seen it in their
    /// ClientHellos.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "count")]
    pub forecast_percent: Option<u64>,
}

/// Schemas with formats that the API server knows; it warns of unsigned ones.
fn percent(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "format": "int32", "minimum": 0, "maximum": 100})
}

fn count(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "format": "int64", "minimum": 0})
}

fn counts(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "additionalProperties": count(generator)})
}

/// The state of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum TrialState {
    /// A share of the devices gets the certificate.
    Running,
    /// The same, and it does not go on for now.
    Held,
    /// It cannot begin, or go on, yet.
    Waiting,
    /// All get the previous certificate.
    RolledBack,
}

impl TrialState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Running, Self::Held, Self::Waiting, Self::RolledBack];

    /// Returns its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Held => "Held",
            Self::Waiting => "Waiting",
            Self::RolledBack => "RolledBack",
        }
    }
}

/// Handshakes with a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrialCounts {
    /// Connections with a first packet.
    #[schemars(schema_with = "count")]
    pub served: u64,
    /// Devices that aborted; each counts once.
    #[schemars(schema_with = "count")]
    pub aborted: u64,
    /// Those of them that were served with the previous certificate later.
    #[schemars(schema_with = "count")]
    pub confirmed: u64,
}

/// Clients that cannot verify a renewed certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrialUnable {
    /// Their connections for which it was drawn.
    #[schemars(schema_with = "count")]
    pub connections: u64,
    /// About how many they are: of each step, the most that one pod has met. Those with the same software behind one address are one.
    #[schemars(schema_with = "count")]
    pub devices: u64,
}

/// A host that is not right.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostStatus {
    /// The first of its names.
    #[schemars(length(max = 512))]
    pub name: String,
    /// Why it is not right, in CamelCase, as in the conditions.
    #[schemars(length(max = 63))]
    pub reason: String,
    /// The object, what is wrong, and what to do.
    #[schemars(length(max = 2048))]
    pub message: String,
}

/// Where devices connect.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Address {
    /// Whether the value is an IP address or a host name.
    #[serde(rename = "type")]
    pub type_: AddressType,
    /// The address.
    pub value: String,
    /// The port.
    pub port: i32,
    /// Both, as MQTT clients take them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// The type of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum AddressType {
    /// A DNS name.
    Hostname,
    /// An IPv4 or IPv6 address.
    #[serde(rename = "IPAddress")]
    IpAddress,
}
