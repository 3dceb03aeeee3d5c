//! How a listener has cert-manager issue a certificate. It must not contain what only cert-manager decides.

use std::time::Duration;

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::maps;
use super::timeouts::duration;

/// Bounds of the lifetime of a certificate. cert-manager refuses less than an hour.
pub const DURATION: (Duration, Duration) = (
    Duration::from_secs(3600),
    Duration::from_secs(100 * 365 * 86_400),
);

/// Bounds of the time before the end at which a certificate is renewed. cert-manager refuses less than 5 minutes.
pub const RENEW_BEFORE: (Duration, Duration) = (
    Duration::from_secs(300),
    Duration::from_secs(100 * 365 * 86_400),
);

/// Maximum number of DNS names, and of IP addresses, of a certificate.
pub const ISSUED_NAMES_MAX: usize = 100;

/// An issuer of cert-manager.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssuerRef {
    /// The issuer's name.
    #[schemars(schema_with = "maps::object_name")]
    pub name: String,

    /// The issuer's kind: `Issuer`, in the listener's namespace, `ClusterIssuer`, or that of another issuer. Default: Issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "kind")]
    pub kind: Option<String>,

    /// The API group of the issuer's kind. Set it for kinds of other projects. Default: cert-manager.io.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "group")]
    pub group: Option<String>,
}

impl IssuerRef {
    /// Returns its kind.
    pub fn kind(&self) -> &str {
        self.kind.as_deref().unwrap_or("Issuer")
    }

    /// Returns the API group of its kind.
    pub fn group(&self) -> &str {
        self.group.as_deref().unwrap_or("cert-manager.io")
    }
}

/// The private key of an issued certificate. A new one is made for each renewal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
            "!has(self.size) || \
             ((!has(self.algorithm) || self.algorithm == 'ECDSA') && self.size in [256, 384]) || \
             (has(self.algorithm) && self.algorithm == 'RSA' && self.size in [2048, 3072, 4096])"
        )
        .message("size must be 256 or 384 with ECDSA, and 2048, 3072 or 4096 with RSA")
        .field_path(".size")
)]
pub struct PrivateKey {
    /// The algorithm. Devices of all kinds can verify ECDSA P-256 and RSA. Default: ECDSA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<KeyAlgorithm>,

    /// The size in bits: 256 or 384 with ECDSA (default: 256), 2048, 3072 or 4096 with RSA (default: 2048).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "size")]
    pub size: Option<u16>,
}

/// The algorithm of a private key.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
pub enum KeyAlgorithm {
    /// Elliptic curves of NIST.
    #[default]
    #[serde(rename = "ECDSA")]
    Ecdsa,
    /// RSA.
    #[serde(rename = "RSA")]
    Rsa,
}

impl KeyAlgorithm {
    /// Returns its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ecdsa => "ECDSA",
            Self::Rsa => "RSA",
        }
    }

    /// Returns the sizes of keys in bits, the default first.
    pub const fn sizes(self) -> &'static [u16] {
        match self {
            Self::Ecdsa => &[256, 384],
            Self::Rsa => &[2048, 3072, 4096],
        }
    }
}

/// What an issued certificate may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Usage {
    /// Signatures, which each handshake of TLS 1.3 has.
    #[serde(rename = "digital signature")]
    DigitalSignature,
    /// Encryption of keys (RSA).
    #[serde(rename = "key encipherment")]
    KeyEncipherment,
    /// TLS servers.
    #[serde(rename = "server auth")]
    ServerAuth,
    /// TLS clients.
    #[serde(rename = "client auth")]
    ClientAuth,
}

impl Usage {
    /// Returns its name for cert-manager.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DigitalSignature => "digital signature",
            Self::KeyEncipherment => "key encipherment",
            Self::ServerAuth => "server auth",
            Self::ClientAuth => "client auth",
        }
    }
}

fn kind(_: &mut SchemaGenerator) -> Schema {
    maps::text(
        63,
        "^[A-Za-z][A-Za-z0-9]*$",
        "must be the kind of an issuer, such as Issuer or ClusterIssuer",
    )
}

fn group(_: &mut SchemaGenerator) -> Schema {
    maps::text(
        253,
        "^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$",
        "must be an API group, such as cert-manager.io",
    )
}

fn size(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "format": "int32", "minimum": 256, "maximum": 4096})
}

/// The lifetime of a certificate.
pub(super) fn lifetime(_: &mut SchemaGenerator) -> Schema {
    duration(DURATION)
}

/// The time before the end of a lifetime.
pub(super) fn renewal(_: &mut SchemaGenerator) -> Schema {
    duration(RENEW_BEFORE)
}

/// DNS names of a certificate. Rules for so many values would exceed the budget for their cost, so `plan` explains what is wrong.
pub(super) fn dns_names(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": ISSUED_NAMES_MAX,
        "items": {
            "type": "string",
            "minLength": 1,
            "maxLength": 253,
            "pattern": r"^(\*\.)?([-a-z0-9_]+\.)*[a-z_][-a-z0-9_]*$",
        },
    })
}

/// IP addresses of a certificate.
pub(super) fn ip_addresses(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": ISSUED_NAMES_MAX,
        "items": {"type": "string", "minLength": 2, "maxLength": 45, "pattern": "^[0-9a-fA-F.:]+$"},
    })
}
