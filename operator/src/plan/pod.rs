//! A terminator pod, reduced to what plans, conditions and proofs need. Its words come from outside: they are escaped
//! and bounded here. It must not judge what they mean for the listener.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{
    self as core, ContainerState, ContainerStatus, PodSpec, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use mqtt_tls_judge::escape::{escaped, shown};

use super::children::pod::TRIAL_FILE;
use crate::kinds::{Kind, Version};

/// Maximum length of the words of a pod, a container or a controller, in bytes. A terminator's last words may contain a
/// refusal of several lines.
pub const WORDS_MAX: usize = 700;

/// Selects the pods that are read and watched: not finished ones, such as evicted ones, which remain for a long time and
/// mount nothing.
pub const RUNNING: &str = "status.phase!=Failed,status.phase!=Succeeded";

/// A terminator pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Distinguishes it from an earlier pod of the same name.
    pub uid: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// The uid of its controller, a ReplicaSet.
    pub controller: Option<String>,
    /// Its first IP address.
    pub ip: Option<IpAddr>,
    /// Whether it is ready.
    pub is_ready: bool,
    /// Its version.
    pub version: Option<Version>,
    /// Whether it is being deleted.
    pub is_leaving: bool,
    /// Whether its terminator reads the file of trials.
    pub reads_trials: bool,
    /// What keeps it from becoming ready, if it says so.
    pub trouble: Option<Trouble>,
}

/// What keeps a pod from becoming ready.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Trouble {
    /// The kind.
    pub kind: TroubleKind,
    /// The words of the scheduler, the kubelet or the container, escaped; empty if there are none.
    pub words: String,
}

/// The kinds of troubles, the most telling first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TroubleKind {
    /// A container ended; the words are its last.
    Crash,
    /// An image cannot be pulled.
    Image,
    /// A container cannot be created or started.
    Create,
    /// No node takes the pod.
    Unschedulable,
}

impl Pod {
    /// Reduces a pod.
    pub fn of(pod: core::Pod) -> Self {
        let core::Pod {
            metadata,
            spec,
            status,
        } = pod;
        let spec = spec.unwrap_or_default();
        let version = Version::of(Kind::Pod, &metadata);
        let ObjectMeta {
            name,
            uid,
            labels,
            annotations,
            owner_references,
            deletion_timestamp,
            ..
        } = metadata;
        let mut owners = owner_references.into_iter().flatten();
        let status = status.unwrap_or_default();
        let is_ready = condition(&status, "Ready").is_some_and(|one| one.status == "True");
        Self {
            name: name.unwrap_or_default(),
            uid: uid.unwrap_or_default(),
            labels: labels.unwrap_or_default(),
            annotations: annotations.unwrap_or_default(),
            controller: owners
                .find(|owner| owner.controller == Some(true))
                .map(|owner| owner.uid),
            ip: status.pod_ip.as_ref().and_then(|ip| ip.parse().ok()),
            is_ready,
            version,
            is_leaving: deletion_timestamp.is_some(),
            reads_trials: reads_trials(&spec),
            trouble: if is_ready { None } else { trouble(&status) },
        }
    }
}

fn reads_trials(spec: &PodSpec) -> bool {
    let variables = spec
        .containers
        .iter()
        .flat_map(|one| one.env.iter().flatten());
    let mut names = variables.map(|variable| variable.name.as_str());
    names.any(|name| name == TRIAL_FILE)
}

fn condition<'s>(status: &'s PodStatus, type_: &str) -> Option<&'s core::PodCondition> {
    let mut conditions = status.conditions.iter().flatten();
    conditions.find(|condition| condition.type_ == type_)
}

/// Returns the most telling trouble. It does not depend on the order of containers, or on whether the kubelet is waiting
/// or trying again.
fn trouble(status: &PodStatus) -> Option<Trouble> {
    let first = status.init_container_statuses.iter().flatten();
    let containers = first.chain(status.container_statuses.iter().flatten());
    let of_containers = containers.filter_map(of_container);
    of_containers.chain(unscheduled(status)).min()
}

fn unscheduled(status: &PodStatus) -> Option<Trouble> {
    let scheduled = condition(status, "PodScheduled")?;
    let is_refused = scheduled.status == "False";
    is_refused.then(|| Trouble {
        kind: TroubleKind::Unschedulable,
        words: words(scheduled.message.as_deref()),
    })
}

fn of_container(container: &ContainerStatus) -> Option<Trouble> {
    if container.ready {
        return None;
    }
    let name = shown(&container.name);
    let state = container.state.clone().unwrap_or_default();
    let (reason, message) = match &state.waiting {
        Some(waiting) => (waiting.reason.as_deref(), waiting.message.as_deref()),
        None => (None, None),
    };
    match reason.unwrap_or_default() {
        "ErrImagePull"
        | "ImagePullBackOff"
        | "ErrImageNeverPull"
        | "ErrImageInspect"
        | "InvalidImageName"
        | "RegistryUnavailable"
        | "SignatureValidationFailed" => {
            let image = shown(&container.image);
            let why = pull_error(message.unwrap_or_default());
            let words = [Some(image), (!why.is_empty()).then(|| words(Some(why)))];
            Some(Trouble {
                kind: TroubleKind::Image,
                words: words.into_iter().flatten().collect::<Vec<_>>().join(": "),
            })
        }
        reason @ ("CreateContainerConfigError"
        | "CreateContainerError"
        | "RunContainerError"
        | "PostStartHookError") => Some(Trouble {
            kind: TroubleKind::Create,
            words: format!("container {name}: {reason}: {}", words(message)),
        }),
        _ => {
            let last = container.last_state.as_ref();
            let crash = crash(&state).or_else(|| last.and_then(crash))?;
            Some(Trouble {
                kind: TroubleKind::Crash,
                words: format!("container {name} {crash}"),
            })
        }
    }
}

