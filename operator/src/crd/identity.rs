//! The user names and client IDs that devices get from their certificates, as users write them.
//!
//! It must not decide the names of a device; the terminators do.

use kube::KubeSchema;
use mqtt_tls_config::{self as file, NAME_LENGTH_MAX};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// User names and client IDs from devices' certificates, written into the CONNECT, or compared with it, before the broker gets
/// it. Each other field of the CONNECT is kept. A device that is refused gets a CONNACK of its version. A change applies to
/// new connections.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(has(self.mode) && self.mode == 'None') || has(self.userName) || has(self.clientId)")
        .message("identity gives devices no name: set userName or clientId, each with a template such as '{cn}'"),
    validation = Rule::new(
            "!has(self.mode) || self.mode != 'None' || \
             !(has(self.userName) || has(self.clientId) || has(self.withoutCertificate))"
        )
        .message("with identity.mode None devices keep their names; remove the other fields, or mode")
        .field_path(".mode")
)]
pub struct Identity {
    /// `Certificate`: devices get names from their certificates. `None`: they keep theirs, for a host with a broker of its
    /// own, such as one for provisioning, where the listener has an identity. Default: Certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<IdentityMode>,

    /// Where the user name comes from. Without it, devices keep theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_name: Option<Naming>,

    /// Where the client ID comes from. Without it, devices keep theirs, and may send that of another: set it as well, because
    /// a session belongs to its client ID. An empty client ID counts as none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<Naming>,

    /// The names of devices without a certificate, where `clientAuth.mode` is Optional: one for each of `userName` and
    /// `clientId` that is set. Default: such devices are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_certificate: Option<WithoutCertificate>,
}

/// Whether devices get names from their certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum IdentityMode {
    /// They do.
    Certificate,
    /// They keep theirs.
    None,
}

/// Where a name comes from.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
            "!(has(self.action) && self.action == 'Require' && has(self.mismatch) && self.mismatch == 'Overwrite')"
        )
        .message("action Require refuses a device that sends another name; set action: Set, or remove mismatch")
        .field_path(".mismatch")
)]
pub struct Naming {
    /// Text and fields of the certificate: `{cn}`, `{san.dns}` (in lower case), `{san.email}`, `{san.uri}`, `{san.ip}` and
    /// `{spki}` (the SHA-256 of its public key), as in `factory-{cn}`; `{{` is a brace. A certificate gives a name if it has
    /// each field exactly once, as text without `+`, `#`, spaces at its ends and characters that cannot be seen. Other
    /// devices are refused. At most 1024 bytes.
    #[schemars(schema_with = "text")]
    pub template: String,

    /// What becomes of a device that sends no name. `Set`: it gets the certificate's. `Require`: it is refused. Default: Set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<NamingAction>,

    /// What becomes of a device that sends another name. `Refuse`: it is refused. `Overwrite`: it gets the certificate's.
    /// Default: Refuse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mismatch: Option<Mismatch>,
}

/// What the certificate's name is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum NamingAction {
    /// A device that sends none gets it.
    Set,
    /// A device must send it.
    Require,
}

/// What becomes of a device that sends another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Mismatch {
    /// It is refused.
    Refuse,
    /// It gets the certificate's name.
    Overwrite,
}

/// Names for devices without a certificate.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WithoutCertificate {
    /// The user name that they get, whatever they sent. No certificate gives this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "text")]
    pub user_name: Option<String>,

    /// What is put before their client ID. No certificate gives a client ID that begins so. An empty client ID stays empty,
    /// and the broker assigns one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "text")]
    pub client_id_prefix: Option<String>,
}

impl Identity {
    /// Returns the section of the terminators' configuration.
    pub fn to_file(&self) -> file::Identity {
        file::Identity {
            mode: match self.mode {
                None | Some(IdentityMode::Certificate) => file::IdentityMode::Certificate,
                Some(IdentityMode::None) => file::IdentityMode::None,
            },
            user_name: self.user_name.as_ref().map(Naming::to_file),
            client_id: self.client_id.as_ref().map(Naming::to_file),
            without_certificate: self.without_certificate.as_ref().map(|names| {
                file::WithoutCertificate {
                    user_name: names.user_name.clone(),
                    client_id_prefix: names.client_id_prefix.clone(),
                }
            }),
        }
    }
}

impl Naming {
    fn to_file(&self) -> file::Naming {
        file::Naming {
            template: self.template.clone(),
            action: match self.action {
                None | Some(NamingAction::Set) => file::NamingAction::Set,
                Some(NamingAction::Require) => file::NamingAction::Require,
            },
            mismatch: match self.mismatch {
                None | Some(Mismatch::Refuse) => file::Mismatch::Refuse,
                Some(Mismatch::Overwrite) => file::Mismatch::Overwrite,
            },
        }
    }
}

fn text(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": NAME_LENGTH_MAX})
}
