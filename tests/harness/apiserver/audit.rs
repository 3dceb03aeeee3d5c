//! Reads the audit log: every request as the API server itself recorded it.

use std::path::Path;

use serde::Deserialize;

/// A completed request, with the fields that tests use.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEvent {
    /// `get`, `list`, `watch`, `create`, `patch`, `update`, `delete`, …
    pub verb: String,
    /// The path and the query.
    #[serde(rename = "requestURI")]
    pub request_uri: String,
    /// The user who made the request.
    pub user: AuditUser,
    /// The client program.
    #[serde(default)]
    pub user_agent: String,
    /// The object; absent for paths such as `/version`.
    #[serde(default)]
    pub object_ref: Option<AuditObject>,
    /// The response's status.
    #[serde(default)]
    pub response_status: Option<AuditStatus>,
    /// Time of the response, RFC 3339.
    pub stage_timestamp: String,
}

/// The user of an [`AuditEvent`].
#[derive(Clone, Debug, Deserialize)]
pub struct AuditUser {
    /// The name, as in the client certificate.
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
    /// Reports whether the request writes, without being a dry run.
    pub fn is_write(&self) -> bool {
        matches!(
            self.verb.as_str(),
            "create" | "update" | "patch" | "delete" | "deletecollection"
        ) && !self.request_uri.contains("dryRun=")
    }

    /// Reports whether the object is in this namespace.
    pub fn is_in(&self, namespace: &str) -> bool {
        self.object_ref
            .as_ref()
            .is_some_and(|object| object.namespace == namespace)
    }
}

/// Reads all complete lines; one that is still being written is left out.
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
