//! A measured server, as a separate process on its own CPU. It must not put load on it.

use std::net::SocketAddr;
use std::time::Duration;

use tests::process::Process;
use tests::{ports, workdir};

use crate::cpus::Cpus;
use crate::peers::Place;
use crate::setup::Pki;
use crate::subject::Subject;
use crate::{library, usage};

const START: Duration = Duration::from_secs(20);

/// A running server.
pub(crate) struct Server {
    process: Process,
    addr: SocketAddr,
}

impl Server {
    /// Starts it in front of `backend`, and waits until it accepts connections.
    pub(crate) fn start(subject: &Subject, pki: &Pki, backend: SocketAddr, cpus: Cpus) -> Self {
        let addr = ports::free_addr();
        let folder = workdir::scratch(&subject.name);
        let command = subject.command(&Place {
            folder: &folder,
            pki,
            addr,
            backend,
        });
        let process = Process::spawn(&subject.name, cpus.pin_server(&command));
        process.wait_for_port(addr, START);
        Self { process, addr }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn cpu(&self) -> Duration {
        usage::cpu(self.process.pid())
    }

    pub(crate) fn memory(&self) -> u64 {
        usage::memory(self.process.pid())
    }

    pub(crate) fn library(&self) -> String {
        library::of(self.process.pid())
    }
}

impl Drop for Server {
    /// Terminates it gracefully, so that a server with a worker process ends that too.
    fn drop(&mut self) {
        self.process.stop();
    }
}
