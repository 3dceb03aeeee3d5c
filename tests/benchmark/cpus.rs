//! CPUs of the server and of the load. It must not measure them.

use std::process::Command;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::Serialize;

/// One CPU for each.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Cpus {
    pub(crate) server: usize,
    pub(crate) load: usize,
}

impl Cpus {
    /// Chooses the first two that this process may use.
    pub(crate) fn choose() -> Self {
        let set = sched_getaffinity(None).expect("Linux knows it of every thread");
        let mut usable = (0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu));
        match (usable.next(), usable.next()) {
            (Some(server), Some(load)) => Self { server, load },
            _ => panic!("one CPU is not enough: the server needs one, and its clients another"),
        }
    }

    /// Pins this thread, and all that it starts, to the load's CPU.
    pub(crate) fn use_for_load(self) {
        let mut set = CpuSet::new();
        set.set(self.load);
        sched_setaffinity(None, &set).expect("it is one of those that may be used");
    }

    /// Pins a command to the server's CPU.
    pub(crate) fn pin_server(self, command: &Command) -> Command {
        let mut pinned = Command::new("taskset");
        pinned.args(["--cpu-list", &self.server.to_string()]);
        pinned.arg(command.get_program()).args(command.get_args());
        pinned
    }
}
