//! Whether devices present certificates, and the CA certificates for them. It must not have a default that accepts
//! every device.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::maps;

/// Mutual TLS.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.mode == 'None' || has(self.caRef)")
        .message("clientAuth.mode Optional and Require need clientAuth.caRef, the Secret or ConfigMap with \
                  the CA certificates for devices' certificates; add it, or set mode: None")
        .field_path(".caRef")
)]
pub struct ClientAuth {
    /// `None`: no certificate is requested. `Optional`: devices without a certificate are accepted, those with an
    /// invalid one are refused. `Require`: only devices with a valid certificate are accepted. There is no default,
    /// so that a forgotten or misspelt mode does not accept every device.
    pub mode: ClientAuthMode,

    /// The CA certificates that devices' certificates must chain to. Required unless `mode` is None.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_ref: Option<CaRef>,
}

/// Whether devices present a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum ClientAuthMode {
    /// No certificate is requested.
    #[default]
    None,
    /// A certificate is requested, not required.
    Optional,
    /// A certificate is required.
    Require,
}

/// A bundle of CA certificates.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaRef {
    /// The kind of the object: Secret or ConfigMap.
    pub kind: CaKind,
    /// The object's name, in the listener's namespace.
    #[schemars(schema_with = "maps::object_name")]
    pub name: String,
    /// The key in the object. Default: ca.crt.
    #[serde(default = "default_ca_key")]
    #[schemars(schema_with = "maps::data_key")]
    pub key: String,
}

/// The kind of object that holds a CA bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum CaKind {
    /// A Secret.
    Secret,
    /// A ConfigMap.
    ConfigMap,
}

impl CaKind {
    /// Returns the kind's name as in manifests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
        }
    }
}

/// Parses `clientAuth`. An empty value is an error: a user who writes the key wants client authentication.
pub(super) fn non_empty<'de, D: Deserializer<'de>>(from: D) -> Result<ClientAuth, D::Error> {
    Option::deserialize(from)?.ok_or_else(|| {
        Error::custom(
            "clientAuth must not be empty: set clientAuth.mode to Require or Optional, with \
             clientAuth.caRef, or to None",
        )
    })
}

/// Parses the `clientAuth` of a host, which may be absent. An empty value requires certificates of a CA that is not named,
/// which is refused: taken for absent, it might accept every device.
pub(super) fn never_empty<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<ClientAuth>, D::Error> {
    let empty = ClientAuth {
        mode: ClientAuthMode::Require,
        ca_ref: None,
    };
    Ok(Some(Option::deserialize(from)?.unwrap_or(empty)))
}

fn default_ca_key() -> String {
    "ca.crt".to_owned()
}
