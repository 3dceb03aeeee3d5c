//! What belongs to a listener of what there is: children of its names, and its pods. It must not touch what belongs to
//! someone else.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, ResourceExt};

use super::names::{CONFIG_VERSION, Identity, Ownership};
use super::objects::{Children, PodMark, Wanted};
use super::problem::Problem;
use super::reason::{ConditionType, Reason};
use crate::kinds::Object;

/// Claims the names of children for a listener.
pub struct Claim<'c> {
    /// The listener.
    pub identity: &'c Identity,
    /// What there is.
    pub found: &'c Children,
    /// What is wrong: names that someone else has.
    pub problems: &'c mut Vec<Problem>,
}

impl Claim<'_> {
    /// What is wanted of a child, unless someone else has it: then it is left alone.
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
                    "{kind} {name} belongs to an earlier listener of this name and is about to be \
                     collected; if it stays, delete it"
                ),
            ),
            Ownership::Foreign => (
                Reason::NameTaken,
                format!(
                    "{kind} {name} exists and does not belong to this listener, so it is left alone; delete \
                     it, or give the listener another name"
                ),
            ),
        };
        // An object that is not wanted is none of ours to complain about.
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

/// The pods that are there to stay.
pub fn marks(pods: &[ObjectMeta]) -> Vec<PodMark> {
    let mut marks: Vec<PodMark> = pods
        .iter()
        .filter(|pod| pod.deletion_timestamp.is_none())
        .filter_map(|pod| {
            let annotations = pod.annotations.as_ref();
            let version = annotations.and_then(|all| all.get(CONFIG_VERSION)).cloned();
            Some(PodMark {
                name: pod.name.clone()?,
                version,
            })
        })
        .collect();
    marks.sort_by(|one, other| one.name.cmp(&other.name));
    marks
}
