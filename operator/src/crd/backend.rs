//! The broker behind a listener: a Service in its namespace, or an address. It must not resolve either.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::maps;

/// The smart-mqtt broker: exactly one of a Service in this namespace and an address.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.service) != has(self.address)")
        .message("backend must have exactly one of service (a Service in this namespace) and address (a \
                  host name or an IP address)")
)]
pub struct Backend {
    /// A Service in the listener's namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<BackendService>,
    /// The address of a broker that is not a Service in this namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<BackendAddress>,
}

/// A Service in the listener's namespace.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackendService {
    /// The Service's name.
    #[schemars(schema_with = "maps::service_name")]
    pub name: String,
    /// The Service's port for plaintext MQTT. Default: 1883.
    #[serde(default = "default_backend_port")]
    #[schemars(schema_with = "maps::port")]
    pub port: u16,
}

/// The address of a broker.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackendAddress {
    /// A DNS name, resolved at most once a second while clients connect, or an IP address.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(
        validation = Rule::new(
            "isIP(self) || self.matches('^([a-zA-Z0-9_]([-a-zA-Z0-9_]*[a-zA-Z0-9_])?[.])*\
             [a-zA-Z0-9_]([-a-zA-Z0-9_]*[a-zA-Z0-9_])?[.]?$') && !self.matches('(^|[.])[0-9]+[.]?$')"
        ).message("backend.address.host must be a DNS name or an IP address, without a port: the port has \
                   its own field"),
        validation = Rule::new(
            "!(isIP(self) && (ip(self).isLoopback() || ip(self).isUnspecified())) && \
             !self.lowerAscii().matches('^(.*[.])?localhost[.]?$')"
        ).message("backend.address.host is a loopback address, which is the terminator pod itself; set the \
                   broker's address, or its Service as backend.service")
    )]
    pub host: String,
    /// The port for plaintext MQTT. Default: 1883.
    #[serde(default = "default_backend_port")]
    #[schemars(schema_with = "maps::port")]
    pub port: u16,
}

fn default_backend_port() -> u16 {
    1883
}
