//! The measured servers: builds of the terminator, and the peers available on this machine. It must not measure.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use ::tests::process::run;
use ::tests::{assets, programs, workdir};

use crate::arguments::{Arguments, Build, FeaturesArguments, Peer};
use crate::measure::Measure;
use crate::peers::{self, Place};
use crate::report::Row;
use crate::setup::Setup;

/// Command that prints a program's version.
const ANSWER: Duration = Duration::from_secs(20);

/// A server that can be started.
pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) version: String,
    kind: Kind,
}

enum Kind {
    Terminator(PathBuf, Setup),
    Peer(Peer),
}

impl Subject {
    fn terminator(name: &str, path: PathBuf, setup: Setup) -> Self {
        let mut command = Command::new(&path);
        command.arg("--version");
        Self {
            name: name.to_owned(),
            version: version(command),
            kind: Kind::Terminator(path, setup),
        }
    }

    fn peer(peer: Peer) -> Self {
        let ask = |mut command: Command, option: &str| {
            command.arg(option);
            version(command)
        };
        let version = match peer {
            Peer::Relay => "tokio's copy_bidirectional".to_owned(),
            Peer::Nginx => ask(assets::installed("nginx"), "-v"),
            Peer::Haproxy => ask(assets::installed("haproxy"), "-v"),
            Peer::Hitch => ask(assets::installed("hitch"), "--version"),
            Peer::Envoy => ask(Command::new(assets::envoy()), "--version"),
        };
        Self {
            name: name(peer).to_owned(),
            version,
            kind: Kind::Peer(peer),
        }
    }

    /// Reports whether it is without TLS.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self.kind, Kind::Peer(Peer::Relay))
    }

    /// Returns what its terminator is set up with; a peer is bare.
    pub(crate) fn setup(&self) -> Setup {
        match self.kind {
            Kind::Terminator(_, setup) => setup,
            Kind::Peer(_) => Setup::Bare,
        }
    }

    /// Returns why a measure of it cannot be taken.
    pub(crate) fn unable(&self, measure: Measure) -> Option<&'static str> {
        match measure {
            Measure::Resumed if self.is_plain() => Some("no TLS"),
            Measure::Resumed if self.setup().needs_certificates() => {
                Some("no resumption with clients' certificates")
            }
            _ => None,
        }
    }

    /// Returns the command that starts it.
    pub(crate) fn command(&self, place: &Place<'_>) -> Command {
        match &self.kind {
            Kind::Terminator(path, setup) => peers::terminator(path, *setup, place),
            Kind::Peer(Peer::Relay) => peers::relay(place),
            Kind::Peer(Peer::Nginx) => peers::nginx(place),
            Kind::Peer(Peer::Haproxy) => peers::haproxy(place),
            Kind::Peer(Peer::Hitch) => peers::hitch(place),
            Kind::Peer(Peer::Envoy) => peers::envoy(place),
        }
    }
}

/// Builds and installs the servers of the arguments; returns those, and rows for the unavailable ones.
pub(crate) fn prepare(arguments: &Arguments) -> (Vec<Subject>, Vec<Row>) {
    let missing = install(&arguments.peers);
    let mut subjects: Vec<_> = builds(&arguments.runs.terminators)
        .into_iter()
        .map(|build| Subject::terminator(&build.name, build.path, Setup::Bare))
        .collect();
    let mut rows = Vec::new();
    for &peer in &arguments.peers {
        match missing.iter().find(|(part, _)| part == name(peer)) {
            None => subjects.push(Subject::peer(peer)),
            Some((part, why)) => rows.push(Row::missing(part, why)),
        }
    }
    (subjects, rows)
}

/// Builds the terminators of the arguments, and returns them with each set-up.
pub(crate) fn with_features(arguments: &FeaturesArguments) -> Vec<Subject> {
    let builds = builds(&arguments.runs.terminators);
    let subjects = builds.iter().flat_map(|build| {
        arguments.setups.iter().map(|&setup| {
            let name = match builds.len() {
                1 => setup.name(),
                _ => format!("{}-{}", build.name, setup.name()),
            };
            Subject::terminator(&name, build.path.clone(), setup)
        })
    });
    subjects.collect()
}

