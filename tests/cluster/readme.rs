//! The README's shell commands, by the name that a comment above each gives it. They are run as they stand, so
//! what it says is what works.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use crate::cluster::Cluster;

const README: &str = include_str!("../../README.md");

/// Names of those that a journey has taken.
static TAKEN: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());

/// The commands under `<!-- run: NAME -->`, for a journey that runs them.
#[track_caller]
pub(crate) fn commands(name: &str) -> &'static str {
    let blocks = blocks();
    let (name, commands) = blocks
        .get_key_value(name)
        .unwrap_or_else(|| panic!("README.md has no commands under <!-- run: {name} -->"));
    TAKEN.lock().expect("no one panics here").insert(name);
    commands
}

/// Runs the commands under `<!-- run: NAME -->`.
#[track_caller]
pub(crate) fn run(cluster: &Cluster, name: &str) -> String {
    let finished = cluster.sh(commands(name));
    finished.stdout + &finished.stderr
}

/// Panics if there are shell commands without a comment that says who runs them.
#[track_caller]
pub(crate) fn each_command_has_its_comment() {
    let told = README.matches("\n```sh\n").count();
    let elsewhere = README.matches("<!-- elsewhere: ").count();
    assert_eq!(
        told,
        blocks().len() + elsewhere,
        "each ```sh of README.md has its comment"
    );
}

/// Those that no journey has run, when all have ended.
pub(crate) fn left_out() -> Vec<&'static str> {
    let taken = TAKEN.lock().expect("no one panics here");
    let all = blocks().into_keys();
    all.filter(|name| !taken.contains(name)).collect()
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
