//! The folders of the harness, below cargo's target folder: logs, which stay until the next run of the same test
//! binary, and scratch folders, which are removed when the test process ends, however it ends.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;

use crate::inside;

/// The reaper's script: its input ends with the test process. Servers that are being killed may still write a file, so
/// it retries for at most 30 seconds.
const REAP: &str = "trap '' INT TERM HUP; cat >/dev/null; for _ in $(seq 150); do \
                    rm -rf -- \"$1\" 2>/dev/null && exit 0; sleep 0.2; done";

/// Creates a folder that is removed when the test process ends.
pub fn scratch(name: &str) -> PathBuf {
    let parent = &run().scratch;
    tempfile::Builder::new()
        .prefix(&format!("{name}-"))
        .tempdir_in(parent)
        .unwrap_or_else(|error| {
            panic!("failed to create a folder in {}: {error}", parent.display())
        })
        .keep()
}

/// The folder of this test process's log files.
pub fn logs() -> &'static Path {
    &run().logs
}

/// Cargo's output folder for this program's profile, such as `target/debug`.
pub fn output() -> &'static Path {
    static OUTPUT: OnceLock<PathBuf> = OnceLock::new();
    OUTPUT.get_or_init(|| {
        let exe = exe();
        let folder = exe.parent().expect("a program is in a folder");
        // A program is in that folder, a test in `deps`.
        let of_tests = folder.ends_with("deps");
        let folder = folder.parent().filter(|_| of_tests).unwrap_or(folder);
        folder.to_owned()
    })
}

/// The path of this program, also if cargo has replaced its file meanwhile.
fn exe() -> PathBuf {
    let exe = std::env::current_exe().expect("Linux knows the path of a program");
    let bytes = exe.as_os_str().as_bytes();
    match bytes.strip_suffix(b" (deleted)") {
        Some(path) if !exe.exists() => PathBuf::from(OsStr::from_bytes(path)),
        _ => exe,
    }
}

struct Run {
    scratch: PathBuf,
    logs: PathBuf,
    /// Its standard input is a pipe that the kernel closes when this process ends. In an enclosure it would be killed,
    /// too: there the process that created the enclosure has it.
    _reaper: Option<Child>,
}

fn run() -> &'static Run {
    static RUN: OnceLock<Run> = OnceLock::new();
    RUN.get_or_init(|| {
        let exe = exe();
        let target = output()
            .parent()
            .expect("a profile's folder is in cargo's target folder");
        let stem = exe
            .file_stem()
            .expect("a program has a name")
            .to_string_lossy()
            .into_owned();
        let binary = stem
            .rsplit_once('-')
            .map_or(stem.as_str(), |(name, _)| name);
        let logs = target.join("test-logs").join(binary);
        // In an enclosure, process ids are the same in each run, and those outside are not visible. So its folders are
        // in those of the process that created it.
        let made_by = inside::made_by();
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
                .unwrap_or_else(|error| panic!("failed to create {}: {error}", folder.display()));
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
            // Another test process may remove it at the same time.
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
        // A separate process group, so that Ctrl-C does not end the reaper.
        .process_group(0)
        .spawn()
        .expect("every system has sh")
}

/// Replaces a file by a rename, so that a reader finds all of the old content or all of the new one.
#[track_caller]
pub fn replace(file: &Path, text: &str) {
    replace_bytes(file, text.as_bytes());
}

/// Like [`replace`], with content that is no text.
#[track_caller]
pub fn replace_bytes(file: &Path, content: &[u8]) {
    let new = file.with_extension("new");
    fs::write(&new, content).expect("the folder is writable");
    fs::rename(&new, file).expect("the folder is writable");
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
        fs::write(folder.join("file"), "x").expect("the folder is writable");
        let mut reaper = start_reaper(&folder);
        assert!(folder.exists());
        drop(reaper.stdin.take());
        eventually(Duration::from_secs(10), "the folder is gone", || {
            (!folder.exists()).then_some(())
        });
        reaper.wait().expect("it is our child");
    }
}
