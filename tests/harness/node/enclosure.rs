//! Runs this very program again in network, mount and process namespaces of its own, and looks afterwards
//! whether the machine is as it was. It must not know what the program does in there.
//!
//! Whatever ends the program, Ctrl-C and SIGKILL included, the kernel ends everything that was started inside,
//! and with it interfaces, rules and mounts. Control groups are the one thing that namespaces do not hold here:
//! a reaper, which nobody's end takes along, removes them.

mod footprint;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use std::os::unix::process::CommandExt;

use footprint::Footprint;

/// Set inside; its value is the name of the control groups.
const INSIDE: &str = "SMART_MQTT_TLS_ENCLOSURE";

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

/// Runs this program with these arguments in an enclosure, to its end. Must be called by the main thread: the enclosure dies with its caller.
pub fn enter(arguments: &[OsString]) -> Ended {
    let before = Footprint::take();
    let group = format!("smart-mqtt-tls-{}", std::process::id());
    let mut reaper = start_reaper(&group);
    let exe = std::env::current_exe().expect("a running program has a path");
    let status = Command::new("setpriv")
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
        .env(INSIDE, &group)
        .status()
        .expect("setpriv and unshare are part of util-linux");
    drop(reaper.stdin.take());
    reaper.wait().expect("it is our child");
    Ended {
        code: status.code().and_then(|code| u8::try_from(code).ok()),
        left_behind: before.differences(&Footprint::take()),
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
