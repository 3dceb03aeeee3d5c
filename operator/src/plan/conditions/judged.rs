//! All that the conditions rest on. It must not say how any of them is.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;

use crate::crd::MqttTlsListenerStatus;
use crate::kinds::Object;
use crate::plan::certificates::previous::Previous;
use crate::plan::certificates::serving::Serving;
use crate::plan::names::{Identity, Ownership};
use crate::plan::objects::{Applied, Children};
use crate::plan::reason::Reason;
use crate::plan::report::Report;
use crate::plan::world::World;

/// What came of a plan.
pub enum Outcome<'o> {
    /// All children are as wanted.
    Done(&'o Applied),
    /// A child could not be made so.
    Failed {
        /// Why, in one word.
        reason: Reason,
        /// The object, what is wrong, and what to do.
        message: String,
        /// Whether the configuration is as wanted all the same.
        is_configured: bool,
    },
}

/// All that the conditions rest on.
pub struct Judged<'j> {
    /// What the plan has to say.
    pub report: &'j Report,
    /// What came of the plan.
    pub outcome: &'j Outcome<'j>,
    /// What is served now.
    pub serving: Serving,
    /// The listener's own Deployment, as it is now.
    pub deployment: Option<&'j Deployment>,
    /// The listener's own Service, as it is now.
    pub service: Option<&'j Service>,
    /// The status that is there.
    pub before: Option<&'j MqttTlsListenerStatus>,
    /// The time.
    pub now: Timestamp,
}

impl<'j> Judged<'j> {
    /// Puts it together, after the plan and what came of it.
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
            report,
            outcome,
            deployment: own(&report.identity, children),
            service: own(&report.identity, children),
            before: world.listener.status.as_ref(),
            now,
        }
    }
}

/// What is there, if it is the listener's own: pods and addresses of someone else say nothing about it.
fn own<'c, K: Object>(identity: &Identity, children: &'c Children) -> Option<&'c K> {
    let child: Option<&K> = children.get();
    child.filter(|child| identity.ownership(child.metadata()) == Ownership::Ours)
}
