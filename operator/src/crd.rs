//! The resource that users write, `MqttTlsListener`: its types, its schema, and the CEL rules that
//! reject what can never work.
//!
//! It must contain only fields that work, and no behaviour: `plan` decides what a field means.

#![expect(
    unreachable_pub,
    reason = "KubeSchema's derive repeats each struct inside of a function"
)]

mod admin;
mod alpn;
mod backend;
mod client_auth;
mod descriptions;
mod host;
mod identity;
mod issuer;
mod limits;
mod maps;
mod pod;
mod protocol;
mod references;
mod service;
mod status;
mod timeouts;
mod tls;
mod trial;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::DeserializeGuard;
use kube::{CustomResource, CustomResourceExt, KubeSchema};
use mqtt_tls_config::yaml;
use serde::{Deserialize, Serialize};

pub use admin::Admin;
pub use alpn::{Alpn, AlpnProtocol, HostTls};
pub use backend::{Backend, BackendAddress, BackendService};
pub use client_auth::{
    CaKind, CaRef, ClientAuth, ClientAuthMode, ClientRule, CrlRef, CrlUrl, Revocation,
    RevocationCheck, RuleField, WhenUnknown,
};
pub use host::{HOST_CERTIFICATES_MAX, HOSTS_MAX, Host, NAMES_MAX, SharedNames, UnknownNames};
pub use identity::{Identity, IdentityMode, Mismatch, Naming, NamingAction, WithoutCertificate};
pub use issuer::{
    DURATION, ISSUED_NAMES_MAX, IssuerRef, KeyAlgorithm, PrivateKey, RENEW_BEFORE, Usage,
};
pub use limits::Limits;
pub use pod::{PodTemplate, Resources};
pub use protocol::Protocol;
pub use references::{CertificateSource, GRACE, SecretRef};
pub use service::{ExternalTrafficPolicy, ServiceTemplate, ServiceType};
pub use status::{
    Address, AddressType, CertificateStatus, HostStatus, MqttTlsListenerStatus, TrialCounts,
    TrialState, TrialStatus, TrialUnable,
};
pub use timeouts::Timeouts;
pub use tls::{Tickets, Tls, TlsVersion};
pub use trial::{Trial, TrialStrategy};

/// The definition's annotation with its release.
pub const RELEASE: &str = "mqtt.smartboot.tech/release";

/// The port of probes, metrics and status in every terminator pod.
pub const ADMIN_PORT: u16 = 9883;

/// Maximum number of certificates of a listener: one `pem`, and those that the configuration file allows beside it.
pub const CERTIFICATES_MAX: usize = 1 + mqtt_tls_config::CERTIFICATES_MAX;

/// Maximum number of replicas of a listener.
pub const REPLICAS_MAX: i32 = 100;

/// Maximum length of a listener's name in characters: its Service is called `NAME-mqtts`, and a
/// Service's name has at most 63.
pub const NAME_LENGTH_MAX: usize = 57;

