//! Writes the listener's status and its events. It must not write an unchanged status.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::Patch;
use kube::core::error_boundary::InvalidObject;
use kube::runtime::events::{Recorder, Reporter};
use kube::{Api, Client, Resource};
use serde_json::json;
use tracing::{error, info, warn};

use crate::api::call::{Error, call};
use crate::api::events::record;
use crate::api::patch::apply;
use crate::apply::Failed;
use crate::crd::{MqttTlsListener, MqttTlsListenerStatus};
use crate::error::{chain, without_values};
use crate::kinds::{Kind, Target, Verb, Version};
use crate::metrics::Metrics;
use crate::plan::conditions::judged::Outcome;
use crate::plan::notices::{Notice, notices};
use crate::plan::objects::Applied;
use crate::plan::reason::{ConditionType, Reason};

/// Returns the outcome of applying a plan, for the conditions.
pub fn outcome(applied: &Result<Applied, Failed>) -> Outcome<'_> {
    match applied {
        Ok(applied) => Outcome::Done(applied),
        Err(Failed {
            error,
            is_configured,
        }) => Outcome::Failed {
            reason: error.reason(),
            message: with_remedy(error),
            is_configured: *is_configured,
        },
    }
}

/// The API server's words for a value that was set at the creation. Ours do not change, so others have created the object.
const UNCHANGEABLE: [&str; 3] = [
    "field is immutable",
    "may not change once set",
    "spec.clusterIP",
];

/// Returns the error's message, and what to do if no write of the operator can succeed.
fn with_remedy(error: &Error) -> String {
    let (said, (_, target)) = (chain(error), error.attempt());
    let is_unchangeable = UNCHANGEABLE.iter().any(|words| said.contains(words));
    if error.is_invalid() && is_unchangeable {
        format!("{said}; run `kubectl delete {target}`, and the operator creates it again")
    } else {
        said
    }
}

/// A listener whose status was written.
pub struct Written {
    /// Its version.
    pub version: Option<Version>,
    /// Whether its spec is the one that was read.
    pub is_as_read: bool,
}

/// Writes the status if it differs from the current one, and events for what changed. Returns the listener after a write.
pub async fn write(
    client: &Client,
    reporter: &Reporter,
    listener: &MqttTlsListener,
    status: &MqttTlsListenerStatus,
    metrics: &Metrics,
) -> Result<Option<Written>, Error> {
    metrics.observed(listener, status);
    if listener
        .status
        .as_ref()
        .is_some_and(|found| is_written(found, status))
    {
        return Ok(None);
    }
    let metadata = &listener.metadata;
    let name = metadata.name.as_deref().unwrap_or_default();
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let object = json!({
        "apiVersion": MqttTlsListener::api_version(&()),
        "kind": MqttTlsListener::kind(&()),
        // The uid protects a new listener of the same name.
        "metadata": {"name": name, "namespace": namespace, "uid": metadata.uid},
        "status": status,
    });
    let api: Api<MqttTlsListener> = Api::namespaced(client.clone(), namespace);
    let params = apply().force();
    let (kind, verb) = (Kind::MqttTlsListener, Verb::Apply);
    let patch = Patch::Apply(&object);
    let written = api.patch_status(name, &params, &patch);
    let written = call(verb, &Target::status(kind, name), written).await;
    metrics.wrote(kind, verb, written.is_ok());
    let written = written?;
    for notice in notices(listener.status.as_ref(), status) {
        // A recorder treats an event with a known reason as a repetition and keeps the first note. These notes
        // differ, so each gets its own recorder.
        let recorder = Recorder::new(client.clone(), reporter.clone());
        publish(&recorder, listener, notice).await;
    }
    Ok(Some(Written {
        version: Version::of(kind, &written.metadata),
        is_as_read: written.metadata.generation == metadata.generation,
    }))
}

/// Reports whether the current status equals the wanted one. Conditions of other types belong to other managers.
fn is_written(found: &MqttTlsListenerStatus, wanted: &MqttTlsListenerStatus) -> bool {
    let mut found = found.clone();
    let own = ConditionType::ALL.map(ConditionType::name);
    found
        .conditions
        .retain(|one| own.contains(&one.type_.as_str()));
    found == *wanted
}

/// Reports a listener that cannot be parsed, by log and event: its status cannot be written.
pub async fn complain(recorder: &Recorder, invalid: &InvalidObject, metrics: &Metrics) {
    let metadata = &invalid.metadata;
    let name = metadata.name.as_deref().unwrap_or_default();
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    metrics.malformed(namespace, name);
    // The parser's message may quote a key that was put into the wrong field.
    let message = format!(
        "invalid MqttTlsListener: {}; existing objects are left unchanged. Fix the resource, or apply the \
         CustomResourceDefinition of this operator's release",
        without_values(&invalid.error)
    );
    error!(namespace, listener = name, "{message}");
    let reference = ObjectReference {
        api_version: Some(MqttTlsListener::api_version(&()).into_owned()),
        kind: Some(MqttTlsListener::kind(&()).into_owned()),
        name: metadata.name.clone(),
        namespace: metadata.namespace.clone(),
        uid: metadata.uid.clone(),
        ..ObjectReference::default()
    };
    let notice = Notice {
        is_warning: true,
        reason: Reason::Malformed.name().to_owned(),
        message,
    };
    record(recorder, name, &reference, notice).await;
}

/// Writes a notice to the log and as an event.
async fn publish(recorder: &Recorder, listener: &MqttTlsListener, notice: Notice) {
    let name = listener.metadata.name.as_deref().unwrap_or_default();
    let namespace = listener.metadata.namespace.as_deref().unwrap_or_default();
    let (reason, message) = (&notice.reason, &notice.message);
    if notice.is_warning {
        warn!(namespace, listener = name, reason, "{message}");
    } else {
        info!(namespace, listener = name, reason, "{message}");
    }
    record(recorder, name, &listener.object_ref(&()), notice).await;
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

    use super::is_written;
    use crate::crd::MqttTlsListenerStatus;

    #[test]
    fn conditions_of_other_managers_are_ignored() {
        let condition = |type_: &str, status: &str| Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: "Reason".to_owned(),
            message: String::new(),
            observed_generation: None,
            last_transition_time: Time(jiff::Timestamp::UNIX_EPOCH),
        };
        let status = |conditions| MqttTlsListenerStatus {
            conditions,
            ..MqttTlsListenerStatus::default()
        };
        let wanted = status(vec![condition("Ready", "True")]);
        let theirs = condition("Theirs", "True");
        let found = status(vec![theirs.clone(), condition("Ready", "True")]);
        assert!(is_written(&found, &wanted));
        let found = status(vec![theirs, condition("Ready", "False")]);
        assert!(!is_written(&found, &wanted));
        assert!(!is_written(&MqttTlsListenerStatus::default(), &wanted));
        // It is ours, and no longer true.
        let found = status(vec![
            condition("Ready", "True"),
            condition("Stalled", "True"),
        ]);
        assert!(!is_written(&found, &wanted));
    }
}
