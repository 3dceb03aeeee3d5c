//! Determines which existing children and pods belong to a listener. It must not touch those of other owners.

use kube::{Resource, ResourceExt};

use super::names::{CONFIG_VERSION, Identity, Ownership};
use super::objects::{Children, PodMark, Wanted};
use super::pod::Pod;
use super::problem::Problem;
use super::reason::{ConditionType, Reason};
use crate::kinds::Object;

/// Claims the names of children for a listener.
pub struct Claim<'c> {
    /// The listener.
    pub identity: &'c Identity,
    /// The existing children.
    pub found: &'c Children,
    /// Problems: names that belong to other owners.
    pub problems: &'c mut Vec<Problem>,
}

impl Claim<'_> {
    /// Returns the wanted state of a child, or `Kept` if its name belongs to another owner.
    pub fn wanted<K>(&mut self, wanted: Wanted<K>) -> Wanted<K>
    where
        K: Object + Resource<DynamicType = ()>,
    {
        let Some(found) = self.found.get::<K>() else {
            return wanted;
        };
        let (kind, name) = (K::kind(&()), found.name_any());
        let (reason, message) = match self.identity.ownership(found.meta()) {
            Ownership::Ours => return wanted,
            Ownership::Predecessors => (
                Reason::PredecessorRemains,
                format!(
                    "{kind} {name} belongs to an earlier listener of this name and will be garbage-collected; \
                     if it remains, delete it"
                ),
            ),
            Ownership::Foreign => (
                Reason::NameTaken,
                format!(
                    "{kind} {name} exists and does not belong to this listener; it is left unchanged. Delete \
                     it, or rename the listener"
                ),
            ),
        };
        // Another owner's object is a problem only if ours would replace it.
        if wanted.present().is_some() {
            self.problems.push(Problem {
                about: ConditionType::Programmed,
                reason,
                message,
            });
        }
        Wanted::Kept
    }
}

/// Returns the pods that are not being deleted.
pub fn marks(pods: &[Pod]) -> Vec<PodMark> {
    let mut marks: Vec<PodMark> = pods
        .iter()
        .filter(|pod| !pod.is_leaving)
        .map(|pod| PodMark {
            name: pod.name.clone(),
            version: pod.annotations.get(CONFIG_VERSION).cloned(),
        })
        .collect();
    marks.sort_by(|one, other| one.name.cmp(&other.name));
    marks
}
