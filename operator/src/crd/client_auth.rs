//! Whether devices present certificates, which of them are accepted, and the CA certificates for them. It must not have a
//! default that accepts every device.

use kube::KubeSchema;
use mqtt_tls_config::{CrlUrl as File, NAME_LENGTH_MAX, URL_LENGTH_MAX};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::maps;
use super::timeouts::duration;

/// Mutual TLS.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.mode == 'None' || has(self.caRef) || (has(self.caRefs) && size(self.caRefs) > 0)")
        .message("clientAuth.mode Optional, Require and DryRun need clientAuth.caRef, the Secret or ConfigMap with \
                  the CA certificates for devices' certificates; add it, or set mode: None")
        .field_path(".caRef")
)]
pub struct ClientAuth {
    /// `None`: no certificate is requested. `Optional`: devices without a certificate are accepted, those with an
    /// invalid one are refused. `Require`: only devices with a valid certificate are accepted. `DryRun`: a certificate is
    /// requested and no device refused; what Require would refuse is counted, and each device counts as one without a
    /// certificate. There is no default, so that a forgotten or misspelt mode does not accept every device.
    pub mode: ClientAuthMode,

    /// The CA certificates that devices' certificates must chain to. This or `caRefs` is required unless `mode` is None.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_ref: Option<CaRef>,

    /// More CA certificates, of which devices' certificates must chain to any, such as those of before and after a change of
    /// the CA. At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub ca_refs: Vec<CaRef>,

    /// Whether a certificate for servers only (extended key usage serverAuth) is accepted, as public CAs issue them. One
    /// without a purpose is accepted anyway. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(schema_with = "maps::switch")]
    pub accept_server_purpose: bool,

    /// Rules for the names in a device's certificate: it must match one of them, with any of its names. Default: each
    /// certificate that verifies is accepted. At most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub rules: Vec<ClientRule>,

    /// How revocation is judged, and the revocation lists (CRLs). Default: it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation: Option<Revocation>,
}

/// A rule for a name in a device's certificate, with one of `exact`, `prefix` and `suffix`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.exact), has(self.prefix), has(self.suffix)].exists_one(one, one)")
        .message("a rule needs one value: set one of exact, prefix and suffix")
)]
pub struct ClientRule {
    /// Which name is compared: the common name (`cn`), one of the subject alternative names, or the SHA-256 of the public key in
    /// hexadecimal (`spki`).
    pub field: RuleField,

    /// The whole name. Domains are compared without case, other text byte by byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "value")]
    pub exact: Option<String>,

    /// The beginning of the name: of a DNS name with the dot behind it, of a URI with the host and a slash; of an IP address a
    /// network, such as `192.0.2.0/24`. Not for `spki`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "value")]
    pub prefix: Option<String>,

    /// The end of the name: of a DNS name with a dot in front, of an e-mail address with `@` or a dot, of a URI with a slash. Not
    /// for `san.ip` and `spki`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "value")]
    pub suffix: Option<String>,
}

/// A kind of name in a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum RuleField {
    /// Common name.
    #[serde(rename = "cn")]
    CommonName,
    /// DNS name.
    #[serde(rename = "san.dns")]
    Dns,
    /// URI.
    #[serde(rename = "san.uri")]
    Uri,
    /// E-mail address.
    #[serde(rename = "san.email")]
    Email,
    /// IP address.
    #[serde(rename = "san.ip")]
    Ip,
    /// SHA-256 of the public key.
    #[serde(rename = "spki")]
    Spki,
}

/// How revocation is judged. Lists of the listener and of all its hosts form one pool: a list is for the certificates that its
/// issuer's key has signed, whichever host names it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
            "(has(self.crlRefs) && size(self.crlRefs) > 0) || (has(self.crlUrls) && size(self.crlUrls) > 0)"
        )
        .message("revocation has no list; add one to crlRefs or crlUrls, or remove it")
)]
pub struct Revocation {
    /// Small lists: keys of Secrets and ConfigMaps with CRLs, as PEM or DER. All of them together may have 256 KiB. A changed
    /// list reaches the pods as a renewed certificate does. At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub crl_refs: Vec<CrlRef>,

    /// Lists that each terminator pod fetches, at most 64 MiB each. A list that cannot be fetched stays as it was. At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub crl_urls: Vec<CrlUrl>,

    /// Which certificates are looked up. `Leaf`: the device's own. `Chain`: also each CA between it and the one in `caRef`.
    /// Default: Chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<RevocationCheck>,

    /// What becomes of a device whose issuer's list is outdated or from the future, or may be missing because a list could not
    /// be fetched. A list that is outdated goes on revoking. Default: Accept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when_outdated: Option<WhenUnknown>,

    /// What becomes of a device whose issuer has no list. Default: Accept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when_unlisted: Option<WhenUnknown>,
}

/// A key of a Secret or ConfigMap with revocation lists.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CrlRef {
    /// The kind of the object: Secret or ConfigMap.
    pub kind: CaKind,
    /// The object's namespace. In another one than the listener's, a ReferenceGrant there must permit it. Default: the listener's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "maps::namespace")]
    pub namespace: Option<String>,
    /// The object's name.
    #[schemars(schema_with = "maps::object_name")]
    pub name: String,
    /// The key in the object. Default: ca.crl.
    #[serde(default = "default_crl_key")]
    #[schemars(schema_with = "maps::data_key")]
    pub key: String,
}

/// A revocation list that is fetched.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CrlUrl {
    /// Where the list is, by http or https, without user name and password. At most 2048 bytes.
    #[schemars(schema_with = "url")]
    pub url: String,
    /// The CA certificates that the server's certificate must chain to; required for https, and for nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_ref: Option<CaRef>,
    /// How often the list is fetched. 1m to 24h. Default: 1h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "refresh")]
    pub refresh: Option<String>,
}

/// Which certificates of a chain are looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum RevocationCheck {
    /// The device's, and each CA below the one in `caRef`.
    Chain,
    /// The device's own.
    Leaf,
}

/// What becomes of a certificate whose status is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum WhenUnknown {
    /// It is accepted.
    Accept,
    /// It is refused.
    Refuse,
}

impl ClientAuth {
    /// Returns all references to CA certificates for devices' certificates.
    pub fn cas(&self) -> impl Iterator<Item = &CaRef> {
        self.ca_ref.iter().chain(&self.ca_refs)
    }
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
    /// A certificate is requested, and no device refused.
    DryRun,
}

/// A bundle of CA certificates.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaRef {
    /// The kind of the object: Secret or ConfigMap.
    pub kind: CaKind,
    /// The object's namespace. In another one than the listener's, a ReferenceGrant there must permit it. Default: the listener's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "maps::namespace")]
    pub namespace: Option<String>,
    /// The object's name.
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
        ..ClientAuth::default()
    };
    Ok(Some(Option::deserialize(from)?.unwrap_or(empty)))
}

fn default_ca_key() -> String {
    "ca.crt".to_owned()
}

fn default_crl_key() -> String {
    "ca.crl".to_owned()
}

fn value(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": NAME_LENGTH_MAX})
}

fn url(_: &mut SchemaGenerator) -> Schema {
    let message = "must begin with http:// or https://, without user name and password";
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": URL_LENGTH_MAX,
        "x-kubernetes-validations": [{
            "rule": "self.startsWith('http://') || self.startsWith('https://')",
            "message": message,
            "messageExpression": format!("'{message}; it is ' + self"),
        }],
    })
}

fn refresh(_: &mut SchemaGenerator) -> Schema {
    duration(File::REFRESH_RANGE)
}
