//! A Service's ports as a whole. Those that someone else put there can make it invalid together with ours, because
//! applying only adds. It must not be used before the API server has said so.

use kube::api::Patch;
use serde_json::json;

use super::writer::{Writer, merge_params, name};
use crate::api::call::Error;
use crate::api::child::ChildApi;
use crate::kinds::{Kind, Object, Verb};

/// Replaces the list of ports of the Service that was looked at.
pub(super) async fn replace(
    writer: &Writer<'_>,
    api: &ChildApi,
    wanted: &dyn Object,
    found: &dyn Object,
) -> Result<(), Error> {
    let ports = &wanted.json()["spec"]["ports"];
    let patch = json!({"metadata": {"uid": found.metadata().uid}, "spec": {"ports": ports}});
    let (params, patch) = (merge_params(), Patch::Merge(patch));
    let patched = api.patch(Verb::Patch, name(wanted), &params, &patch).await;
    let metrics = writer.metrics;
    metrics.wrote(Kind::Service, Verb::Patch, patched.is_ok());
    patched.map(drop)
}
