//! Writes events. It must not retry: conditions carry the same message.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder};
use tokio::time::timeout;
use tracing::warn;

use super::call::call;
use crate::error::chain;
use crate::kinds::{Target, Verb};
use crate::plan::notices::Notice;
use crate::text::shortened;

/// Maximum length of an event's note in bytes; the API server accepts 1 kB.
const NOTE_LENGTH_MAX: usize = 1000;

/// Time limit of an event: the next reconciliation of its listener must not wait for it as long as for other calls.
const PATIENCE: Duration = Duration::from_secs(5);

/// Writes an event about the object of this name.
pub async fn record(recorder: &Recorder, name: &str, reference: &ObjectReference, notice: Notice) {
    let Notice {
        is_warning,
        reason,
        message,
    } = notice;
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
    let published = recorder.publish(&event, reference);
    let published = timeout(PATIENCE, call(Verb::Create, &Target::event(), published)).await;
    let error = match published {
        Ok(Ok(())) => return,
        Ok(Err(error)) => chain(&error),
        Err(_) => format!("timed out after {} s", PATIENCE.as_secs()),
    };
    warn!(
        namespace = reference.namespace,
        listener = name,
        error,
        "failed to write an event"
    );
}
