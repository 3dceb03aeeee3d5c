//! Determines which existing children and pods belong to a listener. It must not touch those of other owners.

use k8s_openapi::api::core::v1::Secret;
use kube::{Resource, ResourceExt};
use mqtt_tls_judge::escape::shown;

use super::names::{CONFIG_TYPE, CONFIG_VERSION, Identity, Ownership};
use super::objects::{PodMark, Wanted};
use super::pod::Pod;
use super::problem::Problem;
use super::reason::{ConditionType, Reason};
use crate::kinds::{Child, Object};

/// Claims the names of children for a listener.
pub struct Claim<'c> {
    /// The listener.
    pub identity: &'c Identity,
    /// Whether children of an earlier listener of this name are taken over, so that pods and Service stay. Without a
    /// configuration of its own, the listener leaves them to the garbage collector: their pods may accept clients that
    /// it refuses.
    pub takes_over: bool,
    /// Problems: names that belong to other owners.
    pub problems: &'c mut Vec<Problem>,
}

impl Claim<'_> {
    /// Returns the wanted state of a child, or `Kept` if its name belongs to another owner.
    pub fn wanted<K>(&mut self, found: Option<&K>, wanted: Wanted<K>) -> Wanted<K>
    where
        K: Object + Resource<DynamicType = ()>,
    {
        let Some(found) = found else {
            return wanted;
        };
        let (kind, name) = (K::kind(&()), found.name_any());
        let is_leaving = found.meta().deletion_timestamp.is_some();
        let (reason, message) = match self.identity.ownership(found.meta()) {
            Ownership::Ours | Ownership::Predecessors if is_leaving => (
                Reason::BeingDeleted,
                format!(
                    "{kind} {name} is being deleted, and is created again afterwards; if it remains, remove its finalizers: {}",
                    shown(&found.finalizers().join(", "))
                ),
            ),
            Ownership::Ours => return wanted,
            Ownership::Predecessors if self.takes_over => return wanted,
            Ownership::Predecessors => return Wanted::Kept,
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

/// Returns what prevents a Secret with a configuration from being written, and what follows from that. The API server's
/// own message is not shown, because it may quote the content.
pub fn unwritable(secret: &Secret, child: Child) -> Option<Problem> {
    let name = secret.name_any();
    let is_immutable = secret.immutable == Some(true);
    let type_ = secret
        .type_
        .as_deref()
        .filter(|type_| *type_ != CONFIG_TYPE);
    let (reason, what, pods) = if is_immutable {
        // The kubelet never reads an immutable Secret again, even if it is another one of this name.
        let restart = format!(", and then run `kubectl rollout restart deployment/{name}`");
        (Reason::ConfigImmutable, "is immutable".to_owned(), restart)
    } else {
        let what = format!(
            "has the immutable type {} instead of {CONFIG_TYPE}",
            shown(type_?)
        );
        (Reason::ConfigType, what, String::new())
    };
    let consequence = if child == Child::Accepted {
        "a pod that refuses the configuration when it starts may start from an outdated one"
    } else {
        "neither changes nor renewed certificates can be written"
    };
    let message = format!(
        "Secret {name} {what}, so {consequence}; delete it: it is created again at once, and the pods keep serving{pods}"
    );
    Some(Problem {
        about: ConditionType::Programmed,
        reason,
        message,
    })
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
