//! Clients that could not connect after a change of `tls`, of the last hour and day. It must not judge them.

use std::fmt::Error;
use std::sync::Arc;
use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::preview::Window;
use crate::state::State;
use crate::tls::policy::Change;

/// The rings of all threads.
pub(super) struct Preview(pub(super) Arc<State>);

impl std::fmt::Debug for Preview {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Preview").finish_non_exhaustive()
    }
}

impl Collector for Preview {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let now = Instant::now();
        let windows = Window::ALL.map(|window| (window.name(), self.0.preview(window, now)));
        let gauge = |count: u64| ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX));
        let help = "Number of clients in the last hour or day, by whether they have anything in common with what TLS offers. \
                    A client counts each time that it connects.";
        let mut encode =
            encoder.encode_descriptor("preview_clients", help, None, MetricType::Gauge)?;
        for (window, totals) in &windows {
            for (outcome, count) in [("ok", totals.served), ("incompatible", totals.incompatible)] {
                let labels = [("window", *window), ("outcome", outcome)];
                gauge(count).encode(encode.encode_family(&labels)?)?;
            }
        }
        let help = "Number of clients in the last hour or day that could connect, and could not after a change: a lowest \
                    version (min_version), a suite or group less, or certificates with one kind of key only.";
        let name = "preview_failing_clients";
        let mut encode = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (window, totals) in &windows {
            for (change, count) in Change::all().zip(totals.fails) {
                let (change, value) = change.labels();
                let labels = [("window", *window), ("change", change), ("value", value)];
                gauge(count).encode(encode.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
