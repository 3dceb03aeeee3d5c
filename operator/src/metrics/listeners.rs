//! Metrics of each listener. They must end with the listener: an update of an unknown listener, as from a
//! reconciliation that ends after the deletion, is ignored.

use std::collections::BTreeMap;
use std::fmt::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;

use crate::crd::{CertificateStatus, MqttTlsListener, MqttTlsListenerStatus, TrialState};
use crate::plan::conditions::finding::Status;
use crate::plan::reason::{ConditionType, Reason};

/// A namespace and a name.
type Key = (String, String);

/// All known listeners.
#[derive(Debug, Default)]
pub(super) struct Listeners(Mutex<BTreeMap<Key, Listener>>);

/// State of one listener.
#[derive(Debug, Default)]
struct Listener {
    /// Consecutive failures.
    failures: u32,
    /// Distinct warnings about what it serves.
    warnings: Vec<Reason>,
    /// When a Secret that it references changed, if that is not known to be served yet.
    changed: Option<Instant>,
    /// None before its first reconciliation.
    seen: Option<Seen>,
}

#[derive(Debug)]
struct Seen {
    /// None if the listener cannot be parsed.
    replicas: Option<i32>,
    replicas_ready: Option<i32>,
    /// Those of our types.
    conditions: Vec<(ConditionType, Status)>,
    /// The state of each trial.
    trials: Vec<TrialState>,
}

impl Listeners {
    pub(super) fn know(&self, namespace: &str, name: &str) {
        self.lock().entry(key(namespace, name)).or_default();
    }

    pub(super) fn know_only(&self, listeners: impl Iterator<Item = Key>) {
        let mut before = self.lock();
        let now = listeners.map(|key| {
            let listener = before.remove(&key).unwrap_or_default();
            (key, listener)
        });
        *before = now.collect();
    }

    pub(super) fn forget(&self, namespace: &str, name: &str) {
        self.lock().remove(&key(namespace, name));
    }

    pub(super) fn failing(&self, namespace: &str, name: &str, failures: u32) {
        if let Some(listener) = self.lock().get_mut(&key(namespace, name)) {
            listener.failures = failures;
        }
    }

    pub(super) fn warned(&self, namespace: &str, name: &str, reasons: Vec<Reason>) {
        if let Some(listener) = self.lock().get_mut(&key(namespace, name)) {
            listener.warnings = reasons;
        }
    }

    pub(super) fn secret_changed(&self, namespace: &str, name: &str) {
        if let Some(listener) = self.lock().get_mut(&key(namespace, name)) {
            listener.changed.get_or_insert_with(Instant::now);
        }
    }

    /// Returns the time since the change of a Secret if its certificate is now served in place of another. Forgets the
    /// change if the pods serve what is wanted.
    pub(super) fn renewed(
        &self,
        listener: &MqttTlsListener,
        status: &MqttTlsListenerStatus,
    ) -> Option<Duration> {
        let metadata = &listener.metadata;
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        let name = metadata.name.as_deref().unwrap_or_default();
        let mut conditions = status.conditions.iter();
        let is_served = conditions.any(|one| {
            one.type_ == ConditionType::CertificateServed.name()
                && one.status == Status::True.name()
        });
        if !is_served {
            return None;
        }
        let changed = self.lock().get_mut(&key(namespace, name))?.changed.take()?;
        let before = &listener.status.as_ref()?.certificates;
        let is_new = |one: &CertificateStatus| {
            let mut before = before.iter();
            !before.any(|known| known.fingerprint == one.fingerprint)
        };
        let is_renewed = !before.is_empty() && status.certificates.iter().any(is_new);
        is_renewed.then(|| changed.elapsed())
    }

    pub(super) fn observed(&self, listener: &MqttTlsListener, status: &MqttTlsListenerStatus) {
        let metadata = &listener.metadata;
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        let name = metadata.name.as_deref().unwrap_or_default();
        let conditions = status.conditions.iter();
        let seen = Seen {
            replicas: Some(listener.spec.replicas),
            replicas_ready: Some(status.ready_replicas.unwrap_or(0)),
            conditions: conditions.filter_map(own).collect(),
            trials: status.trials.iter().map(|trial| trial.state).collect(),
        };
        self.see(namespace, name, seen);
    }

    pub(super) fn malformed(&self, namespace: &str, name: &str) {
        let seen = Seen {
            replicas: None,
            replicas_ready: None,
            conditions: vec![(ConditionType::Ready, Status::False)],
            trials: Vec::new(),
        };
        self.see(namespace, name, seen);
    }

