//! The resource that users write, `MqttTlsListener`: its types, its schema, and the CEL rules that
//! reject what can never work.
//!
//! It must hold exactly the fields that work, and no behaviour: what a field means is decided in `plan`.

#![expect(
    unreachable_pub,
    reason = "KubeSchema's derive repeats each struct inside of a function"
)]

mod limits;
mod maps;
mod pod;
mod service;
mod status;
mod timeouts;
mod tls;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResource, CustomResourceExt, KubeSchema};
use mqtt_tls_config::yaml;
use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

pub use limits::Limits;
pub use pod::{PodTemplate, Resources};
pub use service::{ExternalTrafficPolicy, ServiceTemplate, ServiceType};
pub use status::{Address, AddressType, CertificateStatus, MqttTlsListenerStatus};
pub use timeouts::Timeouts;
pub use tls::{Tickets, Tls};

/// The definition's annotation with the release that it is of.
pub const RELEASE: &str = "mqtt.smartboot.tech/release";

/// The port of probes, metrics and status in every terminator pod.
pub const ADMIN_PORT: u16 = 9883;

/// How many certificates a listener may have: one `pem`, and what the contract allows beside it.
pub const CERTIFICATES_MAX: usize = 1 + mqtt_tls_config::CERTIFICATES_MAX;

/// How many replicas a listener may have.
pub const REPLICAS_MAX: i32 = 100;

/// How long a listener's name may be, in characters: its Service is called `NAME-mqtts`, and a
/// Service's name has at most 63.
pub const NAME_LENGTH_MAX: usize = 57;

/// Where devices connect with MQTT over TLS, the certificates that they are shown, and the smart-mqtt
/// broker behind it.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[kube(
    group = "mqtt.smartboot.tech",
    version = "v1alpha1",
    kind = "MqttTlsListener",
    plural = "mqtttlslisteners",
    shortname = "mtl",
    category = "smart-mqtt",
    namespaced,
    doc = "A TLS listener in front of a smart-mqtt broker: the operator runs terminators that decrypt \
           MQTT over TLS and hand it to the broker in plaintext.",
    status = "MqttTlsListenerStatus",
    derive = "PartialEq",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        description = "Whether devices can connect, by all that the operator knows.",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Address",
        type_ = "string",
        description = "Where devices connect.",
        json_path = ".status.addresses[0].value"
    ),
    printcolumn(
        name = "Port",
        type_ = "integer",
        description = "The port that devices connect to.",
        json_path = ".spec.port"
    ),
    printcolumn(
        name = "Replicas",
        type_ = "integer",
        description = "How many terminator pods are ready.",
        json_path = ".status.readyReplicas"
    ),
    printcolumn(
        name = "Expires",
        type_ = "string",
        description = "When the default certificate ends.",
        json_path = ".status.certificates[0].notAfter"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        description = "Why the listener is ready or not.",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        description = "What is wrong, and what to do.",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    ),
    validation = Rule::new("size(self.metadata.name) <= 57")
        .message("metadata.name has more than 57 characters: the Service is called NAME-mqtts, and a \
                  Service's name has at most 63; choose a shorter name"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name must start with a letter and hold only a-z, 0-9 and -: the Service is \
                  called NAME-mqtts, and a Service's name is a DNS label")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.port != 9883")
        .message("port 9883 is where each terminator pod answers probes and metrics; choose another port")
        .field_path(".port"),
    validation = Rule::new("has(self.clientAuth)")
        .message("clientAuth is there and says nothing: set clientAuth.mode to Require or Optional, with \
                  clientAuth.caRef, or to None")
        .field_path(".clientAuth")
)]
pub struct MqttTlsListenerSpec {
    /// The IP address that the terminators listen on. Default: all addresses, IPv4 and IPv6.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 45))]
    #[x_kube(
        validation = Rule::new("isIP(self)")
            .message("host must be an IP address, such as 0.0.0.0 or ::; to listen on all addresses, leave \
                      it out"),
        validation = Rule::new("!isIP(self) || !ip(self).isLoopback()")
            .message("host is a loopback address, which nothing outside of the pod can reach; leave it out \
                      to listen on all addresses")
    )]
    pub host: Option<String>,

    /// The TCP port that devices connect to, of the Service and of the pods. Default: 8883.
    #[serde(default = "default_port")]
    #[schemars(schema_with = "maps::port")]
    pub port: u16,

    /// The server's certificates. The first is the default; the others are chosen by the host name that
    /// a device asks for (SNI) and by key type. 1 to 16.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(
        validation = Rule::new(
            "self.all(one, self.exists_one(other, other.secretRef.name == one.secretRef.name))"
        ).message("certificates names the same Secret twice; name each Secret once")
    )]
    pub certificates: Vec<CertificateSource>,

    /// Whether devices must show a certificate of their own (mutual TLS). Default: they need none.
    #[serde(default, deserialize_with = "said")]
    #[schemars(extend("nullable" = true))]
    pub client_auth: ClientAuth,

    /// What TLS offers beyond its versions, suites and groups, which are fixed.
    #[serde(default)]
    pub tls: Tls,

    /// How long each phase of a connection may take.
    #[serde(default)]
    pub timeouts: Timeouts,

    /// How many connections each terminator pod takes.
    #[serde(default)]
    pub limits: Limits,

    /// The smart-mqtt broker that gets the plaintext MQTT.
    pub backend: Backend,

    /// How many terminator pods there are. Default: 2. 0 to 100.
    #[serde(default = "default_replicas")]
    #[schemars(range(min = 0, max = 100))]
    pub replicas: i32,

    /// How the Service in front of the terminators looks.
    #[serde(default)]
    pub service: ServiceTemplate,

    /// How the terminator pods look.
    #[serde(default)]
    pub pod: PodTemplate,
}

