//! What the operator counts. Labels take values of fixed sets only: no names of objects.

use std::sync::atomic::AtomicI64;
use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

/// The bounds of the histogram of durations, in seconds.
const SECONDS: [f64; 9] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Write {
    kind: String,
    verb: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Watched {
    kind: &'static str,
}

/// The handles to what is counted.
#[derive(Clone)]
pub struct Metrics {
    reconciliations: Family<Outcome, Counter>,
    durations: Histogram,
    in_flight: Gauge,
    listeners: Gauge<i64, AtomicI64>,
    writes: Family<Write, Counter>,
    watch_failures: Family<Watched, Counter>,
}

impl Metrics {
    /// Registers everything.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            reconciliations: Family::default(),
            durations: Histogram::new(SECONDS),
            in_flight: Gauge::default(),
            listeners: Gauge::default(),
            writes: Family::default(),
            watch_failures: Family::default(),
        };
        let registry = registry.sub_registry_with_prefix("mqtt_tls_operator");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version of this program", build);
        registry.register(
            "reconciliations",
            "Reconciliations by their outcome: done, or the reason of the error",
            metrics.reconciliations.clone(),
        );
        registry.register_with_unit(
            "reconciliation_duration",
            "How long a reconciliation took",
            Unit::Seconds,
            metrics.durations.clone(),
        );
        registry.register(
            "reconciliations_in_flight",
            "Reconciliations that run now",
            metrics.in_flight.clone(),
        );
        registry.register(
            "listeners",
            "Listeners that are known",
            metrics.listeners.clone(),
        );
        registry.register(
            "writes",
            "Writes to the API server by kind, verb and outcome",
            metrics.writes.clone(),
        );
        registry.register(
            "watch_failures",
            "Failures of watches, each of which is tried again",
            metrics.watch_failures.clone(),
        );
        metrics
    }

    /// A reconciliation begins; it is over when what is returned is consumed or dropped.
    pub fn reconciling(&self) -> Reconciling {
        self.in_flight.inc();
        Reconciling {
            metrics: self.clone(),
            since: Instant::now(),
            outcome: "cancelled",
        }
    }

    /// A write was tried.
    pub fn wrote(&self, kind: &str, verb: &'static str, is_ok: bool) {
        let outcome = if is_ok { "ok" } else { "failed" };
        self.writes
            .get_or_create(&Write {
                kind: kind.to_owned(),
                verb,
                outcome,
            })
            .inc();
    }

    /// A watch failed.
    pub fn watch_failed(&self, kind: &'static str) {
        self.watch_failures.get_or_create(&Watched { kind }).inc();
    }

    /// So many listeners are known.
    pub fn know(&self, listeners: usize) {
        self.listeners
            .set(i64::try_from(listeners).unwrap_or(i64::MAX));
    }
}

/// A reconciliation that runs.
pub struct Reconciling {
    metrics: Metrics,
    since: Instant,
    outcome: &'static str,
}

impl Reconciling {
    /// It is over, with `done` or the reason of its error.
    pub fn end(mut self, outcome: &'static str) -> Duration {
        self.outcome = outcome;
        self.since.elapsed()
    }
}

impl Drop for Reconciling {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
        self.metrics
            .durations
            .observe(self.since.elapsed().as_secs_f64());
        self.metrics
            .reconciliations
            .get_or_create(&Outcome {
                outcome: self.outcome,
            })
            .inc();
    }
}
