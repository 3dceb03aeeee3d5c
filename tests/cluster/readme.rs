//! The README's shell commands, by the name that a comment above each gives it. They are run as they stand, so
//! what it says is what works.

use std::collections::BTreeMap;

use crate::cluster::Cluster;

const README: &str = include_str!("../../README.md");

/// The commands under `<!-- run: NAME -->`.
#[track_caller]
pub(crate) fn commands(name: &str) -> &'static str {
    blocks()
        .get(name)
        .unwrap_or_else(|| panic!("README.md has no commands under <!-- run: {name} -->"))
}

/// Runs the commands under `<!-- run: NAME -->`.
#[track_caller]
pub(crate) fn run(cluster: &Cluster, name: &str) -> String {
    let finished = cluster.sh(commands(name));
    finished.stdout + &finished.stderr
}

/// Panics if there are shell commands that no journey runs, unless a comment above says who does.
#[track_caller]
pub(crate) fn all_commands_are_run(journeys: &[&str]) {
    let told = README.matches("\n```sh\n").count();
    let elsewhere = README.matches("<!-- elsewhere: ").count();
    let blocks = blocks();
    assert_eq!(
        told,
        blocks.len() + elsewhere,
        "each ```sh of README.md has its comment"
    );
    for name in blocks.keys() {
        assert!(
            journeys.contains(name),
            "no journey runs README.md's {name}"
        );
    }
}

/// The blocks, each a fence of the language `sh` below its comment.
fn blocks() -> BTreeMap<&'static str, &'static str> {
    README
        .split("<!-- run: ")
        .skip(1)
        .map(|part| {
            let (name, rest) = part.split_once(" -->\n").expect("the comment is closed");
            let code = rest.strip_prefix("\n").unwrap_or(rest);
            let code = code
                .strip_prefix("```sh\n")
                .unwrap_or_else(|| panic!("{name} stands above ```sh"));
            (
                name,
                code.split_once("\n```").expect("the fence is closed").0,
            )
        })
        .collect()
}
