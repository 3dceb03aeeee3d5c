//! The operator's metrics. Labels take values from fixed sets, except for the names of listeners, whose series
//! end when the listener is deleted (`listeners`). They must not contain the name of a Secret or any of its content.
//!
//! Each counter starts at 0 for each value of its labels: `rate` misses the first increase of a series that
//! appears with it.

mod listeners;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kube::ResourceExt;
use mqtt_tls_program::process::Process;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::crd::{MqttTlsListener, MqttTlsListenerStatus};
use crate::kinds::{KINDS, Kind, Verb};
use crate::plan::reason::Reason;
use listeners::{Listeners, Live};

/// Buckets of the histogram of durations, in seconds.
const SECONDS: [f64; 9] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// Buckets of the histogram of renewals, in seconds. Without a mark on its pod, a kubelet takes up to two minutes.
const RENEWAL_SECONDS: [f64; 10] = [0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 15.0, 60.0, 180.0];

/// How a reconciliation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It succeeded.
    Done,
    /// It was dropped before its end.
    Cancelled,
    /// A call failed for this reason.
    Failed(Reason),
}

impl Ended {
    /// Returns all values.
    fn all() -> impl Iterator<Item = Self> {
        let failed = Reason::CALLS.into_iter().map(Self::Failed);
        [Self::Done, Self::Cancelled].into_iter().chain(failed)
    }