/// Returns these builds, or that of cargo.
fn builds(given: &[Build]) -> Vec<Build> {
    if given.is_empty() {
        return vec![Build {
            name: "terminator".to_owned(),
            path: programs::terminator().to_owned(),
        }];
    }
    given.to_vec()
}

/// Returns its name in the table, the arguments and `tests/setup`.
fn name(peer: Peer) -> &'static str {
    match peer {
        Peer::Relay => "relay",
        Peer::Nginx => "nginx",
        Peer::Haproxy => "haproxy",
        Peer::Hitch => "hitch",
        Peer::Envoy => "envoy",
    }
}

/// Installs the peers with `tests/setup`; returns the unavailable ones, and why.
fn install(peers: &[Peer]) -> Vec<(String, String)> {
    let parts: Vec<_> = peers
        .iter()
        .filter(|&&peer| peer != Peer::Relay)
        .map(|&peer| name(peer))
        .collect();
    if parts.is_empty() {
        return Vec::new();
    }
    let file = workdir::scratch("setup").join("missing");
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("setup"));
    command.arg("--missing").arg(&file).args(parts);
    // Its output goes to standard error, since standard output is the table.
    command.stdout(Stdio::from(std::io::stderr()));
    let status = command.status().expect("the checkout has tests/setup");
    assert!(status.success(), "tests/setup failed: {status}");
    let missing = std::fs::read_to_string(file).expect("it has written the file");
    let lines = missing.lines().filter_map(|line| line.split_once('\t'));
    lines
        .map(|(part, why)| (part.to_owned(), why.to_owned()))
        .collect()
}

/// Returns the first version in a program's output.
fn version(command: Command) -> String {
    let said = run(command, b"", ANSWER).expect_success();
    let text = said.stdout + &said.stderr;
    first_version(&text).unwrap_or("unknown").to_owned()
}

/// Returns the first sequence of digits and dots with two dots.
fn first_version(text: &str) -> Option<&str> {
    text.split(|character: char| !character.is_ascii_digit() && character != '.')
        .map(|piece| piece.trim_matches('.'))
        .find(|piece| piece.matches('.').count() == 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Runs;

    #[test]
    fn each_build_is_measured_with_each_set_up() {
        let arguments = |builds: &[&str]| FeaturesArguments {
            setups: vec![Setup::Bare, Setup::All],
            measures: vec![Measure::Resumed],
            runs: Runs {
                rounds: 1,
                storm: 1,
                terminators: builds
                    .iter()
                    .map(|name| Build {
                        name: (*name).to_owned(),
                        path: PathBuf::from("/usr/bin/env"),
                    })
                    .collect(),
                json: None,
            },
        };
        let names = |builds: &[&str]| -> Vec<String> {
            let subjects = with_features(&arguments(builds));
            subjects.into_iter().map(|subject| subject.name).collect()
        };
        assert_eq!(names(&["new"]), ["bare", "all"]);
        let both = ["old-bare", "old-all", "new-bare", "new-all"];
        assert_eq!(names(&["old", "new"]), both);
        let subjects = with_features(&arguments(&["new"]));
        let unable = |subject: &Subject| subject.unable(Measure::Resumed).is_some();
        assert_eq!(
            subjects.iter().map(unable).collect::<Vec<_>>(),
            [false, true]
        );
    }

    #[test]
    fn versions_are_found_in_the_output_of_programs() {
        for (text, version) in [
            ("nginx version: nginx/1.22.1\n", "1.22.1"),
            (
                "HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/\n",
                "2.6.12",
            ),
            ("hitch 1.7.2\n", "1.7.2"),
            (
                "\nenvoy  version: 5a6d15f/1.40.0/Clean/RELEASE/BoringSSL\n",
                "1.40.0",
            ),
            ("mqtt-tls-terminator 0.1.0\n", "0.1.0"),
        ] {
            assert_eq!(first_version(text), Some(version), "{text}");
        }
        assert_eq!(first_version("no version. 1.2 is none"), None);
    }
}
