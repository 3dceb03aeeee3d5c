//! A listener's pods. Of them metadata alone is read.

use kube::api::ListParams;
use kube::core::ObjectMeta;
use kube::{Api, Client};

use k8s_openapi::api::core::v1::Pod;

use crate::api::call::{Error, call};
use crate::kinds::{Kind, Target, Verb};
use crate::plan::names::Identity;

/// Pods that have ended, such as evicted ones, stay for long and mount nothing any more.
const RUNNING: &str = "status.phase!=Failed,status.phase!=Succeeded";

/// How many pods of one listener are looked at: as many as replicas, during a rollout twice.
const PODS_MAX: u32 = 500;

/// Those that run, or are about to.
pub(super) async fn pods(client: &Client, identity: &Identity) -> Result<Vec<ObjectMeta>, Error> {
    let api: Api<Pod> = Api::namespaced(client.clone(), &identity.namespace);
    let selected = ListParams::default()
        .labels(&identity.selector_text())
        .fields(RUNNING)
        .limit(PODS_MAX);
    let target = Target::of(Kind::Pod, &identity.child_name());
    let pods = call(Verb::List, &target, api.list_metadata(&selected)).await?;
    Ok(pods.items.into_iter().map(|pod| pod.metadata).collect())
}
