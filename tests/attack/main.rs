//! The terminator under attack: honest clients connect while attackers take places, from one address and from two
//! hundred, with each kind of attack. Also its log under every kind of bad connection.
//!
//! `cargo run --release -p tests --bin attack` takes a quarter of an hour: each kind for a minute, 1,000 new
//! connections a second. `-- --kinds half,go --from one --seconds 10 --rate 500` runs a part of it, and
//! `-- log` makes 10,000 bad connections of each kind. It attacks the program that cargo builds, or
//! `--terminator PATH`, in front of a backend that answers any number of clients.
//!
//! For each attack it prints how many honest clients were served (they never retry), their time from connect to
//! CONNACK, without the pauses of slow ones, and for the terminator: CPU seconds, memory and descriptors before, at
//! most during, and five seconds after the attack, log lines, and its counters. The exit code is 1 if an honest
//! client was not served, if memory, descriptors or CPU did not recover, if anything was counted wrongly, or if the
//! log grew with the number of connections.
//!
//! It must not be a test: it needs a machine of its own.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "an attack that fails to start ends the program, and its output is its result"
)]

mod log;
mod server;
mod siege;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use tests::attack::{Kind, Origin, raise_descriptors};

use crate::server::Server;
use crate::siege::Siege;

/// Attack the terminator while honest clients connect, and measure which of them are served.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    siege: SiegeArguments,
    /// Terminator to attack instead of the one that cargo builds.
    #[arg(long, global = true)]
    terminator: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make bad connections of each kind, and check what is logged.
    Log {
        /// Number of connections of each kind.
        #[arg(long, default_value_t = 10_000)]
        each: u64,
    },
}

#[derive(Debug, clap::Args)]
struct SiegeArguments {
    /// Duration of each attack, in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Attackers per second.
    #[arg(long, default_value_t = 1000)]
    rate: u32,
    /// Honest clients per second.
    #[arg(long, default_value_t = 10)]
    honest: u32,
    /// Kinds of attack, separated by commas: silent, half, go, stay, trickle, idle.
    #[arg(long, value_delimiter = ',', default_value = "silent,half,go,stay,trickle,idle", value_parser = kind)]
    kinds: Vec<Kind>,
    /// Origins of attackers, separated by commas: one, many.
    #[arg(long, value_delimiter = ',', default_value = "one,many", value_parser = origin)]
    from: Vec<Origin>,
}

fn kind(word: &str) -> Result<Kind, String> {
    let mut all = Kind::ALL.into_iter();
    all.find(|kind| kind.name() == word)
        .ok_or_else(|| format!("{word} is not a kind of attack"))
}

fn origin(word: &str) -> Result<Origin, String> {
    match word {
        "one" => Ok(Origin::One),
        "many" => Ok(Origin::Many(200)),
        _ => Err(format!("{word} is neither one nor many")),
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    raise_descriptors();
    let server = Server::start(arguments.terminator);
    let faults = match arguments.command {
        None => sieges(&server, &arguments.siege),
        Some(Command::Log { each }) => log::measure(&server, each),
    };
    for fault in &faults {
        println!("FAULT: {fault}");
    }
    if faults.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn sieges(server: &Server, arguments: &SiegeArguments) -> Vec<String> {
    let mut faults = Vec::new();
    for &kind in &arguments.kinds {
        for &from in &arguments.from {
            let siege = Siege {
                kind,
                from,
                rate: arguments.rate,
                honest: arguments.honest,
                lasts: Duration::from_secs(arguments.seconds),
            };
            faults.extend(siege.lay(server));
        }
    }
    faults
}
