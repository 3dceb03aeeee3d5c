//! What someone should look at in what is served, judged again at each scrape: time makes an issuer expire.
//!
//! A series is there for as long as its warning is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;

use crate::settings::{Settings, Warning};

/// The settings that run, once there are any.
#[derive(Clone, Debug, Default)]
pub(crate) struct Warnings(Arc<Mutex<Option<Settings>>>);

impl Warnings {
    /// These settings run from now on.
    pub(crate) fn about(&self, settings: &Settings) {
        *self.lock() = Some(settings.clone());
    }

    /// All of them, judged now.
    pub(crate) fn now(&self) -> Vec<Warning> {
        let settings = self.lock().clone();
        let warnings = settings.map(|settings| settings.warnings(Timestamp::now()));
        warnings.unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Settings>> {
        // The settings are whole, whatever happened to the one who put them there.
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
        // Two blocks of one chain may have the same fault.
        series.sort();
        series.dedup();
        let one = ConstGauge::new(1_i64);
        let help = "1 for each reason to look at a served certificate, or at the authorities (index \"ca\")";
        let mut encoder =
            encoder.encode_descriptor("certificate_warning", help, None, one.metric_type())?;
        for (index, reason) in series {
            let labels = [("index", index.as_str()), ("reason", reason)];
            one.encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
