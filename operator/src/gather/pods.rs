//! Reads a listener's pods. It must not keep more of them than [`Pod`] does.

use kube::api::ListParams;
use kube::{Api, Client};

use k8s_openapi::api::core::v1 as core;

use crate::api::call::{Error, call};
use crate::kinds::{Kind, Target, Verb};
use crate::plan::names::Identity;
use crate::plan::pod::{Pod, RUNNING};

/// Maximum number of pods read per listener; a rollout has up to twice the replicas.
const PODS_MAX: u32 = 500;

/// Reads the pods that run or are starting.
pub(super) async fn pods(client: &Client, identity: &Identity) -> Result<Vec<Pod>, Error> {
    let api: Api<core::Pod> = Api::namespaced(client.clone(), &identity.namespace);
    let selected = ListParams::default()
        .labels(&identity.selector_text())
        .fields(RUNNING)
        .limit(PODS_MAX);
    let target = Target::of(Kind::Pod, &identity.child_name());
    let pods = call(Verb::List, &target, api.list(&selected)).await?;
    Ok(pods.items.into_iter().map(Pod::of).collect())
}
