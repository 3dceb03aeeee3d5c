//! The machine that is measured on, and how busy it was. It must not measure servers.

use std::fs;

use serde::Serialize;

use crate::cpus::Cpus;

/// What figures depend on beside the servers.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    processor: String,
    kernel: String,
    cpus: Cpus,
    /// How many each process may have.
    descriptors: u64,
    /// Of one, five and fifteen minutes.
    load_average_before: String,
    load_average_after: String,
}

impl Machine {
    /// Before the first round.
    pub(crate) fn look(cpus: Cpus, descriptors: u64) -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = info
            .lines()
            .find(|line| line.starts_with("model name"))
            .and_then(|line| line.split_once(": "))
            .map_or("an unknown processor", |(_, name)| name);
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            processor: processor.to_owned(),
            kernel: kernel.trim().to_owned(),
            cpus,
            descriptors,
            load_average_before: load_average(),
            load_average_after: String::new(),
        }
    }

    /// After the last round.
    pub(crate) fn look_again(&mut self) {
        self.load_average_after = load_average();
    }

    /// In a line.
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

fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let numbers: Vec<_> = text.split(' ').take(3).collect();
    numbers.join(" ")
}
