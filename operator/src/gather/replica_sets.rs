//! Reads the ReplicaSets of a listener's Deployment. They only explain a rollout: without them the rest is done as
//! usual, so a failed read must not stop a reconciliation.

use k8s_openapi::api::apps::v1 as apps;
use kube::api::ListParams;
use kube::{Api, Client};
use tracing::warn;

use crate::api::call::call;
use crate::error::chain;
use crate::kinds::{Kind, Target, Verb};
use crate::plan::names::Identity;
use crate::plan::replica_set::ReplicaSet;

/// Maximum number of ReplicaSets read per listener; the Deployment keeps three old ones.
const SETS_MAX: u32 = 50;

/// Reads the ReplicaSets.
pub(super) async fn replica_sets(client: &Client, identity: &Identity) -> Vec<ReplicaSet> {
    let api: Api<apps::ReplicaSet> = Api::namespaced(client.clone(), &identity.namespace);
    let selected = ListParams::default()
        .labels(&identity.selector_text())
        .limit(SETS_MAX);
    let target = Target::of(Kind::ReplicaSet, &identity.child_name());
    match call(Verb::List, &target, api.list(&selected)).await {
        Ok(sets) => sets.items.into_iter().map(ReplicaSet::of).collect(),
        Err(error) => {
            warn!(
                namespace = identity.namespace,
                listener = identity.name,
                error = chain(&error),
                "failed to read why a rollout takes time"
            );
            Vec::new()
        }
    }
}
