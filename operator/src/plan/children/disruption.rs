//! The PodDisruptionBudget: draining nodes evicts one terminator at a time. It must not block a drain.

use std::collections::BTreeMap;

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::kinds::Child;
use crate::plan::listener::Listener;

/// Minimum number of replicas for a budget: with one replica, it would block the drain of its node or protect
/// nothing.
const REPLICAS_MIN: i32 = 2;

/// Builds the budget, if the listener has enough replicas.
pub(super) fn build(listener: &Listener) -> Option<PodDisruptionBudget> {
    (listener.replicas >= REPLICAS_MIN).then(|| PodDisruptionBudget {
        metadata: listener.identity.child(
            Child::DisruptionBudget,
            &BTreeMap::new(),
            BTreeMap::new(),
        ),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(listener.identity.selector()),
            // A pod that is not ready must not block the drain of its node.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    })
}
