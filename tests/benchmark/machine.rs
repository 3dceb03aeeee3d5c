//! The machine of the measurements, and its load. It must not measure servers.

use std::fs;

use serde::Serialize;

use crate::cpus::Cpus;

/// Properties that affect the figures.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    processor: String,
    kernel: String,
    cpus: Cpus,
    /// Limit on file descriptors of each process.
    descriptors: u64,
    /// Load average of one, five and fifteen minutes.
    load_average_before: String,
    load_average_after: String,
}

impl Machine {
    /// Reads the properties before the first round.
    pub(crate) fn look(cpus: Cpus, descriptors: u64) -> Self {
        Self {
            processor: processor(),
            kernel: kernel(),
            cpus,
            descriptors,
            load_average_before: load_average(),
            load_average_after: String::new(),
        }
    }

    /// Reads the load after the last round.
    pub(crate) fn look_again(&mut self) {
        self.load_average_after = load_average();
    }

    /// Formats the properties on one line.
    pub(crate) fn line(&self) -> String {
        format!(
            "{}, Linux {}; the server on CPU {}, clients and backend on CPU {}; {} descriptors; load average {} before, {} after.",
            self.processor,
            self.kernel,
            self.cpus.server,
            self.cpus.load,
            self.descriptors,
            self.load_average_before,
            self.load_average_after,
        )
    }
}

/// Describes the machine without its use.
pub(crate) fn processor_and_kernel() -> String {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let load = load_average();
    format!(
        "{}, {cpus} CPUs for everything, Linux {}; load average {load} at the end.",
        processor(),
        kernel()
    )
}

fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info
        .lines()
        .find(|line| line.starts_with("model name"))
        .and_then(|line| line.split_once(": "));
    name.map_or("an unknown processor", |(_, name)| name)
        .to_owned()
}

fn kernel() -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    kernel.trim().to_owned()
}

fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let numbers: Vec<_> = text.split(' ').take(3).collect();
    numbers.join(" ")
}