    fn see(&self, namespace: &str, name: &str, seen: Seen) {
        if let Some(listener) = self.lock().get_mut(&key(namespace, name)) {
            listener.seen = Some(seen);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Listener>> {
        // Each change is atomic, so the map stays valid after a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns a condition's type and status; `None` if it is another manager's.
fn own(condition: &Condition) -> Option<(ConditionType, Status)> {
    let (mut types, mut statuses) = (ConditionType::ALL.into_iter(), Status::ALL.into_iter());
    Some((
        types.find(|one| one.name() == condition.type_)?,
        statuses.find(|one| one.name() == condition.status)?,
    ))
}

fn key(namespace: &str, name: &str) -> Key {
    (namespace.to_owned(), name.to_owned())
}

/// A gauge per listener: name, help and value.
type PerListener = (&'static str, &'static str, fn(&Listener) -> Option<i64>);

const PER_LISTENER: [PerListener; 3] = [
    (
        "listener_failures",
        "Consecutive failed reconciliations of a listener",
        |listener| Some(listener.failures.into()),
    ),
    (
        "listener_replicas",
        "Terminator pods that a listener asks for",
        |listener| listener.seen.as_ref()?.replicas.map(i64::from),
    ),
    (
        "listener_replicas_ready",
        "Ready terminator pods of a listener",
        |listener| listener.seen.as_ref()?.replicas_ready.map(i64::from),
    ),
];

/// Encodes the listeners at each scrape.
#[derive(Debug)]
pub(super) struct Live(pub(super) std::sync::Arc<Listeners>);

impl Collector for Live {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let listeners = self.0.lock();
        let count = ConstGauge::new(listeners.len());
        let kind = count.metric_type();
        let known = ("listeners", "Known listeners");
        count.encode(encoder.encode_descriptor(known.0, known.1, None, kind)?)?;
        for (name, help, value) in PER_LISTENER {
            let mut encoder = encoder.encode_descriptor(name, help, None, kind)?;
            for ((namespace, name), listener) in &*listeners {
                let labels = [("namespace", namespace.as_str()), ("listener", name)];
                if let Some(value) = value(listener) {
                    ConstGauge::new(value).encode(encoder.encode_family(&labels)?)?;
                }
            }
        }
        warnings(&listeners, &mut encoder)?;
        trials(&listeners, &mut encoder)?;
        let help = "Conditions of each listener: 1 for the current status, 0 for the others";
        let mut encoder = encoder.encode_descriptor("listener_condition", help, None, kind)?;
        for ((namespace, name), listener) in &*listeners {
            let seen = listener.seen.iter();
            for (condition, has) in seen.flat_map(|seen| &seen.conditions) {
                for status in Status::ALL {
                    let labels = [
                        ("namespace", namespace.as_str()),
                        ("listener", name),
                        ("condition", condition.name()),
                        ("status", status.name()),
                    ];
                    let value = i64::from(*has == status);
                    ConstGauge::new(value).encode(encoder.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }
}

/// Encodes the number of trials in each state, of listeners that have any.
fn trials(
    listeners: &BTreeMap<Key, Listener>,
    encoder: &mut DescriptorEncoder<'_>,
) -> Result<(), Error> {
    let kind = ConstGauge::new(0_i64).metric_type();
    let help = "Renewed certificates of a listener that are tried, held, waiting or rolled back; no series without any";
    let mut encoder = encoder.encode_descriptor("listener_trials", help, None, kind)?;
    for ((namespace, name), listener) in listeners {
        let seen = listener.seen.as_ref().map_or(&[][..], |seen| &seen.trials);
        if seen.is_empty() {
            continue;
        }
        for state in TrialState::ALL {
            let labels = [
                ("namespace", namespace.as_str()),
                ("listener", name),
                ("state", state.name()),
            ];
            let count = seen.iter().filter(|one| **one == state).count();
            ConstGauge::new(count).encode(encoder.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

/// Encodes a series for each current warning of a listener.
fn warnings(
    listeners: &BTreeMap<Key, Listener>,
    encoder: &mut DescriptorEncoder<'_>,
) -> Result<(), Error> {
    let one = ConstGauge::new(1_i64);
    let help =
        "1 for each warning about the certificates or CA certificates that a listener serves with";
    let mut encoder =
        encoder.encode_descriptor("certificate_warning", help, None, one.metric_type())?;
    for ((namespace, name), listener) in listeners {
        for reason in &listener.warnings {
            let labels = [
                ("namespace", namespace.as_str()),
                ("listener", name),
                ("reason", reason.name()),
            ];
            one.encode(encoder.encode_family(&labels)?)?;
        }
    }
    Ok(())
}
