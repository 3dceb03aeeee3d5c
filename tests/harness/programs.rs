//! The programs under test, built on demand, because cargo builds a package's programs only for that package's tests.
//! It must not start them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::process::run;
use crate::workdir;

/// Upper bound for a full build on a busy machine.
const BUILD: Duration = Duration::from_secs(1800);

/// `mqtt-tls-terminator`.
pub fn terminator() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| built().join("mqtt-tls-terminator"))
}

/// `mqtt-tls-operator`, with its `demo`.
pub fn operator() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| built().join("mqtt-tls-operator"))
}

/// `node`, which starts a node and a command on it.
pub fn node() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| built().join("node"))
}

/// Builds the programs and returns cargo's output folder. Packages and features are those of `tests/run`, because with
/// others cargo would compile the libraries again.
fn built() -> &'static Path {
    static BUILT: OnceLock<&Path> = OnceLock::new();
    BUILT.get_or_init(|| {
        let folder = workdir::output();
        let profile = folder.file_name().expect("it is called after the profile");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args([
            "build",
            "--quiet",
            "--workspace",
            "--all-features",
            "--bins",
            "--profile",
        ]);
        cargo.arg(if profile == "debug" {
            "dev".as_ref()
        } else {
            profile
        });
        cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
        run(cargo, b"", BUILD).expect_success();
        folder
    })
}
