//! What the active settings show at each scrape: warnings, which depend on the time, and whether brokers are reachable.
//!
//! It must not connect to a broker. A series exists as long as there is something to say.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::backend::health::Seen;
use crate::settings::{About, Settings, Warning};

/// How long the result of an attempt to reach a broker is shown. The operator causes one each minute.
const BROKER_AGE_MAX: Duration = Duration::from_secs(300);

/// The active settings, once there are any.
#[derive(Clone, Debug, Default)]
pub(crate) struct Current(Arc<Mutex<Option<Settings>>>);

impl Current {
    /// Replaces the active settings.
    pub(super) fn replace(&self, settings: &Settings) {
        *self.lock() = Some(settings.clone());
    }

    /// Returns the active settings.
    pub(super) fn settings(&self) -> Option<Settings> {
        self.lock().clone()
    }

    /// Returns the current warnings.
    pub(crate) fn warnings(&self) -> Vec<Warning> {
        let settings = self.lock().clone();
        let warnings = settings.map(|settings| settings.warnings(Timestamp::now()));
        warnings.unwrap_or_default()
    }

    /// Returns whether the brokers are reachable, as far as that is known, by the host whose they are.
    fn brokers(&self) -> Vec<(String, bool)> {
        let settings = self.lock().clone();
        let owners = settings.iter().flat_map(|settings| settings.hosts.all());
        owners
            .filter_map(|host| {
                // Not those that it has from the listener itself.
                let own = Some(&host.target).filter(|_| host.has_own_backend);
                let protocols = host.by_protocol.iter().filter(|_| host.has_own_protocols);
                let targets = own.into_iter().chain(protocols.map(|(_, target)| target));
                let recent = targets.filter(|target| target.known.health.is_within(BROKER_AGE_MAX));
                let reachable = recent.filter_map(|target| match target.known.health.seen() {
                    Seen::Nothing => None,
                    Seen::Reachable => Some(true),
                    Seen::Unreachable(..) => Some(false),
                });
                let reachable = reachable.reduce(|one, other| one && other)?;
                Some((host.name().to_owned(), reachable))
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Settings>> {
        // The settings are consistent even if an update panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Current {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let warnings = self.warnings();
        let mut series: Vec<(&str, String, &'static str)> = warnings
            .iter()
            .map(|warning| {
                (
                    &*warning.host,
                    index(warning.about),
                    warning.finding.reason.name(),
                )
            })
            .collect();
        // Two certificates of a chain may have the same problem.
        series.sort();
        series.dedup();
        let help = "1 for each warning about a served certificate, the CA certificates (index \"ca\"), or a host as a whole \
                    (index \"host\").";
        let mut family =
            encoder.encode_descriptor("certificate_warning", help, None, MetricType::Gauge)?;
        for (host, index, reason) in series {
            let labels = [("host", host), ("index", &*index), ("reason", reason)];
            ConstGauge::new(1_i64).encode(family.encode_family(&labels)?)?;
        }
        let help = "Whether the last attempts to reach the broker succeeded, and it answers, for the listener itself (host \
                    \"\") and each host with a broker of its own; absent without an attempt for five minutes.";
        let mut family =
            encoder.encode_descriptor("backend_reachable", help, None, MetricType::Gauge)?;
        for (host, is_reachable) in self.brokers() {
            let gauge = ConstGauge::new(i64::from(is_reachable));
            gauge.encode(family.encode_family(&[("host", &*host)])?)?;
        }
        Ok(())
    }
}

/// Returns the label `index`.
fn index(about: About) -> String {
    match about {
        About::Certificate(index) => index.to_string(),
        About::Candidate(index) => super::candidate_index(index),
        About::Authorities => "ca".to_owned(),
        About::Host => "host".to_owned(),
    }
}
