//! What is counted, in OpenMetrics' terms: by each thread for itself ([`Counts`]), and by the control thread about the
//! configuration ([`Metrics`]). There is no global.
//!
//! It must not have a label whose values come from a client. Each counter is there from the start, at 0 for
//! each value of its labels: the first increase of one that appears with it cannot be seen (`rate`).

mod counts;
mod labels;
mod threads;
mod warnings;

use std::sync::Arc;

use mqtt_tls_judge::certificate::Facts;
use mqtt_tls_program::process::Process;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

pub(crate) use self::counts::Counts;
use self::labels::RELOADS;
use self::threads::Threads;
use self::warnings::Warnings;
use crate::state::State;

type CertificateLabels = [(&'static str, String); 2];

/// What is counted about the configuration.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    /// By outcome.
    reloads: Family<[(&'static str, &'static str); 1], Counter>,
    reload_succeeded: Gauge,
    connections_limit: Gauge,
    not_before: Family<CertificateLabels, Gauge>,
    not_after: Family<CertificateLabels, Gauge>,
    pub(crate) warnings: Warnings,
}

impl Metrics {
    /// Registers everything, what threads count included.
    pub(crate) fn new(registry: &mut Registry, state: &Arc<State>) -> Self {
        let metrics = Self {
            reloads: Family::default(),
            reload_succeeded: Gauge::default(),
            connections_limit: Gauge::default(),
            not_before: Family::default(),
            not_after: Family::default(),
            warnings: Warnings::default(),
        };
        for outcome in RELOADS {
            drop(metrics.reloads.get_or_create(&[("outcome", outcome)]));
        }
        let ours = registry.sub_registry_with_prefix("mqtt_tls");
        metrics.register(ours);
        ours.register_collector(Box::new(Threads(Arc::clone(state))));
        registry.register_collector(Box::new(Process::default()));
        metrics
    }

    fn register(&self, registry: &mut Registry) {
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The program that runs", build);
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
