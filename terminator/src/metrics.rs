//! Metrics in OpenMetrics' terms: each thread counts for itself ([`Counts`](crate::counts::Counts)), and the control thread about the
//! configuration ([`Metrics`]). There are no globals.
//!
//! It must not have a label whose values come from a client. Each counter exists from the start, at 0 for each value of
//! its labels: `rate` cannot see the first increase of a series that appears with it.

mod clients;
mod current;
mod preview;
mod threads;

use std::sync::Arc;

use mqtt_tls_program::process::Process;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use self::clients::Clients;
use self::current::Current;
use self::preview::Preview;
use self::threads::Threads;
use crate::reload::Reload;
use crate::settings::Settings;
use crate::state::State;

/// Returns the label `index` of the candidate of a certificate.
fn candidate_index(index: usize) -> String {
    format!("{index}.candidate")
}

type CertificateLabels = [(&'static str, String); 3];

/// Metrics of the configuration.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    /// By outcome.
    reloads: Family<[(&'static str, &'static str); 1], Counter>,
    reload_succeeded: Gauge,
    connections_limit: Gauge,
    not_before: Family<CertificateLabels, Gauge>,
    not_after: Family<CertificateLabels, Gauge>,
    pub(crate) current: Current,
}

impl Metrics {
    /// Registers all metrics, including the threads'.
    pub(crate) fn new(registry: &mut Registry, state: &Arc<State>) -> Self {
        let metrics = Self {
            reloads: Family::default(),
            reload_succeeded: Gauge::default(),
            connections_limit: Gauge::default(),
            not_before: Family::default(),
            not_after: Family::default(),
            current: Current::default(),
        };
        for outcome in Reload::all() {
            drop(
                metrics
                    .reloads
                    .get_or_create(&[("outcome", outcome.name())]),
            );
        }
        let ours = registry.sub_registry_with_prefix("mqtt_tls");
        metrics.register(ours);
        ours.register_collector(Box::new(Threads(Arc::clone(state))));
        ours.register_collector(Box::new(Preview(Arc::clone(state))));
        registry.register_collector(Box::new(Process::default()));
        metrics
    }

    fn register(&self, registry: &mut Registry) {
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Version of the program", build);
        registry.register(
            "reloads",
            "Loads of the configuration file, by outcome",
            self.reloads.clone(),
        );
        registry.register(
            "reload_succeeded",
            "Whether the newest configuration is served",
            self.reload_succeeded.clone(),
        );
        registry.register(
            "connections_limit",
            "Maximum number of open connections, by the configuration and by file descriptors",
            self.connections_limit.clone(),
        );
        registry.register_with_unit(
            "certificate_not_before_timestamp",
            "Unix time from which a served certificate is valid",
            Unit::Seconds,
            self.not_before.clone(),
        );
        registry.register_with_unit(
            "certificate_not_after_timestamp",
            "Unix time at which a served certificate expires",
            Unit::Seconds,
            self.not_after.clone(),
        );
        registry.register_collector(Box::new(self.current.clone()));
        registry.register_collector(Box::new(Clients(self.current.clone())));
    }

    /// Counts a load of the configuration file.
    pub(crate) fn reloaded(&self, outcome: Reload) {
        let labels = [("outcome", outcome.name())];
        self.reloads.get_or_create(&labels).inc();
        self.reload_succeeded.set(outcome.is_newest().into());
    }

    /// Sets the maximum number of open connections.
    pub(crate) fn allowing(&self, connections: u32) {
        self.connections_limit.set(connections.into());
    }

    /// Replaces the settings that are served.
    pub(crate) fn serving(&self, settings: &Settings) {
        self.current.replace(settings);
        self.not_before.clear();
        self.not_after.clear();
        let hosts = settings.hosts.all();
        for host in hosts.filter(|host| host.has_own_certificates) {
            let own = host.certificates.iter().enumerate();
            let own = own.map(|(index, one)| (index.to_string(), one));
            let candidates = host.candidates.iter();
            let candidates = candidates.map(|one| (candidate_index(one.index), &one.certificate));
            for (index, certificate) in own.chain(candidates) {
                let facts = certificate.facts();
                let labels = [
                    ("host", host.name().to_owned()),
                    ("index", index),
                    ("fingerprint", facts.fingerprint.clone()),
                ];
                let (from, until) = (facts.not_before.as_second(), facts.not_after.as_second());
                self.not_before.get_or_create(&labels).set(from);
                self.not_after.get_or_create(&labels).set(until);
            }
        }
    }
}
