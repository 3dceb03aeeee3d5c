//! The audit log: every request as the API server itself saw it, which no fake can bend.

use std::path::Path;

use serde::Deserialize;

/// One answered request, as far as tests look at it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEvent {
    /// `get`, `list`, `watch`, `create`, `patch`, `update`, `delete`, …
    pub verb: String,
    /// The path and the query.
    #[serde(rename = "requestURI")]
    pub request_uri: String,
    /// Who asked.
    pub user: AuditUser,
    /// The program, as it calls itself.
    #[serde(default)]
    pub user_agent: String,
    /// What it was about; absent for paths such as `/version`.
    #[serde(default)]
    pub object_ref: Option<AuditObject>,
    /// How it was answered.
    #[serde(default)]
    pub response_status: Option<AuditStatus>,
    /// When it was answered, RFC 3339.
    pub stage_timestamp: String,
}

/// The user of an [`AuditEvent`].
#[derive(Clone, Debug, Deserialize)]
pub struct AuditUser {
    /// As in the certificate.
    pub username: String,
}

/// The object of an [`AuditEvent`]; fields that do not apply are empty.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AuditObject {
    /// The plural: `secrets`
    pub resource: String,
    /// `status`, `scale`, …
    pub subresource: String,
    /// Empty for cluster-wide ones.
    pub namespace: String,
    /// Empty for lists, watches and creations.
    pub name: String,
    /// Empty for the core group.
    pub api_group: String,
}

/// The outcome of an [`AuditEvent`].
#[derive(Clone, Debug, Deserialize)]
pub struct AuditStatus {
    /// The HTTP status.
    pub code: u16,
}

impl AuditEvent {
    /// Whether it was to change something (and not a dry run).
    pub fn is_write(&self) -> bool {
        matches!(
            self.verb.as_str(),
            "create" | "update" | "patch" | "delete" | "deletecollection"
        ) && !self.request_uri.contains("dryRun=")
    }

    /// Whether it was about an object in this namespace.
    pub fn is_in(&self, namespace: &str) -> bool {
        self.object_ref
            .as_ref()
            .is_some_and(|object| object.namespace == namespace)
    }
}

/// Lines that are still being written at this moment are left out.
pub(super) fn read(path: &Path) -> Vec<AuditEvent> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .map(|line| {
            serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("{error} in audit event {line}"))
        })
        .collect()
}
