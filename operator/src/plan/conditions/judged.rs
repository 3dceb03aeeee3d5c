//! The input of all conditions. It must not compute any of them.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;

use super::rollout::Witnesses;
use crate::crd::MqttTlsListenerStatus;
use crate::kinds::Object;
use crate::plan::certificates::previous::Previous;
use crate::plan::certificates::serving::Serving;
use crate::plan::names::{Identity, Ownership};
use crate::plan::objects::Applied;
use crate::plan::pod::Pod;
use crate::plan::proof::Proofs;
use crate::plan::reason::Reason;
use crate::plan::replica_set::ReplicaSet;
use crate::plan::report::Report;
use crate::plan::world::World;

/// The outcome of applying a plan.
pub enum Outcome<'o> {
    /// All children match the plan.
    Done(&'o Applied),
    /// A child could not be applied.
    Failed {
        /// The reason.
        reason: Reason,
        /// The object, what is wrong, and what to do.
        message: String,
        /// Whether the configuration was applied nevertheless.
        is_configured: bool,
    },
}

/// The input of all conditions.
pub struct Judged<'j> {
    /// The plan's report.
    pub report: &'j Report,
    /// The outcome of applying the plan.
    pub outcome: &'j Outcome<'j>,
    /// What the terminators' configuration serves now.
    pub serving: Serving,
    /// The listener's pods.
    pub pods: &'j [Pod],
    /// The answers of the ready pods.
    pub proofs: Proofs,
    /// The listener's current Deployment.
    pub deployment: Option<&'j Deployment>,
    /// The listener's current Service.
    pub service: Option<&'j Service>,
    /// The Deployment's ReplicaSets, if they were needed.
    pub replica_sets: &'j [ReplicaSet],
    /// The current status.
    pub before: Option<&'j MqttTlsListenerStatus>,
    /// The current time.
    pub now: Timestamp,
}

impl<'j> Judged<'j> {
    /// Combines a plan's report and its outcome.
    pub fn new(
        world: &'j World,
        report: &'j Report,
        previous: &Previous,
        outcome: &'j Outcome<'j>,
        now: Timestamp,
    ) -> Self {
        let (children, is_configured) = match outcome {
            Outcome::Done(applied) => (&applied.children, true),
            Outcome::Failed { is_configured, .. } => (&world.children, *is_configured),
        };
        let planned = report.planned.as_ref().filter(|_| is_configured);
        Self {
            serving: planned.map_or_else(|| previous.serving(now), Serving::clone),
            pods: &world.pods,
            proofs: Proofs::default(),
            report,
            outcome,
            deployment: own(&report.identity, children.deployment()),
            service: own(&report.identity, children.service()),
            replica_sets: &world.replica_sets,
            before: world.listener.status.as_ref(),
            now,
        }
    }

    /// Reports whether what is planned was written. Otherwise the pods do as before.
    pub fn is_written(&self) -> bool {
        let is_configured = match self.outcome {
            Outcome::Done(_) => true,
            Outcome::Failed { is_configured, .. } => *is_configured,
        };
        is_configured && self.report.planned.is_some()
    }

    /// Returns what a rollout is explained with, if there is a Deployment.
    pub(super) fn witnesses(&self) -> Option<Witnesses<'_>> {
        Some(Witnesses {
            identity: &self.report.identity,
            deployment: self.deployment?,
            replica_sets: self.replica_sets,
            pods: self.pods,
        })
    }
}

/// Returns the child if the listener owns it: another owner's pods and addresses are irrelevant.
fn own<'c, K: Object>(identity: &Identity, child: Option<&'c K>) -> Option<&'c K> {
    child.filter(|child| identity.ownership(child.metadata()) == Ownership::Ours)
}
