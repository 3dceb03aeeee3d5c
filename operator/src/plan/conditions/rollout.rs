//! How far the Deployment controller has come, and what holds it up, in the words of pods and controllers.
//!
//! The messages must not change at rest: they contain no times, no numbers of tries, and no generated names of pods
//! that do not exist.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::finding::{Status, is_similar};
use crate::plan::names::Identity;
use crate::plan::pod::{Pod, TroubleKind, words};
use crate::plan::reason::Reason;
use crate::plan::replica_set::ReplicaSet;

/// The pods of a Deployment that has been observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rollout {
    /// Wanted pods.
    pub(super) wanted: i32,
    /// Available pods, old and new.
    pub(super) ready: i32,
    /// Pods of the current template.
    pub(super) updated: i32,
    /// Pods of earlier templates.
    pub(super) old: i32,
}

impl Rollout {
    /// Returns the state, or `None` if the status is about an earlier spec.
    pub(super) fn of(deployment: &Deployment) -> Option<Self> {
        let status = deployment.status.clone().unwrap_or_default();
        if status.observed_generation < deployment.metadata.generation {
            return None;
        }
        let spec = deployment.spec.as_ref();
        let updated = status.updated_replicas.unwrap_or(0);
        Some(Self {
            wanted: spec.and_then(|spec| spec.replicas).unwrap_or(1),
            ready: status.available_replicas.unwrap_or(0),
            updated,
            old: (status.replicas.unwrap_or(0) - updated).max(0),
        })
    }

    /// Reports whether all wanted pods are ready and of the current template, and no other is left.
    pub(super) fn is_complete(self) -> bool {
        self.updated >= self.wanted && self.old == 0 && self.ready >= self.wanted
    }
}

/// Reports whether there is something to explain, for which the ReplicaSets are needed.
pub fn is_underway(deployment: &Deployment) -> bool {
    Rollout::of(deployment).is_some_and(|rollout| !rollout.is_complete())
}

/// What a rollout is explained with.
#[derive(Clone, Copy)]
pub(super) struct Witnesses<'w> {
    pub(super) identity: &'w Identity,
    pub(super) deployment: &'w Deployment,
    pub(super) replica_sets: &'w [ReplicaSet],
    pub(super) pods: &'w [Pod],
}

/// What holds a rollout up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// The reason.
    pub(super) reason: Reason,
    /// The object and what happens to it.
    what: String,
    /// The words of the object, which may differ in numbers each time.
    words: String,
}

impl Held {
    /// Returns the message after `counted`. Words that differ from those of the current condition in numbers only are
    /// not replaced: a status that changed with each try of a controller would never rest.
    pub(super) fn message(&self, counted: &str, current: Option<&Condition>) -> String {
        let Self { what, words, .. } = self;
        let start = format!("{counted}; {what}");
        if words.is_empty() {
            return start;
        }
        let current = current
            .filter(|current| current.status == Status::False.name())
            .and_then(|current| current.message.split_once(": "))
            .map(|(_, said)| said)
            .filter(|said| is_similar(said, words));
        format!("{start}: {}", current.unwrap_or(words))
    }
}

