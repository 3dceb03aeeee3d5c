//! The README's shell commands, named by a comment above each. The journeys run them unchanged, so that the README
//! stays correct.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use crate::cluster::Cluster;

const README: &str = include_str!("../../README.md");

/// Names of the commands that a journey has run.
static TAKEN: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());

/// Returns the commands under `<!-- run: NAME -->` for a journey that runs them.
#[track_caller]
pub(crate) fn commands(name: &str) -> &'static str {
    let blocks = blocks();
    let (name, commands) = blocks
        .get_key_value(name)
        .unwrap_or_else(|| panic!("README.md has no commands under <!-- run: {name} -->"));
    TAKEN
        .lock()
        .expect("no holder of the lock panics")
        .insert(name);
    commands
}

/// Runs the commands under `<!-- run: NAME -->`.
#[track_caller]
pub(crate) fn run(cluster: &Cluster, name: &str) -> String {
    let finished = cluster.sh(commands(name));
    finished.stdout + &finished.stderr
}

/// Panics if a block of shell commands has no comment that says who runs it.
#[track_caller]
pub(crate) fn each_command_has_its_comment() {
    let all = README.matches("\n```sh\n").count();
    let elsewhere = README.matches("<!-- elsewhere: ").count();
    assert_eq!(
        all,
        blocks().len() + elsewhere,
        "each ```sh of README.md has its comment"
    );
}

/// Returns the names of commands that no journey has run.
pub(crate) fn left_out() -> Vec<&'static str> {
    let taken = TAKEN.lock().expect("no holder of the lock panics");
    let all = blocks().into_keys();
    all.filter(|name| !taken.contains(name)).collect()
}

/// Returns the blocks by name, each a fence of the language `sh` below its comment.
fn blocks() -> BTreeMap<&'static str, &'static str> {
    README
        .split("<!-- run: ")
        .skip(1)
        .map(|part| {
            let (name, rest) = part.split_once(" -->\n").expect("the comment is closed");
            let code = rest.strip_prefix("\n").unwrap_or(rest);
            let code = code
                .strip_prefix("```sh\n")
                .unwrap_or_else(|| panic!("no ```sh below the comment {name}"));
            (
                name,
                code.split_once("\n```").expect("the fence is closed").0,
            )
        })
        .collect()
}
