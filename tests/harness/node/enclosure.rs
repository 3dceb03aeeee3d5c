//! Runs the current program again in separate network, mount and process namespaces, and checks afterwards that the
//! machine is unchanged. It must not know what the program does inside.
//!
//! However the program ends, Ctrl-C and SIGKILL included, the kernel ends all processes inside, and with them
//! interfaces, rules and mounts. Only control groups are outside of namespaces here: a reaper, which survives the
//! program, removes them.

mod footprint;

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use std::os::unix::process::CommandExt;

use footprint::Footprint;

pub use crate::inside::{inside, made_by};

use crate::inside::{GROUP, INSIDE};
use crate::workdir;

/// The reaper's script. When its input ends, the enclosure ends, too: control groups can be removed after their last
/// process.
const REAP: &str = "trap '' INT TERM HUP; cat >/dev/null; for _ in $(seq 300); do \
    left=$(find /sys/fs/cgroup -depth -type d -path \"*/$1/*\" -o -depth -type d -path \"*/$1\" 2>/dev/null); \
    [ -n \"$left\" ] || exit 0; echo \"$left\" | xargs -r rmdir 2>/dev/null; sleep 0.1; done";

/// The name of the enclosure's control group below each hierarchy's root.
pub(super) fn control_group() -> String {
    std::env::var(INSIDE).expect("this is inside")
}

/// Runs this program with these arguments in an enclosure to its end, with its output in `output`, if given. A process
/// may have several enclosures of different names at once. An enclosure ends with the thread that entered it.
pub fn enter(name: &str, arguments: &[OsString], output: Option<File>) -> Ended {
    // Files that are written inside must be cleaned up from outside, because no cleaner survives the enclosure.
    workdir::logs();
    let group = format!("{GROUP}{}-{name}", std::process::id());
    let before = Footprint::take(&group);
    let mut reaper = start_reaper(&group);
    let exe = std::env::current_exe().expect("a running program has a path");
    let mut command = Command::new("setpriv");
    command
        .args([
            "--pdeathsig",
            "KILL",
            "--",
            "unshare",
            "--net",
            "--mount",
            "--pid",
        ])
        .args(["--fork", "--mount-proc", "--kill-child=KILL", "--"])
        // The first process of the namespace reaps orphans.
        .args(["sh", "-c", "\"$0\" \"$@\"; exit $?"])
        .arg(exe)
        .args(arguments)
        .env(INSIDE, &group);
    if let Some(output) = output {
        let copy = output.try_clone().expect("a file can be opened twice");
        command.stdin(Stdio::null()).stdout(output).stderr(copy);
    }
    let status = command
        .status()
        .expect("setpriv and unshare are part of util-linux");
    drop(reaper.stdin.take());
    reaper.wait().expect("it is our child");
    Ended {
        code: status.code().and_then(|code| u8::try_from(code).ok()),
        left_behind: before.differences(&Footprint::take(&group)),
    }
}

/// How an enclosure ended.
#[derive(Debug)]
pub struct Ended {
    /// The program's exit code; None if a signal ended it.
    pub code: Option<u8>,
    /// Changes left on this machine, one line each.
    pub left_behind: Vec<String>,
}

impl Ended {
    /// Prints what is left behind, which is a failure; otherwise returns the program's exit code.
    #[expect(clippy::print_stderr, reason = "it is the output of a program")]
    pub fn report(&self) -> ExitCode {
        for line in &self.left_behind {
            eprintln!("left behind on this machine: {line}");
        }
        match self.code {
            _ if !self.left_behind.is_empty() => ExitCode::FAILURE,
            Some(code) => ExitCode::from(code),
            None => {
                eprintln!("a signal ended the node and what ran on it");
                ExitCode::FAILURE
            }
        }
    }
}

fn start_reaper(group: &str) -> Child {
    Command::new("sh")
        .args(["-c", REAP, "reaper", group])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // A separate process group, so that Ctrl-C does not end the reaper.
        .process_group(0)
        .spawn()
        .expect("every system has sh")
}

/// Creates the control group in each hierarchy, and returns the paths.
pub(super) fn make_control_groups() -> Vec<PathBuf> {
    let group = control_group();
    let root = Path::new("/sys/fs/cgroup");
    let unified = root.join("cgroup.controllers").exists();
    let hierarchies: Vec<PathBuf> = if unified {
        vec![root.to_owned()]
    } else {
        let entries = std::fs::read_dir(root).expect("control groups are mounted");
        entries
            .flatten()
            .map(|entry| entry.path())
            // Not the links, such as cpu -> cpu,cpuacct.
            .filter(|path| path.is_dir() && !path.is_symlink())
            .collect()
    };
    hierarchies
        .into_iter()
        .map(|hierarchy| hierarchy.join(&group))
        .filter(|path| std::fs::create_dir_all(path).is_ok())
        .collect()
}
