//! What every monitored process tells of itself, under the names that dashboards know: CPU time, memory,
//! file descriptors, threads and the time of its start; and what its log dropped. Both programs register it.
//!
//! It must not fail: what the system does not tell is left out.

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

/// This process, read when someone asks.
#[derive(Debug)]
pub struct Process {
    started: SystemTime,
}

impl Default for Process {
    /// It is made when the process starts.
    fn default() -> Self {
        Self {
            started: SystemTime::now(),
        }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let started = self.started.duration_since(UNIX_EPOCH).unwrap_or_default();
        let told = (
            "process_start_time",
            "When the process started, since the epoch",
            Some(&Unit::Seconds),
        );
        gauge(&mut encoder, told, &ConstGauge::new(started.as_secs_f64()))?;
        let dropped = ConstCounter::new(log::lines_dropped());
        let help = "Lines of the log that were dropped, because standard error did not take them";
        dropped.encode(encoder.encode_descriptor(
            "mqtt_tls_log_lines_dropped",
            help,
            None,
            dropped.metric_type(),
        )?)?;
        if let Some(most) = getrlimit(Resource::Nofile).current {
            let told = (
                "process_max_fds",
                "How many file descriptors there may be",
                None,
            );
            gauge(&mut encoder, told, &ConstGauge::new(most))?;
        }
        let Ok(process) = procfs::process::Process::myself() else {
            return Ok(());
        };
        if let Ok(count) = process.fd_count() {
            let told = ("process_open_fds", "File descriptors in use", None);
            gauge(&mut encoder, told, &ConstGauge::new(count as u64))?;
        }
        process
            .stat()
            .map_or(Ok(()), |stat| usage(&mut encoder, &stat))
    }
}

/// What `/proc/self/stat` tells.
fn usage(encoder: &mut DescriptorEncoder<'_>, stat: &Stat) -> Result<(), Error> {
    let (resident, ticks) = (stat.rss * procfs::page_size(), stat.utime + stat.stime);
    let told = (
        "process_resident_memory",
        "Memory in use",
        Some(&Unit::Bytes),
    );
    gauge(encoder, told, &ConstGauge::new(resident))?;
    let told = ("process_threads", "Threads", None);
    gauge(encoder, told, &ConstGauge::new(stat.num_threads))?;
    #[allow(
        clippy::cast_precision_loss,
        reason = "exact for a thousand years of CPU time"
    )]
    let seconds = ticks as f64 / procfs::ticks_per_second() as f64;
    let counter = ConstCounter::new(seconds);
    let help = "CPU time, the kernel's on its behalf included";
    let encoder = encoder.encode_descriptor(
        "process_cpu",
        help,
        Some(&Unit::Seconds),
        counter.metric_type(),
    )?;
    counter.encode(encoder)
}

/// Writes one gauge: its name, its help and its unit.
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
    fn everything_is_told_under_the_names_that_dashboards_know() {
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
        // Of so short a life it may be 0 ticks.
        assert!(value("process_cpu_seconds_total") >= 0.0);
        assert!(value("mqtt_tls_log_lines_dropped_total") >= 0.0);
    }
}
