//! What the operator says about a listener. It must not hold key material, nor a hash of any.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator says about a listener.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MqttTlsListenerStatus {
    /// The generation of the spec that all of this is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// `Accepted`: the spec makes sense. `ResolvedRefs`: every object that it names is there and usable.
    /// `CertificateValid`: all certificates are valid now. `Programmed`: the children are as wanted.
    /// `Available`: enough pods are ready. `Ready`: all of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Condition>,

    /// The certificates that are rendered for the terminators, the default first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub certificates: Vec<CertificateStatus>,

    /// Where devices connect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub addresses: Vec<Address>,

    /// How many terminator pods there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,

    /// How many terminator pods are ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,

    /// The labels by which the terminator pods are found, for `kubectl scale` and autoscalers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
}

/// The facts of one certificate that is rendered.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateStatus {
    /// The Secret that it came from.
    pub secret_name: String,
    /// The DNS names and IP addresses that it is for. At most 64 are shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_names: Vec<String>,
    /// From when it is valid, in RFC 3339.
    pub not_before: String,
    /// Until when it is valid, in RFC 3339.
    pub not_after: String,
    /// The SHA-256 fingerprint of the certificate (not of its key), in hexadecimal.
    pub fingerprint: String,
    /// Its serial number, in hexadecimal.
    pub serial: String,
    /// Who issued it.
    pub issuer: String,
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
}

/// What an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum AddressType {
    /// A DNS name.
    Hostname,
    /// An IPv4 or IPv6 address.
    #[serde(rename = "IPAddress")]
    IpAddress,
}
