//! Process metrics of both programs, under the standard names: CPU time, memory, file descriptors, threads and
//! start time; also the number of dropped log lines.
//!
//! It must not fail: it omits values that the system does not provide.

use std::fmt::Error;
use std::time::{SystemTime, UNIX_EPOCH};

use procfs::process::Stat;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use rustix::process::{Resource, getrlimit};

use crate::log;

/// Collector that reads the state of this process at each scrape.
#[derive(Debug)]
pub struct Process {
    started: SystemTime,
}

impl Default for Process {
    /// Call it when the process starts.
    fn default() -> Self {
        Self {
            started: SystemTime::now(),
        }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let started = self.started.duration_since(UNIX_EPOCH).unwrap_or_default();
        let described = (
            "process_start_time",
            "Start time of the process since the Unix epoch",
            Some(&Unit::Seconds),
        );
        gauge(
            &mut encoder,
            described,
            &ConstGauge::new(started.as_secs_f64()),
        )?;
        let dropped = ConstCounter::new(log::lines_dropped());
        let help = "Log lines dropped because standard error was blocked";
        dropped.encode(encoder.encode_descriptor(
            "mqtt_tls_log_lines_dropped",
            help,
            None,
            dropped.metric_type(),
        )?)?;
        if let Some(most) = getrlimit(Resource::Nofile).current {
            let described = (
                "process_max_fds",
                "Maximum number of open file descriptors",
                None,
            );
            gauge(&mut encoder, described, &ConstGauge::new(most))?;
        }
        let Ok(process) = procfs::process::Process::myself() else {
            return Ok(());
        };
        if let Ok(count) = process.fd_count() {
            let described = ("process_open_fds", "Number of open file descriptors", None);
            gauge(&mut encoder, described, &ConstGauge::new(count as u64))?;
        }
        process
            .stat()
            .map_or(Ok(()), |stat| usage(&mut encoder, &stat))
    }
}

/// Writes the metrics from `/proc/self/stat`.
fn usage(encoder: &mut DescriptorEncoder<'_>, stat: &Stat) -> Result<(), Error> {
    let (resident, ticks) = (stat.rss * procfs::page_size(), stat.utime + stat.stime);
    let described = (
        "process_resident_memory",
        "Resident memory size",
        Some(&Unit::Bytes),
    );
    gauge(encoder, described, &ConstGauge::new(resident))?;
    let described = ("process_threads", "Number of threads", None);
    gauge(encoder, described, &ConstGauge::new(stat.num_threads))?;
    #[allow(
        clippy::cast_precision_loss,
        reason = "exact for a thousand years of CPU time"
    )]
    let seconds = ticks as f64 / procfs::ticks_per_second() as f64;
    let counter = ConstCounter::new(seconds);
    let help = "Total user and system CPU time";
    let encoder = encoder.encode_descriptor(
        "process_cpu",
        help,
        Some(&Unit::Seconds),
        counter.metric_type(),
    )?;
    counter.encode(encoder)
}

/// Writes a gauge with its name, help and unit.
fn gauge<N>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help, unit): (&str, &str, Option<&Unit>),
    gauge: &ConstGauge<N>,
) -> Result<(), Error>
where
    ConstGauge<N>: EncodeMetric,
{
    gauge.encode(encoder.encode_descriptor(name, help, unit, gauge.metric_type())?)
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::Process;

    #[test]
    fn metrics_have_the_standard_names() {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process::default()));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let value = |name: &str| -> f64 {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("{name} is missing: {text}"))
                .parse()
                .unwrap()
        };
        assert!(value("process_start_time_seconds") > 1.7e9);
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_open_fds") < value("process_max_fds"));
        assert!(value("process_resident_memory_bytes") > 1e5);
        assert!(value("process_threads") >= 1.0);
        // A short-lived process may have 0 ticks.
        assert!(value("process_cpu_seconds_total") >= 0.0);
        assert!(value("mqtt_tls_log_lines_dropped_total") >= 0.0);
    }
}