    /// Returns its value as a label.
    fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Failed(reason) => reason.name(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Write {
    kind: &'static str,
    verb: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Watched {
    kind: &'static str,
}

/// Handles to the metrics.
#[derive(Clone)]
pub struct Metrics {
    reconciliations: Family<Outcome, Counter>,
    durations: Histogram,
    renewals: Histogram,
    in_flight: Gauge,
    last_success: Gauge<f64, AtomicU64>,
    listeners: Arc<Listeners>,
    writes: Family<Write, Counter>,
    watch_failures: Family<Watched, Counter>,
    leader: Gauge,
}

impl Metrics {
    /// Creates and registers all metrics.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            reconciliations: Family::default(),
            durations: Histogram::new(SECONDS),
            renewals: Histogram::new(RENEWAL_SECONDS),
            in_flight: Gauge::default(),
            last_success: Gauge::default(),
            listeners: Arc::default(),
            writes: Family::default(),
            watch_failures: Family::default(),
            leader: Gauge::default(),
        };
        metrics.begin();
        registry.register_collector(Box::new(Process::default()));
        metrics.register(registry.sub_registry_with_prefix("mqtt_tls_operator"));
        metrics
    }

    /// Creates the counters at 0.
    fn begin(&self) {
        for ended in Ended::all() {
            let outcome = ended.name();
            drop(self.reconciliations.get_or_create(&Outcome { outcome }));
        }
        for row in &KINDS {
            for (verb, is_ok) in row
                .counted
                .iter()
                .flat_map(|verb| [(verb, true), (verb, false)])
            {
                let labels = Write::of(row.kind, *verb, is_ok);
                drop(self.writes.get_or_create(&labels));
            }
        }
    }

    fn register(&self, registry: &mut Registry) {
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Version of this program", build);
        registry.register(
            "reconciliations",
            "Reconciliations by outcome: done, cancelled, or the reason of the error",
            self.reconciliations.clone(),
        );
        registry.register_with_unit(
            "reconciliation_duration",
            "Duration of reconciliations",
            Unit::Seconds,
            self.durations.clone(),
        );
        registry.register_with_unit(
            "renewal_duration",
            "Time from the event of a changed Secret until all ready pods have proved that they serve its certificate",
            Unit::Seconds,
            self.renewals.clone(),
        );
        registry.register(
            "reconciliations_in_flight",
            "Reconciliations in progress",
            self.in_flight.clone(),
        );
        registry.register_with_unit(
            "reconciliation_last_success_timestamp",
            "Unix time of the last successful reconciliation, or of becoming the leader if there was none since; 0 if this operator is not the leader",
            Unit::Seconds,
            self.last_success.clone(),
        );
        registry.register(
            "writes",
            "Writes to the API server by kind, verb and outcome",
            self.writes.clone(),
        );
        registry.register(
            "watch_failures",
            "Failed watches, which are retried",
            self.watch_failures.clone(),
        );
        registry.register(
            "leader",
            "1 if this operator is the leader, 0 if it stands by",
            self.leader.clone(),
        );
        registry.register_collector(Box::new(Live(Arc::clone(&self.listeners))));
    }

    /// Counts a reconciliation until the returned guard is consumed or dropped.
    pub fn reconciling(&self) -> Reconciling {
        self.in_flight.inc();
        Reconciling {
            metrics: self.clone(),
            since: Instant::now(),
            ended: Ended::Cancelled,
        }
    }

    /// Counts a write.
    pub fn wrote(&self, kind: Kind, verb: Verb, is_ok: bool) {
        let labels = Write::of(kind, verb, is_ok);
        self.writes.get_or_create(&labels).inc();
    }

    /// Records that a Secret that a listener references has changed.
    pub fn secret_changed(&self, namespace: &str, name: &str) {
        self.listeners.secret_changed(namespace, name);
    }

    /// Creates the counter of a watch.
    pub fn watching(&self, kind: Kind) {
        let kind = kind.name();
        drop(self.watch_failures.get_or_create(&Watched { kind }));
    }

    /// Counts a failed watch.
    pub fn watch_failed(&self, kind: Kind) {
        let kind = kind.name();
        self.watch_failures.get_or_create(&Watched { kind }).inc();
    }

    /// Records that this operator has become the leader.
    pub fn lead(&self) {
        self.leader.set(1);
        // The alert measures the time without success from here.
        self.last_success.set(seconds_now());
    }

    /// Adds a listener.
    pub fn know<K: ResourceExt>(&self, listener: &K) {
        let namespace = listener.namespace().unwrap_or_default();
        self.listeners.know(&namespace, &listener.name_any());
    }

    /// Replaces the set of listeners.
    pub fn know_only<'l, K: ResourceExt + 'l>(&self, listeners: impl Iterator<Item = &'l K>) {
        let names = listeners.map(|one| (one.namespace().unwrap_or_default(), one.name_any()));
        self.listeners.know_only(names);
    }

    /// Removes a listener.
    pub fn forget<K: ResourceExt>(&self, listener: &K) {
        let namespace = listener.namespace().unwrap_or_default();
        self.listeners.forget(&namespace, &listener.name_any());
    }

    /// Records a listener's number of consecutive failures; 0 after a success.
    pub fn failing(&self, namespace: &str, name: &str, failures: u32) {
        self.listeners.failing(namespace, name, failures);
    }

    /// Records that a listener cannot be parsed: it is not ready, although its status cannot show that.
    pub fn malformed(&self, namespace: &str, name: &str) {
        self.listeners.malformed(namespace, name);
    }

    /// Records the warnings about what a listener serves.
    pub fn warned(&self, namespace: &str, name: &str, reasons: Vec<Reason>) {
        self.listeners.warned(namespace, name, reasons);
    }

    /// Adds a listener with the status that it has, before its first reconciliation.
    pub fn found(&self, listener: &MqttTlsListener) {
        self.know(listener);
        if let Some(status) = &listener.status {
            self.listeners.observed(listener, status);
        }
    }

    /// Records a listener's status.
    pub fn observed(&self, listener: &MqttTlsListener, status: &MqttTlsListenerStatus) {
        if let Some(took) = self.listeners.renewed(listener, status) {
            self.renewals.observe(took.as_secs_f64());
        }
        self.listeners.observed(listener, status);
    }
}

impl Write {
    fn of(kind: Kind, verb: Verb, is_ok: bool) -> Self {
        Self {
            kind: kind.name(),
            verb: verb.name(),
            outcome: if is_ok { "ok" } else { "failed" },
        }
    }
}

/// A reconciliation in progress.
pub struct Reconciling {
    metrics: Metrics,
    since: Instant,
    ended: Ended,
}

impl Reconciling {
    /// Ends it, and returns its duration.
    pub fn end(mut self, ended: Ended) -> Duration {
        self.ended = ended;
        self.since.elapsed()
    }
}

impl Drop for Reconciling {
    fn drop(&mut self) {
        let (metrics, outcome) = (&self.metrics, self.ended.name());
        metrics.in_flight.dec();
        metrics
            .durations
            .observe(self.since.elapsed().as_secs_f64());
        metrics
            .reconciliations
            .get_or_create(&Outcome { outcome })
            .inc();
        if self.ended == Ended::Done {
            metrics.last_success.set(seconds_now());
        }
    }
}

/// Returns the Unix time in seconds.
fn seconds_now() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::{Kind, Metrics, MqttTlsListener, MqttTlsListenerStatus, Reason};
    use crate::crd::TrialStatus;

    fn listener(name: &str) -> MqttTlsListener {
        let spec = serde_json::json!({
            "metadata": {"name": name, "namespace": "iot"},
            "spec": {"certificates": [{"secretRef": {"name": "a"}}], "backend": {"address": {"host": "b"}}},
        });
        serde_json::from_value(spec).unwrap()
    }

    fn status(ready: &str) -> MqttTlsListenerStatus {
        let condition = Condition {
            type_: "Ready".to_owned(),
            status: ready.to_owned(),
            reason: "Reason".to_owned(),
            message: String::new(),
            observed_generation: None,
            last_transition_time: Time(jiff::Timestamp::UNIX_EPOCH),
        };
        MqttTlsListenerStatus {
            conditions: vec![condition],
            ready_replicas: Some(1),
            ..MqttTlsListenerStatus::default()
        }
    }

