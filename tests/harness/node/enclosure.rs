//! Runs this very program again in network, mount and process namespaces of its own, and looks afterwards
//! whether the machine is as it was. It must not know what the program does in there.
//!
//! Whatever ends the program, Ctrl-C and SIGKILL included, the kernel ends everything that was started inside,
//! and with it interfaces, rules and mounts. Control groups are the one thing that namespaces do not hold here:
//! a reaper, which nobody's end takes along, removes them.

mod footprint;

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use std::os::unix::process::CommandExt;

use footprint::Footprint;

use crate::workdir;

/// Set inside; its value is the name of the control groups.
const INSIDE: &str = "SMART_MQTT_TLS_ENCLOSURE";
/// Control groups are called so, and then after the process that made the enclosure, and what it calls it.
const GROUP: &str = "smart-mqtt-tls-";

/// When its input ends, the enclosure is gone or about to be: control groups can be removed once their last
/// process is.
const REAP: &str = "trap '' INT TERM HUP; cat >/dev/null; for _ in $(seq 300); do \
    left=$(find /sys/fs/cgroup -depth -type d -path \"*/$1/*\" -o -depth -type d -path \"*/$1\" 2>/dev/null); \
    [ -n \"$left\" ] || exit 0; echo \"$left\" | xargs -r rmdir 2>/dev/null; sleep 0.1; done";

/// Whether this process runs in an enclosure.
pub fn inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// The control group, below each hierarchy's root, for whatever runs inside.
pub(super) fn control_group() -> String {
    std::env::var(INSIDE).expect("this is inside")
}

/// Inside: the id, as the machine counts, of the process that has made this enclosure, and what it calls it. In here
/// ids begin anew.
pub fn made_by() -> Option<(u32, String)> {
    let group = std::env::var(INSIDE).ok()?;
    let (id, name) = group.strip_prefix(GROUP)?.split_once('-')?;
    Some((id.parse().ok()?, name.to_owned()))
}

/// Runs this program with these arguments in an enclosure, to its end; what it prints goes to `output`, if one is
/// given. A process may have several at once, of different names. One dies with the thread that has entered it.
pub fn enter(name: &str, arguments: &[OsString], output: Option<File>) -> Ended {
    // What is written inside to the folders of this run is cleaned up out here, for no cleaner outlives the inside.
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
        // The first process of the namespace: it collects the orphans of the others.
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
    /// The program's exit code; none if a signal ended it.
    pub code: Option<u8>,
    /// What is not as it was on this machine, a line each.
    pub left_behind: Vec<String>,
}

impl Ended {
    /// Says what is left behind, if anything is, which makes any outcome a failure; else the program's own code.
    #[expect(
        clippy::print_stderr,
        reason = "it is for programs that do nothing else"
    )]
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
        // Of its own group: Ctrl-C ends the tests, and not what cleans up after them.
        .process_group(0)
        .spawn()
        .expect("every system has sh")
}

/// Makes the control group in each hierarchy, and returns whether there are any.
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