/// Where devices connect with MQTT over TLS, the server certificates, and the smart-mqtt broker behind it.
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
           MQTT over TLS and forward it to the broker in plaintext.",
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
        description = "Whether devices can connect, as far as the operator knows.",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        description = "Why the listener is ready or not.",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(
        name = "Pods",
        type_ = "string",
        description = "Ready and wanted terminator pods.",
        json_path = ".status.pods"
    ),
    printcolumn(
        name = "Address",
        type_ = "string",
        description = "Where devices connect; empty while a load balancer has assigned no address.",
        json_path = ".status.addresses[0].url"
    ),
    printcolumn(
        name = "Expires",
        type_ = "string",
        description = "When the default certificate expires.",
        json_path = ".status.certificates[0].notAfter"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
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
        .message("metadata.name must start with a letter and contain only a-z, 0-9 and -: the Service is \
                  called NAME-mqtts, and a Service's name is a DNS label"),
    validation = Rule::new(
            "!has(self.spec.backend.service) || \
             self.spec.backend.service.name != self.metadata.name + '-mqtts'"
        )
        .message("backend.service is the listener's own Service, NAME-mqtts; set the Service of smart-mqtt")
        .field_path(".spec.backend.service.name")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.port != 9883")
        .message("port 9883 is reserved for probes and metrics in each terminator pod; choose another port")
        .field_path(".port"),
    validation = Rule::new("has(self.clientAuth)")
        .message("clientAuth must not be empty: set clientAuth.mode to Require or Optional, with \
                  clientAuth.caRef, or to None")
        .field_path(".clientAuth"),
    validation = Rule::new("!has(self.hosts) || self.hosts.map(host, size(host.names)).sum() <= 1000")
        .message("all hosts together have more than 1000 names; use wildcards, or several listeners")
        .field_path(".hosts"),
    validation = Rule::new(
            "!has(self.identity) || (has(self.identity.mode) && self.identity.mode == 'None') || \
             self.clientAuth.mode != 'None'"
        )
        .message("identity gives devices the names of their certificates, which clientAuth.mode None does not request; set \
                  clientAuth.mode to Require or Optional, or remove identity")
        .field_path(".identity"),
    validation = Rule::new(
            "!has(self.protocol) || self.protocol == 'mqtt' || \
             !(has(self.identity) || (has(self.hosts) && self.hosts.exists(host, has(host.identity))))"
        )
        .message("identity writes names into the CONNECT of MQTT; set protocol: mqtt, or remove identity")
        .field_path(".protocol")
)]
pub struct MqttTlsListenerSpec {
    /// The IP address that the terminators listen on. Default: all addresses, IPv4 and IPv6.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 45))]
    #[x_kube(
        validation = Rule::new("isIP(self)")
            .message("host must be an IP address, such as 0.0.0.0 or ::; remove it to listen on all \
                      addresses"),
        validation = Rule::new("!isIP(self) || !ip(self).isLoopback()")
            .message("host is a loopback address, which is unreachable from outside the pod; remove it to \
                      listen on all addresses"),
        validation = Rule::new(
            "!isIP(self) || self == '0.0.0.0' || !(self == '255.255.255.255' || \
             cidr('0.0.0.0/8').containsIP(self) || cidr('224.0.0.0/4').containsIP(self) || \
             cidr('ff00::/8').containsIP(self))"
        ).message("host is a multicast or broadcast address, or one of 0.0.0.0/8, which devices cannot \
                   connect to; remove it to listen on all addresses")
    )]
    pub host: Option<String>,

    /// The TCP port that devices connect to, on the Service and on the pods. A change replaces no pod: they open the
    /// new port, the Service follows after 5 seconds, and the former port is closed a minute later. Default: 8883.
    #[serde(default = "default_port")]
    #[schemars(schema_with = "maps::port")]
    pub port: u16,

    /// The server certificates. The first is the default; the others are chosen by the host name that
    /// a device requests (SNI) and by key type. 1 to 16.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(
        validation = Rule::new(
            "self.all(one, !has(one.secretRef) || self.exists_one(other, has(other.secretRef) && \
             other.secretRef == one.secretRef))"
        ).message("certificates lists the same Secret twice; list each Secret once"),
        validation = Rule::new("!has(self[0].optional) || !self[0].optional")
            .message("the first certificate is the default, and must not be optional")
    )]
    pub certificates: Vec<CertificateSource>,

    /// How long a certificate of another namespace stays in use after its ReferenceGrant was withdrawn, from 0s to 720h. Afterwards
    /// it is not served any more; if the default is gone, the next certificate takes its place, and without one the pods are stopped.
    /// CA certificates and revocation lists stay in use. Default: 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "references::grace")]
    pub reference_grace: Option<String>,

    /// Whether the CA certificates that devices are to trust are published, under `ca.crt` of the ConfigMap `NAME-mqtts-ca`: those that
    /// have issued what is served, as far as the chains, or `ca.crt` in the Secrets, have them. Default: true if a certificate has
    /// `issuerRef`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "maps::switch")]
    pub publish_ca: Option<bool>,

    /// How a renewed certificate of another class is tried, of the listener and of each host: one of another issuer or root, with
    /// another type of key or signature, another chain, or without a name of the previous one. Devices may refuse it, so a share of
    /// them gets it first, and more in each step. Any other renewed certificate is served at once. Default: in four steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<Trial>,

    /// Whether devices must present a certificate (mutual TLS). Default: they need none.
    #[serde(default, deserialize_with = "client_auth::non_empty")]
    #[schemars(extend("nullable" = true))]
    pub client_auth: ClientAuth,

    /// User names and client IDs from devices' certificates. Default: devices keep theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,

    /// Several hosts behind the same port: each has its own names, and perhaps its own certificates, client authentication
    /// and broker. The listener's are for all other names, and for devices that request none. A change replaces no pod.
    /// At most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub hosts: Vec<Host>,

    /// What devices get that request a name (SNI) that no host has, and no certificate of the listener. `Serve`: what
    /// devices without SNI get. `Refuse`: the alert unrecognized_name. Default: Serve.
    #[serde(default)]
    pub unknown_names: UnknownNames,

    /// What happens if hosts, or a host and the listener itself, have the same broker, and devices of one could take a name that
    /// certificates give at another, because they keep the name that they send, or other CAs issue certificates for the same
    /// name. `Refuse`: such a spec is not accepted. `Accept`: it is served, where the broker keeps such devices apart. Default:
    /// Refuse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_names: Option<SharedNames>,

    /// What devices speak inside TLS. `mqtt`: a connection begins with a CONNECT of MQTT 3.1, 3.1.1 or 5, bridges included;
    /// anything else ends before the broker is dialed. `websocket` and `tcp`: bytes pass as they come, and
    /// `timeouts.firstPacket` and `limits.connectBytes` do not apply. Default: mqtt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,

    /// TLS options.
    #[serde(default)]
    pub tls: Tls,

    /// Time limits of the phases of a connection.
    #[serde(default)]
    pub timeouts: Timeouts,

    /// Limits on the connections of each terminator pod.
    #[serde(default)]
    pub limits: Limits,

    /// What the terminator pods show on their admin port, beside probes, metrics and status.
    #[serde(default, skip_serializing_if = "Admin::is_default")]
    pub admin: Admin,

    /// The smart-mqtt broker that receives the plaintext MQTT.
    pub backend: Backend,

    /// Number of terminator pods, 0 to 100. Default: 2.
    #[serde(default = "default_replicas")]
    #[schemars(range(min = 0, max = 100))]
    pub replicas: i32,

    /// The Service in front of the terminators.
    #[serde(default)]
    pub service: ServiceTemplate,

    /// The terminator pods.
    #[serde(default)]
    pub pod: PodTemplate,
}

