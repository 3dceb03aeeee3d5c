//! How a listener references its server certificates. It must not describe their content beyond the keys.

use std::time::Duration;

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::issuer::{self, IssuerRef, PrivateKey, Usage};
use super::maps;
use super::timeouts::duration;

/// The source of one server certificate: a Secret, or an issuer of cert-manager, from which the operator requests it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.secretRef) != has(self.issuerRef)")
        .message("a certificate needs one source: set secretRef (an existing Secret) or issuerRef (an issuer of cert-manager)"),
    validation = Rule::new(
            "has(self.issuerRef) || !(has(self.dnsNames) || has(self.ipAddresses) || has(self.duration) || \
             has(self.renewBefore) || has(self.privateKey) || has(self.usages))"
        )
        .message("dnsNames, ipAddresses, duration, renewBefore, privateKey and usages are for certificates with issuerRef; remove them, \
                  or use issuerRef instead of secretRef"),
    validation = Rule::new(
            "!has(self.renewBefore) || duration(self.renewBefore) < duration(has(self.duration) ? self.duration : '2160h')"
        )
        .message("renewBefore must be shorter than duration, whose default is 2160h")
        .field_path(".renewBefore")
)]
pub struct CertificateSource {
    /// A Secret with the certificate chain (leaf first) and its private
    /// key: either the keys `tls.crt` and `tls.key` (as in type kubernetes.io/tls), or one key `pem` with both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,

    /// An issuer of cert-manager. The operator makes a Certificate, which belongs to the listener, and cert-manager writes and renews
    /// its Secret of the same name. Another first name or algorithm makes another Certificate; the one of before serves until that is
    /// issued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_ref: Option<IssuerRef>,

    /// The DNS names of the issued certificate. Default: the names of the host; for the listener itself, those of the hosts without
    /// certificates of their own. At most 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "issuer::dns_names")]
    pub dns_names: Vec<String>,

    /// The IP addresses of the issued certificate. At most 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "issuer::ip_addresses")]
    pub ip_addresses: Vec<String>,

    /// The requested lifetime of the issued certificate, from 1h. An issuer may grant another one. Default: that of
    /// cert-manager, 2160h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "issuer::lifetime")]
    pub duration: Option<String>,

    /// How long before its end the issued certificate is renewed, from 5m. With less than 15 % of the lifetime, the warning
    /// `ExpiresSoon` comes before the renewal. Default: that of cert-manager, a third of the lifetime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "issuer::renewal")]
    pub renew_before: Option<String>,

    /// The private key of the issued certificate. Default: ECDSA P-256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_key: Option<PrivateKey>,

    /// Whether a certificate that does not exist yet, or is not issued yet, is left out without a problem. One that is served stays, and
    /// that it is missing or cannot be served is a problem. Not for the first certificate of the listener or of a host, which is the default. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(schema_with = "maps::switch")]
    pub optional: bool,

    /// What the issued certificate may be used for. Default: digital signature and server auth; with RSA also key encipherment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub usages: Vec<Usage>,
}

/// Bounds of `referenceGrace`.
pub const GRACE: (Duration, Duration) = (Duration::ZERO, Duration::from_secs(720 * 3600));

/// The time for which a certificate stays in use after its ReferenceGrant was withdrawn.
pub(super) fn grace(_: &mut SchemaGenerator) -> Schema {
    duration(GRACE)
}

impl CertificateSource {
    /// Returns the source of a certificate in a Secret.
    pub fn secret(name: &str) -> Self {
        Self {
            secret_ref: Some(SecretRef {
                namespace: None,
                name: name.to_owned(),
            }),
            ..Self::default()
        }
    }
}

/// The name of a Secret in the listener's namespace.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OwnSecret {
    /// The Secret's name.
    #[schemars(schema_with = "maps::object_name")]
    pub name: String,
}

/// The name of a Secret.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// The Secret's namespace. In another one than the listener's, a ReferenceGrant there must permit it. Default: the listener's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "maps::namespace")]
    pub namespace: Option<String>,
    /// The Secret's name.
    #[schemars(schema_with = "maps::object_name")]
    pub name: String,
}
