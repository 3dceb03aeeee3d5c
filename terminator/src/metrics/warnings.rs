//! Warnings about the served certificates, evaluated at each scrape, since they depend on the time.
//!
//! A series exists as long as its warning does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;

use crate::settings::{Settings, Warning};

/// The active settings, once there are any.
#[derive(Clone, Debug, Default)]
pub(crate) struct Warnings(Arc<Mutex<Option<Settings>>>);

impl Warnings {
    /// Replaces the active settings.
    pub(crate) fn about(&self, settings: &Settings) {
        *self.lock() = Some(settings.clone());
    }

    /// Returns the current warnings.
    pub(crate) fn now(&self) -> Vec<Warning> {
        let settings = self.lock().clone();
        let warnings = settings.map(|settings| settings.warnings(Timestamp::now()));
        warnings.unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Settings>> {
        // The settings are consistent even if an update panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Warnings {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut series: Vec<(String, &'static str)> = self
            .now()
            .iter()
            .map(|warning| {
                let index = warning.index.map(|index| index.to_string());
                let index = index.unwrap_or_else(|| "ca".to_owned());
                (index, warning.finding.reason.name())
            })
            .collect();
        // Two certificates of a chain may have the same problem.
        series.sort();
        series.dedup();
        let one = ConstGauge::new(1_i64);
        let help =
            "1 for each warning about a served certificate or the CA certificates (index \"ca\").";
        let mut encoder =
            encoder.encode_descriptor("certificate_warning", help, None, one.metric_type())?;
        for (index, reason) in series {
            let labels = [("index", index.as_str()), ("reason", reason)];
            one.encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