impl MqttTlsListenerSpec {
    /// Reports whether a certificate of the listener, or of a host, has an issuer.
    pub fn has_issuer(&self) -> bool {
        let hosts = self.hosts.iter().flat_map(|host| &host.certificates);
        let mut all = self.certificates.iter().chain(hosts);
        all.any(|one| one.issuer_ref.is_some())
    }

    /// Reports whether the CA certificates that devices are to trust are published.
    pub fn publishes_ca(&self) -> bool {
        self.publish_ca.unwrap_or_else(|| self.has_issuer())
    }
}

fn default_port() -> u16 {
    8883
}

fn default_replicas() -> i32 {
    2
}

/// A listener as the API server sends it; one that cannot be parsed breaks neither a list nor a watch.
pub type Guarded = DeserializeGuard<MqttTlsListener>;

/// Returns the CustomResourceDefinition of this release.
pub fn definition() -> CustomResourceDefinition {
    let annotations = [
        (RELEASE, env!("CARGO_PKG_VERSION")),
        // Deleting the definition deletes all listeners. These keep Argo CD and Flux from pruning it.
        (
            "argocd.argoproj.io/sync-options",
            "Prune=false,Delete=false",
        ),
        ("kustomize.toolkit.fluxcd.io/prune", "disabled"),
    ];
    let annotations = annotations.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut definition = MqttTlsListener::crd();
    definition.metadata.annotations = Some(annotations.into());
    let versions = definition.spec.versions.iter_mut();
    let schemas =
        versions.filter_map(|version| version.schema.as_mut()?.open_api_v3_schema.as_mut());
    schemas.for_each(descriptions::unwrap);
    definition
}

/// Returns the content of `deploy/crd.yaml`.
pub fn yaml() -> String {
    let header = "# Generated by `mqtt-tls-operator crd`; a test compares them. Do not edit.\n";
    format!("{header}{}", yaml::to_string(&definition()))
}
