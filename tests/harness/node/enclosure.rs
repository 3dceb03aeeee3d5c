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

/// Opens the program's file, and executes the rest, which ends in [`INNER`]. Cargo may replace the file at any time: then its path
/// leads to another program or to none, and only the kernel's link still leads to the file. Inside, process ids are others, so the
/// link must be opened before.
const OUTER: &str = "exec 9<\"$0\"; exec \"$@\"";
/// Runs the program that [`OUTER`] opened. As the first process of the namespace, this shell reaps orphans. It keeps the file open:
/// the program is started by way of it.
const INNER: &str = "(exec \"/proc/$$/fd/9\" \"$@\" 9<&-); exit $?";

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
    let namespaces = [
        "unshare",
        "--net",
        "--mount",
        "--pid",
        "--fork",
        "--mount-proc",
    ];
    let mut command = again(&[&namespaces[..], &["--kill-child=KILL", "--"]].concat());
    command.args(arguments).env(INSIDE, &group);
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

/// This program, to be run by another one, with the arguments that are added.
fn again(by: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--", "sh", "-c", OUTER])
        .arg(format!("/proc/{}/exe", std::process::id()))
        .args(by)
        .args(["sh", "-c", INNER, "inside"]);
    command
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::process::run;

    const LONG: Duration = Duration::from_secs(20);
    const GONE: &str = "node::enclosure::tests::run_again_without_a_file";

    fn only(test: &str) -> [&str; 4] {
        ["--ignored", "--exact", test, "--nocapture"]
    }

    /// Cargo replaces a program while it runs: other tests are compiled beside the journeys.
    #[test]
    fn a_program_whose_file_is_gone_is_run_again() {
        let copy = workdir::scratch("gone").join("program");
        let own = std::env::current_exe().expect("a test has a path");
        std::fs::copy(own, &copy).expect("the folder is writable");
        let mut command = Command::new(&copy);
        command.args(only(GONE));
        let printed = run(command, b"", LONG).expect_success().stdout;
        assert!(!copy.exists(), "the program has removed its file");
        let folder = copy.parent().expect("it is in a folder").display();
        assert!(
            printed.contains(&format!("again in {folder}\n")),
            "{printed}"
        );
    }

    #[test]
    #[ignore = "is run by a_program_whose_file_is_gone_is_run_again, and removes its file"]
    fn run_again_without_a_file() {
        const AGAIN: &str = "AGAIN";
        if std::env::var_os(AGAIN).is_some() {
            println!("again in {}", workdir::output().display());
            return;
        }
        let own = std::env::current_exe().expect("a test has a path");
        std::fs::remove_file(own).expect("the folder is writable");
        let mut command = again(&["env", &format!("{AGAIN}=1")]);
        let status = command.args(only(GONE)).status();
        assert!(status.expect("sh and setpriv are there").success());
    }
}