impl Witnesses<'_> {
    /// Returns what holds the rollout up, if anything says so.
    pub(super) fn held(&self) -> Option<Held> {
        self.paused()
            .or_else(|| self.troubled())
            .or_else(|| self.refused())
    }

    fn paused(&self) -> Option<Held> {
        let spec = self.deployment.spec.as_ref();
        let rollout = Rollout::of(self.deployment)?;
        let is_waiting = rollout.updated < rollout.wanted || rollout.old > 0;
        let is_paused = spec.and_then(|spec| spec.paused).unwrap_or(false);
        let Identity { namespace, .. } = self.identity;
        let name = self.identity.child_name();
        (is_paused && is_waiting).then(|| Held {
            reason: Reason::DeploymentPaused,
            what: format!(
                "Deployment {name} is paused; run `kubectl rollout resume deployment/{name} -n {namespace}`"
            ),
            words: String::new(),
        })
    }

    /// The most telling trouble of a new pod, or else of any.
    fn troubled(&self) -> Option<Held> {
        let current = self.current().map(|set| set.uid.as_str());
        let troubled = self.pods.iter().filter(|pod| !pod.is_leaving);
        let troubled = troubled.filter_map(|pod| {
            let trouble = pod.trouble.as_ref()?;
            let is_old = current.is_some() && pod.controller.as_deref() != current;
            Some((is_old, trouble.kind, pod.name.as_str(), trouble))
        });
        let (_, kind, pod, trouble) = troubled.min()?;
        let (reason, what) = match kind {
            TroubleKind::Crash => (Reason::CrashLoopBackOff, "ends again and again"),
            TroubleKind::Image => (Reason::ImagePullBackOff, "cannot pull an image"),
            TroubleKind::Create => (Reason::CreateContainerError, "cannot start"),
            TroubleKind::Unschedulable => (Reason::Unschedulable, "cannot be scheduled"),
        };
        Some(Held {
            reason,
            what: format!("pod {pod} {what}"),
            words: trouble.words.clone(),
        })
    }

    /// The words of the API server to the ReplicaSet controller: a quota, a LimitRange, pod security, a webhook.
    fn refused(&self) -> Option<Held> {
        let conditions = self.deployment.status.as_ref()?.conditions.as_deref();
        let of_deployment = || {
            let mut conditions = conditions.unwrap_or_default().iter();
            conditions
                .find(|one| one.type_ == "ReplicaFailure" && one.status == Status::True.name())
                .map(|one| words(one.message.as_deref()))
        };
        let of_set = self.current().and_then(|set| set.failure.clone());
        let said = of_set.or_else(of_deployment)?;
        Some(Held {
            reason: Reason::ReplicaFailure,
            what: "pods cannot be created".to_owned(),
            words: self.unnamed(&said),
        })
    }

    fn current(&self) -> Option<&ReplicaSet> {
        let uid = self.deployment.metadata.uid.as_ref();
        let sets = self.replica_sets.iter();
        let own = sets.filter(|set| set.controller.as_ref() == uid);
        own.max_by_key(|set| set.revision)
    }

    /// Shortens the name of a pod that could not be created: it is another one with each try.
    fn unnamed(&self, said: &str) -> String {
        let start = format!("\"{}-", self.identity.child_name());
        let Some((before, name)) = said.split_once(&start) else {
            return said.to_owned();
        };
        let after = name.split_once('"').map_or("", |(_, after)| after);
        format!("{before}{start}…\"{after}")
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::Deployment;
    use serde_json::{Value, json};

    use super::{Held, Identity, Pod, Reason, ReplicaSet, Rollout, Witnesses, is_underway};
    use crate::plan::conditions::finding::{Finding, Status};
    use crate::plan::pod::{Trouble, TroubleKind};
    use crate::plan::reason::ConditionType;

    fn deployment(spec: &Value, status: &Value) -> Deployment {
        let mut deployment = json!({
            "metadata": {"uid": "d", "generation": 2},
            "spec": {"replicas": 2, "selector": {}, "template": {}},
            "status": {
                "observedGeneration": 2, "replicas": 2, "availableReplicas": 2, "updatedReplicas": 2,
            },
        });
        for (part, changes) in [("spec", spec), ("status", status)] {
            for (key, value) in changes.as_object().into_iter().flatten() {
                deployment[part][key] = value.clone();
            }
        }
        serde_json::from_value(deployment).unwrap()
    }

    fn held(deployment: &Deployment, replica_sets: &[ReplicaSet], pods: &[Pod]) -> Option<Held> {
        let identity = Identity {
            name: "edge".to_owned(),
            namespace: "iot".to_owned(),
            uid: "u".to_owned(),
            generation: Some(1),
        };
        let witnesses = Witnesses {
            identity: &identity,
            deployment,
            replica_sets,
            pods,
        };
        witnesses.held()
    }

    fn pod(name: &str, controller: &str, kind: TroubleKind) -> Pod {
        let words = format!("words of {name}");
        Pod {
            name: name.to_owned(),
            controller: Some(controller.to_owned()),
            trouble: Some(Trouble { kind, words }),
            ..Pod::default()
        }
    }

    #[test]
    fn a_rollout_is_complete_when_every_pod_is_new_and_ready() {
        let none = json!({});
        assert!(!is_underway(&deployment(&none, &none)));
        for underway in [
            json!({"updatedReplicas": 1}),
            json!({"replicas": 3}),
            json!({"availableReplicas": 1}),
            json!({"updatedReplicas": null}),
        ] {
            assert!(is_underway(&deployment(&none, &underway)), "{underway}");
        }
        let behind = deployment(
            &none,
            &json!({"observedGeneration": 1, "updatedReplicas": 1}),
        );
        assert_eq!(Rollout::of(&behind), None);
        assert!(!is_underway(&behind), "the status is about an earlier spec");
        // More pods than wanted, all of them new: a scale-down.
        let fewer = json!({"replicas": 3, "updatedReplicas": 3, "availableReplicas": 3});
        assert!(!is_underway(&deployment(&none, &fewer)));
    }

    #[test]
    fn a_pod_of_the_current_revision_explains_before_an_old_one() {
        let set = |uid: &str, controller: &str, revision| ReplicaSet {
            uid: uid.to_owned(),
            controller: Some(controller.to_owned()),
            revision,
            failure: None,
        };
        let sets = [
            set("old", "d", 1),
            set("new", "d", 2),
            set("foreign", "x", 9),
        ];
        let pods = [
            pod("a", "old", TroubleKind::Crash),
            pod("c", "new", TroubleKind::Unschedulable),
            pod("b", "new", TroubleKind::Unschedulable),
        ];
        let underway = deployment(&json!({}), &json!({"replicas": 3, "updatedReplicas": 2}));
        let found = held(&underway, &sets, &pods).unwrap();
        assert_eq!(found.reason, Reason::Unschedulable);
        let message = found.message("2 of 3", None);
        assert_eq!(message, "2 of 3; pod b cannot be scheduled: words of b");
        assert_eq!(
            held(&underway, &sets, &pods[..1]).unwrap().reason,
            Reason::CrashLoopBackOff
        );
        assert_eq!(
            held(&underway, &[], &pods).unwrap().reason,
            Reason::CrashLoopBackOff
        );
        let leaving = Pod {
            is_leaving: true,
            ..pods[0].clone()
        };
        assert_eq!(held(&underway, &sets, &[leaving]), None);
    }

    /// Each try of the ReplicaSet controller is about another pod, and counts what is used at that time.
    #[test]
    fn a_refusal_does_not_change_with_each_try() {
        let refusal = |pod: &str, used: u8| {
            let message = format!(
                "pods \"edge-mqtts-7d9c-{pod}\" is forbidden: exceeded quota: q, used: pods={used}"
            );
            let condition = json!({"type": "ReplicaFailure", "status": "True", "message": message});
            let status = json!({"replicas": 0, "updatedReplicas": 0, "conditions": [condition]});
            held(&deployment(&json!({}), &status), &[], &[]).unwrap()
        };
        let first = refusal("abcde", 1);
        assert_eq!(first.reason, Reason::ReplicaFailure);
        let message = first.message("0 of 2 pods are ready", None);
        assert_eq!(
            message,
            "0 of 2 pods are ready; pods cannot be created: pods \"edge-mqtts-…\" is forbidden: exceeded quota: q, \
             used: pods=1"
        );
        let type_ = ConditionType::Available;
        let finding = Finding::new(type_, Status::False, first.reason, message.clone());
        let current = finding.condition(None, Some(1), jiff::Timestamp::UNIX_EPOCH);
        let second = refusal("fghij", 2);
        assert_eq!(
            second.message("0 of 2 pods are ready", Some(&current)),
            message
        );
        // The operator's own count is not the controller's.
        let counted = second.message("1 of 2 pods are ready", Some(&current));
        assert!(
            counted.starts_with("1 of 2") && counted.ends_with("pods=1"),
            "{counted}"
        );
    }

    #[test]
    fn a_paused_deployment_is_reported_only_if_something_waits() {
        let paused = json!({"paused": true});
        assert_eq!(held(&deployment(&paused, &json!({})), &[], &[]), None);
        let waits = deployment(&paused, &json!({"updatedReplicas": 0}));
        let message = held(&waits, &[], &[]).unwrap().message("0 of 2", None);
        assert!(
            message.contains("kubectl rollout resume deployment/edge-mqtts -n iot"),
            "{message}"
        );
    }
}