/// Where one server certificate comes from.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateSource {
    /// A Secret in the listener's namespace with the certificate chain (leaf first) and its private
    /// key: the keys `tls.crt` and `tls.key` (as in type kubernetes.io/tls), or one key `pem` with both.
    pub secret_ref: SecretRef,
}

/// The name of a Secret in the listener's namespace.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// The Secret's name.
    #[schemars(schema_with = "maps::object_name")]
    pub name: String,
}

/// Mutual TLS.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.mode == 'None' || has(self.caRef)")
        .message("clientAuth.mode Optional and Require need clientAuth.caRef, the Secret or ConfigMap with \
                  the CA certificates that devices' certificates chain to; add it, or set mode: None")
        .field_path(".caRef")
)]
pub struct ClientAuth {
    /// `None`: devices are not asked for a certificate. `Optional`: one that does not verify is refused,
    /// none at all is let in. `Require`: only a certificate that verifies is let in. It has no default: one
    /// that is forgotten or misspelt must not let everyone in.
    pub mode: ClientAuthMode,

    /// The CA certificates that devices' certificates must chain to. Needed unless `mode` is None.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_ref: Option<CaRef>,
}

/// Whether devices show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum ClientAuthMode {
    /// They are not asked for one.
    #[default]
    None,
    /// They may.
    Optional,
    /// They must.
    Require,
}

/// A bundle of CA certificates.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaRef {
    /// Whether a Secret or a ConfigMap holds it.
    pub kind: CaKind,
    /// The object's name, in the listener's namespace.
    #[schemars(schema_with = "maps::object_name")]
    pub name: String,
    /// The key in the object. Default: ca.crt.
    #[serde(default = "default_ca_key")]
    #[schemars(schema_with = "maps::data_key")]
    pub key: String,
}

/// What kind of object holds a CA bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum CaKind {
    /// A Secret.
    Secret,
    /// A ConfigMap.
    ConfigMap,
}

impl CaKind {
    /// The kind's name, as in manifests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
        }
    }
}

/// The smart-mqtt broker: a Service of this namespace, or an address. Exactly one of them.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.service) != has(self.address)")
        .message("backend needs exactly one of service (a Service in this namespace) and address (a host \
                  name or an IP address)")
)]
pub struct Backend {
    /// A Service in the listener's namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<BackendService>,
    /// A broker that is not a Service in this namespace.
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

/// A broker by its address.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackendAddress {
    /// A DNS name, resolved anew for each connection, or an IP address.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(
        validation = Rule::new(
            "isIP(self) || self.matches('^([a-zA-Z0-9_]([-a-zA-Z0-9_]*[a-zA-Z0-9_])?[.])*\
             [a-zA-Z0-9_]([-a-zA-Z0-9_]*[a-zA-Z0-9_])?[.]?$') && !self.matches('(^|[.])[0-9]+[.]?$')"
        ).message("backend.address.host must be a DNS name or an IP address, without a port: the port has \
                   its own field")
    )]
    pub host: String,
    /// The port for plaintext MQTT. Default: 1883.
    #[serde(default = "default_backend_port")]
    #[schemars(schema_with = "maps::port")]
    pub port: u16,
}

/// Reads client authentication that is there. Whoever writes the key wants it: nothing behind it must not let
/// everyone in.
fn said<'de, D: Deserializer<'de>>(from: D) -> Result<ClientAuth, D::Error> {
    Option::deserialize(from)?.ok_or_else(|| {
        Error::custom(
            "clientAuth is there and says nothing: set clientAuth.mode to Require or Optional, with \
             clientAuth.caRef, or to None",
        )
    })
}

fn default_port() -> u16 {
    8883
}

fn default_backend_port() -> u16 {
    1883
}

fn default_replicas() -> i32 {
    2
}

fn default_ca_key() -> String {
    "ca.crt".to_owned()
}

/// The CustomResourceDefinition of this release.
pub fn definition() -> CustomResourceDefinition {
    let annotations = [
        (RELEASE, env!("CARGO_PKG_VERSION")),
        // With the definition all listeners would go. Argo CD and Flux delete what is not in their folder any more.
        (
            "argocd.argoproj.io/sync-options",
            "Prune=false,Delete=false",
        ),
        ("kustomize.toolkit.fluxcd.io/prune", "disabled"),
    ];
    let annotations = annotations.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut definition = MqttTlsListener::crd();
    definition.metadata.annotations = Some(annotations.into());
    definition
}

/// The same as it stands in `deploy/crd.yaml`.
pub fn yaml() -> String {
    let header = "# Generated by `mqtt-tls-operator crd`; a test compares them. Do not edit.\n";
    format!("{header}{}", yaml::to_string(&definition()))
}
