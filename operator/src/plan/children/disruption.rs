//! The PodDisruptionBudget: a drain of nodes takes one terminator at a time.

use std::collections::BTreeMap;

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::plan::listener::Listener;

/// From how many replicas on a budget makes sense: with one, it would block the drain of its node or
/// protect nothing.
const REPLICAS_MIN: i32 = 2;

/// Builds the budget, if there is to be one.
pub(super) fn build(listener: &Listener) -> Option<PodDisruptionBudget> {
    (listener.replicas >= REPLICAS_MIN).then(|| PodDisruptionBudget {
        metadata: listener.identity.child(&BTreeMap::new(), BTreeMap::new()),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(listener.identity.selector()),
            // A pod that is not ready serves nobody: it may not hold up the drain of its node.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    })
}
