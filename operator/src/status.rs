//! Writes the listener's status, and its events. It must not write a status that is there already.

use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType, Recorder};
use kube::{Api, Client, Resource};
use serde_json::json;
use tracing::{info, warn};

use crate::call::{Error, call};
use crate::crd::{MqttTlsListener, MqttTlsListenerStatus};
use crate::error::chain;
use crate::metrics::Metrics;
use crate::plan::conditions::shortened;
use crate::plan::names::MANAGER;
use crate::plan::notices::{Notice, notices};

/// How long an event's note may be, in bytes: the API server takes 1 kB.
const NOTE_LENGTH_MAX: usize = 1000;

/// Writes a status if it differs from what is there, and tells what changed as events.
pub async fn write(
    client: &Client,
    recorder: &Recorder,
    listener: &MqttTlsListener,
    status: &MqttTlsListenerStatus,
    metrics: &Metrics,
) -> Result<(), Error> {
    if listener.status.as_ref() == Some(status) {
        return Ok(());
    }
    let metadata = &listener.metadata;
    let name = metadata.name.as_deref().unwrap_or_default();
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let object = json!({
        "apiVersion": MqttTlsListener::api_version(&()),
        "kind": MqttTlsListener::kind(&()),
        // Not onto another listener that has this name by now.
        "metadata": {"name": name, "namespace": namespace, "uid": metadata.uid},
        "status": status,
    });
    let api: Api<MqttTlsListener> = Api::namespaced(client.clone(), namespace);
    let params = PatchParams::apply(MANAGER).force();
    let told = format!("status of MqttTlsListener {name}");
    let patch = Patch::Apply(&object);
    let written = call("apply", &told, api.patch_status(name, &params, &patch)).await;
    metrics.wrote("MqttTlsListener", "apply", written.is_ok());
    written?;
    for notice in notices(listener.status.as_ref(), status) {
        publish(recorder, listener, notice).await;
    }
    Ok(())
}

/// Tells something as an event. An event that is lost is not worth a retry: the conditions say it too.
async fn publish(recorder: &Recorder, listener: &MqttTlsListener, notice: Notice) {
    let Notice {
        is_warning,
        reason,
        message,
    } = notice;
    let name = listener.metadata.name.as_deref().unwrap_or_default();
    if is_warning {
        warn!(listener = name, reason, "{message}");
    } else {
        info!(listener = name, reason, "{message}");
    }
    let event = Event {
        type_: if is_warning {
            EventType::Warning
        } else {
            EventType::Normal
        },
        reason,
        note: Some(shortened(message, NOTE_LENGTH_MAX)),
        action: "Reconcile".to_owned(),
        secondary: None,
    };
    let reference = listener.object_ref(&());
    let published = call("create", "an event", recorder.publish(&event, &reference)).await;
    if let Err(error) = published {
        warn!(
            listener = name,
            error = chain(&error),
            "an event could not be written"
        );
    }
}
