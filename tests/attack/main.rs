//! The terminator under attack: honest clients come to it while others take up places, from one address and from
//! two hundred, with each kind of attack. And its log, while every kind of bad connection is thrown at it.
//!
//! `cargo run --release -p tests --bin attack` takes a quarter of an hour: each kind for a minute, 1,000 new
//! connections a second. `-- --kinds half,go --from one --seconds 10 --rate 500` is a part of it, and
//! `-- log` throws each kind of bad connection 10,000 times. The program that is attacked is the one that cargo
//! builds, or `--terminator PATH`. It stands before a backend that answers any number of clients.
//!
//! For each attack it prints the honest clients that were served, of those who came (they never try again), how
//! long it took them from connect to CONNACK, without the pauses of those who are slow, and of the terminator:
//! CPU seconds, memory and descriptors before, at most during the attack, and five seconds after its end, lines of
//! log, and its own counters. The exit code is 1 if an honest client was not served, if memory, descriptors or CPU
//! did not come back, if anything was counted as what it is not, or if the log grew with what was thrown.
//!
//! It must not be a test: it wants a machine for itself.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "an attack that cannot be made ends the program, and its output is its result"
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

/// Attacks the terminator, with honest clients meanwhile, and sees who is served.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    siege: SiegeArguments,
    /// The terminator, if not the one that cargo builds.
    #[arg(long, global = true)]
    terminator: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Each kind of bad connection, and what is logged.
    Log {
        /// How often each is thrown.
        #[arg(long, default_value_t = 10_000)]
        each: u64,
    },
}

#[derive(Debug, clap::Args)]
struct SiegeArguments {
    /// How long each attack lasts.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Attackers a second.
    #[arg(long, default_value_t = 1000)]
    rate: u32,
    /// Honest clients a second.
    #[arg(long, default_value_t = 10)]
    honest: u32,
    /// Kinds of attack, with commas: silent, half, go, stay, trickle, idle.
    #[arg(long, value_delimiter = ',', default_value = "silent,half,go,stay,trickle,idle", value_parser = kind)]
    kinds: Vec<Kind>,
    /// Where attackers come from, with commas: one, many.
    #[arg(long, value_delimiter = ',', default_value = "one,many", value_parser = origin)]
    from: Vec<Origin>,
}

fn kind(word: &str) -> Result<Kind, String> {
    let mut all = Kind::ALL.into_iter();
    all.find(|kind| kind.name() == word)
        .ok_or_else(|| format!("{word} is no kind of attack"))
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
