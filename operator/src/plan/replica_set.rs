//! A ReplicaSet of the Deployment, reduced to what conditions need. Its words come from outside: they are escaped and
//! bounded here. It must not judge what they mean for the listener.

use k8s_openapi::api::apps::v1 as apps;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::pod::words;

/// The Deployment controller's annotation with the number of a revision.
const REVISION: &str = "deployment.kubernetes.io/revision";

/// A ReplicaSet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicaSet {
    /// Its uid.
    pub uid: String,
    /// The uid of its controller, a Deployment.
    pub controller: Option<String>,
    /// The number of its revision; the current one has the highest.
    pub revision: u64,
    /// Why its pods cannot be created, escaped.
    pub failure: Option<String>,
}

impl ReplicaSet {
    /// Reduces a ReplicaSet.
    pub fn of(set: apps::ReplicaSet) -> Self {
        let ObjectMeta {
            uid,
            annotations,
            owner_references,
            ..
        } = set.metadata;
        let mut owners = owner_references.into_iter().flatten();
        let revision = annotations.and_then(|all| all.get(REVISION)?.parse().ok());
        let conditions = set.status.and_then(|status| status.conditions);
        let mut conditions = conditions.into_iter().flatten();
        let failed = conditions.find(|one| one.type_ == "ReplicaFailure" && one.status == "True");
        Self {
            uid: uid.unwrap_or_default(),
            controller: owners
                .find(|owner| owner.controller == Some(true))
                .map(|owner| owner.uid),
            revision: revision.unwrap_or(0),
            failure: failed.map(|failed| words(failed.message.as_deref())),
        }
    }
}