/// Returns the cause in the kubelet's message. It writes the same cause with another prefix while it waits for the next
/// try, and older kubelets leave it out then.
fn pull_error(message: &str) -> &str {
    let waits = message.starts_with("Back-off pulling image");
    match message.split_once("ErrImagePull: ") {
        Some((_, cause)) if waits => cause,
        _ if waits => "",
        _ => message,
    }
}

/// Describes how a container ended. No times and no numbers of restarts: they would change forever.
fn crash(state: &ContainerState) -> Option<String> {
    let ended = state.terminated.as_ref()?;
    let reason = ended.reason.as_deref().filter(|one| *one != "Error");
    let reason = reason.map(|reason| format!(" ({})", shown(reason)));
    let message = ended.message.as_deref().map(str::trim);
    let last = message.filter(|message| !message.is_empty());
    let last = last.map(|message| format!(": {}", words(Some(message))));
    Some(format!(
        "ended with code {}{}{}",
        ended.exit_code,
        reason.unwrap_or_default(),
        last.unwrap_or_default()
    ))
}

/// Escapes and bounds words from outside.
pub(super) fn words(text: Option<&str>) -> String {
    escaped(text.unwrap_or_default().trim(), WORDS_MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Pod, Trouble, TroubleKind, WORDS_MAX};

    fn pod(status: &Value) -> Pod {
        let pod = json!({"metadata": {"name": "edge-mqtts-1", "uid": "u"}, "status": status});
        Pod::of(serde_json::from_value(pod).unwrap())
    }

    fn container(state: &Value, last: &Value) -> Option<Trouble> {
        let status = json!({"containerStatuses": [{
            "name": "terminator", "image": "registry/terminator:1", "imageID": "", "ready": false, "restartCount": 3,
            "state": state, "lastState": last,
        }]});
        pod(&status).trouble
    }

    #[test]
    fn a_ready_pod_has_an_address_and_no_trouble() {
        let ended = json!({"terminated": {"exitCode": 1, "message": "gone"}});
        let ready = pod(&json!({
            "podIP": "10.0.0.7",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{
                "name": "terminator", "image": "", "imageID": "", "ready": true, "restartCount": 1, "lastState": ended,
            }],
        }));
        assert_eq!(ready.ip, Some("10.0.0.7".parse().unwrap()));
        assert!(ready.is_ready && !ready.is_leaving && ready.trouble.is_none());
        assert!(!pod(&json!({"podIP": "no address"})).is_ready);
    }

    /// A message that changed with each of the kubelet's tries would write the status forever.
    #[test]
    fn a_trouble_is_the_same_while_the_kubelet_waits_and_tries() {
        let last = json!({"terminated": {"exitCode": 1, "reason": "Error", "message": "config.yaml: bad host\n"}});
        let crash = Some(Trouble {
            kind: TroubleKind::Crash,
            words: "container terminator ended with code 1: config.yaml: bad host".to_owned(),
        });
        let waiting = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting"}});
        assert_eq!(container(&waiting, &last), crash);
        assert_eq!(container(&json!({"running": {}}), &last), crash);
        assert_eq!(container(&last, &json!({})), crash);

        let waiting = |reason: &str, message: &str| json!({"waiting": {"reason": reason, "message": message}});
        let cause = "failed to resolve reference: not found";
        let tries = container(&waiting("ErrImagePull", cause), &json!({})).unwrap();
        assert_eq!(tries.kind, TroubleKind::Image);
        assert_eq!(tries.words, format!("registry/terminator:1: {cause}"));
        let message =
            format!("Back-off pulling image \"registry/terminator:1\": ErrImagePull: {cause}");
        let waits = container(&waiting("ImagePullBackOff", &message), &json!({})).unwrap();
        assert_eq!(waits, tries);
        let older = waiting(
            "ImagePullBackOff",
            "Back-off pulling image \"registry/terminator:1\"",
        );
        let words = container(&older, &json!({})).unwrap().words;
        assert_eq!(words, "registry/terminator:1");
    }

    #[test]
    fn a_pod_that_is_starting_has_no_trouble() {
        let waiting = json!({"waiting": {"reason": "ContainerCreating"}});
        assert_eq!(container(&waiting, &json!({})), None);
        assert_eq!(container(&json!({"running": {}}), &json!({})), None);
        // An init container that has finished.
        let done = json!({"initContainerStatuses": [{
            "name": "a", "image": "", "imageID": "", "ready": true, "restartCount": 0,
            "state": {"terminated": {"exitCode": 0, "reason": "Completed"}},
        }]});
        assert_eq!(pod(&done).trouble, None);
    }

    #[test]
    fn words_of_the_scheduler_are_escaped_and_bounded() {
        let refused = |message: &str| {
            let condition = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message});
            pod(&json!({"conditions": [condition]})).trouble.unwrap()
        };
        let said = refused("0/1 nodes are available:\n1 Insufficient cpu");
        assert_eq!(said.kind, TroubleKind::Unschedulable);
        assert_eq!(said.words, "0/1 nodes are available:\\n1 Insufficient cpu");
        assert!(refused(&"a".repeat(9000)).words.len() <= WORDS_MAX);
    }
}
