//! Whether devices show certificates, and what those must chain to. It must not have a default that lets everyone in.

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

/// Reads client authentication that is there. Whoever writes the key wants it: nothing behind it must not let
/// everyone in.
pub(super) fn said<'de, D: Deserializer<'de>>(from: D) -> Result<ClientAuth, D::Error> {
    Option::deserialize(from)?.ok_or_else(|| {
        Error::custom(
            "clientAuth is there and says nothing: set clientAuth.mode to Require or Optional, with \
             clientAuth.caRef, or to None",
        )
    })
}

fn default_ca_key() -> String {
    "ca.crt".to_owned()
}
