//! What is counted, in OpenMetrics' terms. Handles are handed to whoever counts; there is no global.
//!
//! It must not have a label whose values come from a client. Each counter is there from the start, at 0 for
//! each value of its labels: the first increase of one that appears with it cannot be seen (`rate`).

mod labels;
mod warnings;

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::admission::{Population, Stage};
use crate::certificate::Facts;
use crate::metrics::warnings::Warnings;
use crate::process::Process;
use labels::{ENDS, HANDSHAKE_FAILURES, LIMITS, RELOADS};

type Labels<const N: usize> = [(&'static str, &'static str); N];
type CertificateLabels = [(&'static str, String); 2];

/// From 0.25 ms to 16 s.
const DURATION_BUCKETS: [f64; 17] = [
    0.000_25, 0.000_5, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.0,
    2.0, 4.0, 8.0, 16.0,
];

/// The bytes that one thread has relayed. Each thread has its own, on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Traffic {
    up: AtomicU64,
    down: AtomicU64,
}

impl Traffic {
    pub(crate) fn add_up(&self, bytes: usize) {
        self.up.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn add_down(&self, bytes: usize) {
        self.down.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// All that is counted.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) accepted: Counter,
    /// Whose clients have said a first packet.
    pub(crate) opened: Counter,
    /// By limit.
    refused: Family<Labels<1>, Counter>,
    pub(crate) accept_errors: Counter,
    /// By how they ended.
    ended: Family<Labels<1>, Counter>,
    /// By outcome, version and kind.
    handshakes: Family<Labels<3>, Counter>,
    handshake_duration: Histogram,
    dial_duration: Histogram,
    /// By outcome.
    reloads: Family<Labels<1>, Counter>,
    reload_succeeded: Gauge,
    connections_limit: Gauge,
    not_before: Family<CertificateLabels, Gauge>,
    not_after: Family<CertificateLabels, Gauge>,
    pub(crate) warnings: Warnings,
    /// How many are open; also what the limit is held against.
    pub(crate) connections: Arc<AtomicU32>,
    /// How many clients are waited for.
    pub(crate) waiting: Arc<Population>,
    pub(crate) traffic: Arc<Vec<Traffic>>,
}

impl Metrics {
    /// Registers everything, for so many threads.
    pub(crate) fn new(registry: &mut Registry, threads: usize) -> Self {
        let metrics = Self {
            accepted: Counter::default(),
            opened: Counter::default(),
            refused: Family::default(),
            accept_errors: Counter::default(),
            ended: Family::default(),
            handshakes: Family::default(),
            handshake_duration: Histogram::new(DURATION_BUCKETS),
            dial_duration: Histogram::new(DURATION_BUCKETS),
            reloads: Family::default(),
            reload_succeeded: Gauge::default(),
            connections_limit: Gauge::default(),
            not_before: Family::default(),
            not_after: Family::default(),
            warnings: Warnings::default(),
            connections: Arc::default(),
            waiting: Arc::default(),
            traffic: Arc::new((0..threads).map(|_| Traffic::default()).collect()),
        };
        metrics.begin();
        metrics.register(registry.sub_registry_with_prefix("mqtt_tls"));
        registry.register_collector(Box::new(Process::default()));
        metrics
    }

    /// Puts every counter there, at 0.
    fn begin(&self) {
        for limit in LIMITS {
            drop(self.refused.get_or_create(&[("limit", limit)]));
        }
        for end in ENDS {
            drop(self.ended.get_or_create(&[("end", end)]));
        }
        for outcome in RELOADS {
            drop(self.reloads.get_or_create(&[("outcome", outcome)]));
        }
        for version in ["1.2", "1.3"] {
            for kind in ["full", "resumed"] {
                drop(self.handshakes_with("ok", version, kind));
            }
        }
        for outcome in HANDSHAKE_FAILURES {
            for version in ["none", "1.2", "1.3"] {
                drop(self.handshakes_with(outcome, version, "none"));
            }
        }
    }

    fn register(&self, registry: &mut Registry) {
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The program that runs", build);
        registry.register(
            "connections_accepted",
            "Connections accepted",
            self.accepted.clone(),
        );
        registry.register(
            "connections_opened",
            "Connections whose clients have said a first packet",
            self.opened.clone(),
        );
        registry.register(
            "connections_refused",
            "Connections closed before they were open, by limit",
            self.refused.clone(),
        );
        registry.register(
            "accept_errors",
            "Failures to accept, as for want of file descriptors",
            self.accept_errors.clone(),
        );
        registry.register(
            "connections_ended",
            "Connections, by how they ended",
            self.ended.clone(),
        );
        registry.register(
            "handshakes",
            "TLS handshakes, by outcome, protocol version and kind",
            self.handshakes.clone(),
        );
        registry.register_with_unit(
            "handshake_duration",
            "From accept to the end of a handshake that succeeded",
            Unit::Seconds,
            self.handshake_duration.clone(),
        );
        registry.register_with_unit(
            "dial_duration",
            "Resolving the backend and connecting to it, where that succeeded",
            Unit::Seconds,
            self.dial_duration.clone(),
        );
        self.register_configuration(registry);
        registry.register_collector(Box::new(Live {
            connections: Arc::clone(&self.connections),
            waiting: Arc::clone(&self.waiting),
            traffic: Arc::clone(&self.traffic),
        }));
    }

    /// What follows from the configuration.
    fn register_configuration(&self, registry: &mut Registry) {
        registry.register(
            "reloads",
            "Loads of the configuration, by outcome",
            self.reloads.clone(),
        );
        registry.register(
            "reload_succeeded",
            "Whether the newest configuration is the one that runs",
            self.reload_succeeded.clone(),
        );
        registry.register(
            "connections_limit",
            "How many connections may be open, by the configuration and by file descriptors",
            self.connections_limit.clone(),
        );
        registry.register_with_unit(
            "certificate_not_before_timestamp",
            "From when a served certificate is valid",
            Unit::Seconds,
            self.not_before.clone(),
        );
        registry.register_with_unit(
            "certificate_not_after_timestamp",
            "Until when a served certificate is valid",
            Unit::Seconds,
            self.not_after.clone(),
        );
        registry.register_collector(Box::new(self.warnings.clone()));
    }

    /// Counts a handshake that succeeded.
    pub(crate) fn handshake_succeeded(
        &self,
        version: &'static str,
        is_resumed: bool,
        duration: Duration,
    ) {
        let kind = if is_resumed { "resumed" } else { "full" };
        self.handshakes_with("ok", version, kind).inc();
        self.handshake_duration.observe(duration.as_secs_f64());
    }

    /// Counts a handshake that failed.
    pub(crate) fn handshake_failed(&self, reason: &'static str, version: &'static str) {
        debug_assert!(
            HANDSHAKE_FAILURES.contains(&reason),
            "{reason} is not listed"
        );
        self.handshakes_with(reason, version, "none").inc();
    }

    fn handshakes_with(
        &self,
        outcome: &'static str,
        version: &'static str,
        kind: &'static str,
    ) -> impl Deref<Target = Counter> {
        let labels = [("outcome", outcome), ("version", version), ("kind", kind)];
        self.handshakes.get_or_create(&labels)
    }

    /// Counts a connection that was closed for want of something.
    pub(crate) fn refused(&self, limit: &'static str) {
        debug_assert!(LIMITS.contains(&limit), "{limit} is not listed");
        self.refused.get_or_create(&[("limit", limit)]).inc();
    }

    /// Counts a connection to the backend.
    pub(crate) fn dialed(&self, duration: Duration) {
        self.dial_duration.observe(duration.as_secs_f64());
    }

    /// Counts the end of a connection.
    pub(crate) fn ended(&self, how: &'static str) {
        debug_assert!(ENDS.contains(&how), "{how} is not listed");
        self.ended.get_or_create(&[("end", how)]).inc();
    }

    /// Counts a load of the configuration, and whether what runs is now the newest.
    pub(crate) fn reloaded(&self, outcome: &'static str, is_newest: bool) {
        debug_assert!(RELOADS.contains(&outcome), "{outcome} is not listed");
        self.reloads.get_or_create(&[("outcome", outcome)]).inc();
        self.reload_succeeded.set(is_newest.into());
    }

    /// Tells how many connections may be open by the configuration that runs now.
    pub(crate) fn allowing(&self, connections: u32) {
        self.connections_limit.set(connections.into());
    }

    /// Tells of the certificates that are served now, and of no others.
    pub(crate) fn serving<'a>(&self, certificates: impl Iterator<Item = &'a Arc<Facts>>) {
        self.not_before.clear();
        self.not_after.clear();
        for (index, facts) in certificates.enumerate() {
            let labels = [
                ("index", index.to_string()),
                ("fingerprint", facts.fingerprint.clone()),
            ];
            let (from, until) = (facts.not_before.as_second(), facts.not_after.as_second());
            self.not_before.get_or_create(&labels).set(from);
            self.not_after.get_or_create(&labels).set(until);
        }
    }
}

/// What is read where it is kept, when someone asks.
#[derive(Debug)]
struct Live {
    connections: Arc<AtomicU32>,
    waiting: Arc<Population>,
    traffic: Arc<Vec<Traffic>>,
}

impl Collector for Live {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for (name, help, value) in [
            (
                "connections_open",
                "Connections open: their clients have said a first packet",
                self.connections.load(Ordering::Relaxed),
            ),
            (
                "handshakes_in_flight",
                "Handshakes that have begun and not ended",
                self.waiting.handshaking(),
            ),
        ] {
            let gauge = ConstGauge::new(i64::from(value));
            let encoder = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(encoder)?;
        }
        let help = "Clients that are waited for, by what they are waited for";
        let mut encode =
            encoder.encode_descriptor("clients_waited_for", help, None, MetricType::Gauge)?;
        for stage in Stage::ALL {
            let gauge = ConstGauge::new(i64::from(self.waiting.of(stage)));
            gauge.encode(encode.encode_family(&[("stage", stage.name())])?)?;
        }
        let sum = |which: fn(&Traffic) -> &AtomicU64| {
            self.traffic
                .iter()
                .map(|thread| which(thread).load(Ordering::Relaxed))
                .sum::<u64>()
        };
        let up = ConstCounter::new(sum(|thread| &thread.up));
        let down = ConstCounter::new(sum(|thread| &thread.down));
        let help = "Plaintext relayed, by direction";
        let mut encoder =
            encoder.encode_descriptor("relayed", help, Some(&Unit::Bytes), up.metric_type())?;
        up.encode(encoder.encode_family(&[("direction", "to_backend")])?)?;
        down.encode(encoder.encode_family(&[("direction", "to_client")])?)
    }
}