    fn held() -> TrialStatus {
        let json = serde_json::json!({
            "secretName": "edge-tls", "state": "Held", "percent": 1,
            "renewed": {"served": 0, "aborted": 1, "confirmed": 1},
            "previous": {"served": 9, "aborted": 0, "confirmed": 0},
        });
        serde_json::from_value(json).unwrap()
    }

    fn text(registry: &Registry) -> String {
        let mut text = String::new();
        encode(&mut text, registry).unwrap();
        text
    }

    #[test]
    fn series_of_a_listener_end_with_it() {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        let (edge, other) = (listener("edge"), listener("other"));
        metrics.know(&edge);
        metrics.know(&other);
        let tried = MqttTlsListenerStatus {
            trials: vec![held()],
            ..status("False")
        };
        metrics.observed(&edge, &tried);
        metrics.failing("iot", "edge", 3);
        metrics.warned("iot", "edge", vec![Reason::NoNames]);
        let shown = text(&registry);
        for line in [
            "mqtt_tls_operator_listeners 2",
            "mqtt_tls_operator_listener_failures{namespace=\"iot\",listener=\"edge\"} 3",
            "mqtt_tls_operator_listener_failures{namespace=\"iot\",listener=\"other\"} 0",
            "mqtt_tls_operator_listener_replicas{namespace=\"iot\",listener=\"edge\"} 2",
            "mqtt_tls_operator_listener_replicas_ready{namespace=\"iot\",listener=\"edge\"} 1",
            "mqtt_tls_operator_listener_condition{namespace=\"iot\",listener=\"edge\",\
             condition=\"Ready\",status=\"False\"} 1",
            "mqtt_tls_operator_listener_condition{namespace=\"iot\",listener=\"edge\",\
             condition=\"Ready\",status=\"True\"} 0",
            "mqtt_tls_operator_listener_trials{namespace=\"iot\",listener=\"edge\",state=\"Held\"} 1",
            "mqtt_tls_operator_listener_trials{namespace=\"iot\",listener=\"edge\",state=\"Running\"} 0",
            "mqtt_tls_operator_certificate_warning{namespace=\"iot\",listener=\"edge\",\
             reason=\"NoNames\"} 1",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
        }
        metrics.forget(&edge);
        // From a reconciliation that was in progress during the deletion.
        metrics.observed(&edge, &status("True"));
        metrics.failing("iot", "edge", 4);
        assert!(!text(&registry).contains("=\"edge\""));
        metrics.know_only([&edge].into_iter());
        let shown = text(&registry);
        assert!(
            shown.contains("=\"edge\"") && !shown.contains("=\"other\""),
            "{shown}"
        );
    }

    #[test]
    fn a_malformed_listener_is_not_ready_and_has_no_replicas() {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        let edge = listener("edge");
        metrics.know(&edge);
        metrics.observed(&edge, &status("True"));
        metrics.malformed("iot", "edge");
        metrics.malformed("iot", "unknown");
        let shown = text(&registry);
        let not_ready = "mqtt_tls_operator_listener_condition{namespace=\"iot\",listener=\"edge\",\
                    condition=\"Ready\",status=\"False\"} 1";
        assert!(shown.lines().any(|line| line == not_ready), "{shown}");
        // The alert about missing pods ignores a listener without this series.
        let other = ["listener_replicas{", "unknown\""];
        assert!(other.iter().all(|one| !shown.contains(one)), "{shown}");
        metrics.observed(&edge, &status("True"));
        assert!(!text(&registry).contains(not_ready));
    }

    #[test]
    fn every_counter_starts_at_zero() {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        metrics.watching(Kind::Secret);
        let shown = text(&registry);
        for line in [
            "mqtt_tls_operator_reconciliations_total{outcome=\"Forbidden\"} 0",
            "mqtt_tls_operator_writes_total{kind=\"Pod\",verb=\"patch\",outcome=\"failed\"} 0",
            "mqtt_tls_operator_watch_failures_total{kind=\"Secret\"} 0",
            "mqtt_tls_operator_reconciliation_last_success_timestamp_seconds 0.0",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
        }
        assert!(shown.contains("process_resident_memory_bytes "), "{shown}");
    }

    #[test]
    fn becoming_the_leader_sets_the_time_of_the_last_success() {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        metrics.lead();
        let never = "mqtt_tls_operator_reconciliation_last_success_timestamp_seconds 0.0";
        let shown = text(&registry);
        assert!(!shown.contains(never), "{shown}");
    }

    /// A listener that has not changed since the last process is not reconciled soon.
    #[test]
    fn a_listed_listener_has_the_status_that_it_has() {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        let mut edge = listener("edge");
        metrics.found(&edge);
        assert!(!text(&registry).contains("condition=\"Ready\""));
        edge.status = Some(status("True"));
        metrics.found(&edge);
        let ready = "mqtt_tls_operator_listener_condition{namespace=\"iot\",listener=\"edge\",\
                     condition=\"Ready\",status=\"True\"} 1";
        let shown = text(&registry);
        assert!(shown.lines().any(|line| line == ready), "{shown}");
    }
}
