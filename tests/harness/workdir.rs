//! Where the harness writes: logs, which stay until the next run of the same test binary, and everything
//! else, which goes when the test process ends, in whatever way. Both lie in cargo's target folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use std::os::unix::process::CommandExt;

use crate::node::enclosure;

/// What the reaper runs: when its input ends, the test process is gone. Servers that the kernel is still
/// killing may yet write a file, so it tries again, for 30 seconds at most.
const REAP: &str = "trap '' INT TERM HUP; cat >/dev/null; for _ in $(seq 150); do \
                    rm -rf -- \"$1\" 2>/dev/null && exit 0; sleep 0.2; done";

/// A folder for one thing of this test process. It is removed with the process; nobody need hold it.
pub fn scratch(name: &str) -> PathBuf {
    let parent = &run().scratch;
    tempfile::Builder::new()
        .prefix(&format!("{name}-"))
        .tempdir_in(parent)
        .unwrap_or_else(|error| panic!("a folder in {}: {error}", parent.display()))
        .keep()
}

/// The folder of this test process' log files.
pub fn logs() -> &'static Path {
    &run().logs
}

/// Cargo's output folder of the profile that this program is built with, such as `target/debug`.
pub fn output() -> &'static Path {
    static OUTPUT: OnceLock<PathBuf> = OnceLock::new();
    OUTPUT.get_or_init(|| {
        let exe = exe();
        let folder = exe.parent().expect("a program lies in a folder");
        // A program lies there, a test one deeper.
        let of_tests = folder.ends_with("deps");
        let folder = folder.parent().filter(|_| of_tests).unwrap_or(folder);
        folder.to_owned()
    })
}

fn exe() -> PathBuf {
    std::env::current_exe().expect("Linux knows the path of a program")
}

struct Run {
    scratch: PathBuf,
    logs: PathBuf,
    /// Its standard input is a pipe from us, which the kernel closes when we end. In an enclosure it would end with
    /// us: there it is the one of the process that made the enclosure.
    _reaper: Option<Child>,
}

fn run() -> &'static Run {
    static RUN: OnceLock<Run> = OnceLock::new();
    RUN.get_or_init(|| {
        let exe = exe();
        let target = output()
            .parent()
            .expect("cargo's folder of a profile lies in its target folder");
        let stem = exe
            .file_stem()
            .expect("a program has a name")
            .to_string_lossy()
            .into_owned();
        let binary = stem
            .rsplit_once('-')
            .map_or(stem.as_str(), |(name, _)| name);
        let logs = target.join("test-logs").join(binary);
        // Inside, the ids of processes are the same in each run, and nothing is known of those outside. Its folders lie
        // in those of the process that made it.
        let made_by = enclosure::made_by();
        let is_outside = made_by.is_none();
        let (id, within) = made_by.unwrap_or_else(|| (std::process::id(), String::new()));
        if is_outside {
            remove_logs_of_ended_runs(&logs);
        }
        let logs = logs.join(id.to_string()).join(&within);
        let scratch = target.join("test-runs").join(format!("{binary}-{id}"));
        let scratch = scratch.join(&within);
        for folder in [&logs, &scratch] {
            fs::create_dir_all(folder)
                .unwrap_or_else(|error| panic!("cannot create {}: {error}", folder.display()));
        }
        Run {
            _reaper: is_outside.then(|| start_reaper(&scratch)),
            scratch,
            logs,
        }
    })
}

fn remove_logs_of_ended_runs(logs: &Path) {
    for entry in fs::read_dir(logs).into_iter().flatten().flatten() {
        let pid = entry.file_name();
        if !Path::new("/proc").join(&pid).exists() {
            // Another test process may be at the same work; the folder being gone is what counts.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn start_reaper(scratch: &Path) -> Child {
    Command::new("sh")
        .args(["-c", REAP, "reaper"])
        .arg(scratch)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Of its own group: Ctrl-C at the terminal ends the tests, and not what cleans up after them.
        .process_group(0)
        .spawn()
        .expect("every system has sh")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::eventually;
    use std::time::Duration;

    #[test]
    fn two_folders_of_one_name_differ() {
        let (one, other) = (scratch("thing"), scratch("thing"));
        assert_ne!(one, other);
        assert!(one.is_dir() && other.is_dir());
    }

    #[test]
    fn the_reaper_removes_when_its_input_ends() {
        let folder = scratch("reaped");
        fs::write(folder.join("file"), "x").expect("it is ours");
        let mut reaper = start_reaper(&folder);
        assert!(folder.exists());
        drop(reaper.stdin.take());
        eventually(Duration::from_secs(10), "the folder is gone", || {
            (!folder.exists()).then_some(())
        });
        reaper.wait().expect("it is our child");
    }
}
