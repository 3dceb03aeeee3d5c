//! cert-manager's Certificate (cert-manager.io/v1), as far as the operator writes and reads it. It must not have fields that the
//! operator does not use: server-side apply leaves them to others.

use kube::CustomResource;
use serde::{Deserialize, Serialize};

/// What the operator wants of a Certificate.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[kube(
    group = "cert-manager.io",
    version = "v1",
    kind = "Certificate",
    namespaced,
    status = "CertificateStatus",
    schema = "disabled"
)]
#[serde(rename_all = "camelCase")]
pub struct CertificateSpec {
    /// The Secret that cert-manager writes.
    pub secret_name: String,
    /// The issuer.
    pub issuer_ref: Issuer,
    /// DNS names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_names: Vec<String>,
    /// IP addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ip_addresses: Vec<String>,
    /// Lifetime, as Go writes durations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// Time before its end at which it is renewed, as Go writes durations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_before: Option<String>,
    /// The private key.
    pub private_key: PrivateKey,
    /// Usages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub usages: Vec<String>,
}

/// A reference to an issuer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Issuer {
    /// Name.
    pub name: String,
    /// Kind.
    #[serde(default)]
    pub kind: String,
    /// API group.
    #[serde(default)]
    pub group: String,
}

/// The wanted private key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PrivateKey {
    /// `ECDSA` or `RSA`.
    #[serde(default)]
    pub algorithm: String,
    /// Size in bits.
    #[serde(default)]
    pub size: u16,
    /// When a new one is made.
    #[serde(default)]
    pub rotation_policy: String,
}

/// What cert-manager says about a Certificate.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct CertificateStatus {
    /// Conditions; `Ready` is one of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Said>,
}

/// A condition of cert-manager. Unlike Kubernetes' own, it may have no reason and no message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Said {
    /// Its type.
    #[serde(rename = "type")]
    pub type_: String,
    /// Its status.
    pub status: String,
    /// Its reason.
    #[serde(default)]
    pub reason: String,
    /// Its message.
    #[serde(default)]
    pub message: String,
}

impl Certificate {
    /// Returns a condition.
    pub fn condition(&self, type_: &str) -> Option<&Said> {
        let conditions = self.status.iter().flat_map(|status| &status.conditions);
        conditions.into_iter().find(|one| one.type_ == type_)
    }
}
