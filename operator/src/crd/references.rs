//! How a listener references Secrets. It must not describe their content beyond the keys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::maps;

/// The source of one server certificate.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateSource {
    /// A Secret in the listener's namespace with the certificate chain (leaf first) and its private
    /// key: either the keys `tls.crt` and `tls.key` (as in type kubernetes.io/tls), or one key `pem` with both.
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
