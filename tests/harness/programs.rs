//! The programs under test. Cargo builds the programs of a package only for that package's own tests; here
//! they are built on demand. It must not start them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::process::run;

/// For a build from nothing, on a busy machine.
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

/// Cargo's output folder, once the programs in it are up to date. The crates and features are those of
/// `tests/run`: with others, cargo would compile the libraries anew.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let this = std::env::current_exe().expect("Linux knows the path of a program");
        // A program lies in target/PROFILE, a test in target/PROFILE/deps.
        let up = if this.parent().is_some_and(|folder| folder.ends_with("deps")) {
            2
        } else {
            1
        };
        let folder = this
            .ancestors()
            .nth(up)
            .expect("a program lies in a folder");
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
        folder.to_owned()
    })
}
