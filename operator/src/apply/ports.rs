//! Replaces all ports of a Service. Apply only adds to the list, so ports of another manager can make it invalid.
//! It must not be used before the API server has rejected an apply.

use kube::api::Patch;
use serde_json::json;

use crate::api::call::Error;
use crate::api::child::ChildApi;
use crate::api::patch::merge;
use crate::kinds::{Kind, Object, Verb};
use crate::metrics::Metrics;

/// Replaces the ports of the Service that was read.
pub(super) async fn replace(
    metrics: &Metrics,
    api: &ChildApi,
    wanted: &dyn Object,
    found: &dyn Object,
) -> Result<(), Error> {
    let ports = &wanted.json()["spec"]["ports"];
    let patch = json!({"metadata": {"uid": found.metadata().uid}, "spec": {"ports": ports}});
    let (params, patch) = (merge(), Patch::Merge(patch));
    let patched = api.patch(Verb::Patch, wanted.name(), &params, &patch).await;
    metrics.wrote(Kind::Service, Verb::Patch, patched.is_ok());
    patched.map(drop)
}
