//! The resource that users write, `MqttTlsListener`: its types, its schema, and the CEL rules that
//! reject what can never work.
//!
//! It must hold exactly the fields that work, and no behaviour: what a field means is decided in `plan`.

#![expect(
    unreachable_pub,
    reason = "KubeSchema's derive repeats each struct inside of a function"
)]

mod backend;
mod client_auth;
mod limits;
mod maps;
mod pod;
mod references;
mod service;
mod status;
mod timeouts;
mod tls;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResource, CustomResourceExt, KubeSchema};
use mqtt_tls_config::yaml;
use serde::{Deserialize, Serialize};

pub use backend::{Backend, BackendAddress, BackendService};
pub use client_auth::{CaKind, CaRef, ClientAuth, ClientAuthMode};
pub use limits::Limits;
pub use pod::{PodTemplate, Resources};
pub use references::{CertificateSource, SecretRef};
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
    #[serde(default, deserialize_with = "client_auth::said")]
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

fn default_port() -> u16 {
    8883
}

fn default_replicas() -> i32 {
    2
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
