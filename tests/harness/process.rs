//! Programs that a test starts: their output is kept, waits have deadlines, and they never outlive the test process,
//! even if it is killed. It must know no particular program.
//!
//! A process is always ended by its id, which cannot have been reused, because only the guard reaps it.

mod log;
mod spawner;

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::process::log::Log;
use crate::wait::{eventually, pause_after};

/// How long a server may take to shut down after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// A running program. Dropping it kills it and waits until it is gone.
#[derive(Debug)]
pub struct Process {
    name: String,
    pid: Pid,
    child: Mutex<Child>,
    log: Log,
}

impl Process {
    /// Starts `command`; `name` is used for the log file and messages. Its standard input is empty.
    ///
    /// The command's environment and current folder are kept, except `env_clear`, which cannot be read back from a
    /// [`Command`]: remove variables by name instead.
    #[track_caller]
    pub fn spawn(name: &str, mut command: Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = spawner::spawn(&command)
            .unwrap_or_else(|error| panic!("failed to start {name} ({command:?}): {error}"));
        let raw = i32::try_from(child.id()).expect("Linux keeps process ids below 2^22");
        Self {
            name: name.to_owned(),
            pid: Pid::from_raw(raw).expect("a process id is positive"),
            log: Log::follow(name, child.stdout.take(), child.stderr.take()),
            child: Mutex::new(child),
        }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// The exit status; None while it runs.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.child().try_wait().expect("it is our child")
    }

    /// Reports whether it has not ended.
    pub fn is_running(&self) -> bool {
        self.exit_status().is_none()
    }

    /// Sends a signal; does nothing if the process has ended.
    pub fn signal(&self, signal: Signal) {
        let mut child = self.child();
        if child.try_wait().expect("it is our child").is_none() {
            kill_process(self.pid, signal).expect("our own child may be signalled");
        }
    }

    /// Sends SIGKILL, and waits until the process is gone.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
        self.child().wait().expect("it is our child");
    }

    /// Sends SIGTERM, and SIGKILL after five seconds. For servers whose shutdown is not under test; otherwise use
    /// [`Process::signal`] and [`Process::wait_exit`].
    pub fn stop(&self) {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + GRACE;
        while self.is_running() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.kill();
    }

    /// Waits until it has ended. Panics with the log after `within`.
    #[track_caller]
    pub fn wait_exit(&self, within: Duration) -> ExitStatus {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.exit_status() {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "timed out after {within:?} waiting for {} to exit\n{}",
                self.name,
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until a line of its output, also an earlier one, contains `text`, and returns the line. Panics with the log
    /// when the process ends first, or after `within`.
    #[track_caller]
    pub fn wait_for_line(&self, text: &str, within: Duration) -> String {
        self.wait_for_line_after(0, text, within)
    }

    /// Like [`Process::wait_for_line`], for lines after the first `mark` ([`Process::mark`]).
    #[track_caller]
    pub fn wait_for_line_after(&self, mark: usize, text: &str, within: Duration) -> String {
        self.wait_until(&format!("it prints {text:?}"), within, || {
            self.log.find(mark, |line| line.contains(text))
        })
    }

    /// Number of lines printed so far.
    pub fn mark(&self) -> usize {
        self.log.count()
    }

    /// Waits until `addr` accepts TCP connections.
    #[track_caller]
    pub fn wait_for_port(&self, addr: SocketAddr, within: Duration) {
        self.wait_until(&format!("it accepts connections at {addr}"), within, || {
            TcpStream::connect_timeout(&addr, Duration::from_secs(1)).ok()
        });
    }

    /// Calls `look` until it returns a value. Panics with the log when the process ends first, or after `within`.
    #[track_caller]
    pub fn wait_until<T>(
        &self,
        what: &str,
        within: Duration,
        mut look: impl FnMut() -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + within;
        loop {
            // Checked before `look`, so that output before the end is still seen.
            let ended = self.exit_status();
            if ended.is_some() {
                self.log.drain();
            }
            let before = Instant::now();
            if let Some(found) = look() {
                return found;
            }
            let looked = before.elapsed();
            if let Some(status) = ended {
                panic!(
                    "{} ended ({status}) before this: {what}\n{}",
                    self.name,
                    self.log()
                );
            }
            assert!(
                Instant::now() < deadline,
                "{}, timed out after {within:?} waiting for: {what}\n{}",
                self.name,
                self.log()
            );
            std::thread::sleep(pause_after(looked));
        }
    }

    /// The last lines of its output, for messages.
    pub fn log(&self) -> String {
        self.log.tail()
    }

    /// The last 10,000 lines of both streams, in order of arrival.
    pub fn lines(&self) -> Vec<String> {
        self.log.lines()
    }

    /// The file with all of its output.
    pub fn log_path(&self) -> &Path {
        self.log.path()
    }

    fn child(&self) -> std::sync::MutexGuard<'_, Child> {
        self.child
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The result of a program that has ended.
#[derive(Debug)]
pub struct Finished {
    /// Its exit status.
    pub status: ExitStatus,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
}

impl Finished {
    /// Returns itself; panics with both outputs if the exit status is not 0.
    #[track_caller]
    #[allow(
        clippy::return_self_not_must_use,
        reason = "often called for the check alone"
    )]
    pub fn expect_success(self) -> Self {
        assert!(
            self.status.success(),
            "{}\n{}\n{}",
            self.status,
            self.stdout,
            self.stderr
        );
        self
    }
}

/// Runs a program to its end, with `input` on its standard input. Kills it and panics after `within`.
#[track_caller]
pub fn run(mut command: Command, input: &[u8], within: Duration) -> Finished {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = spawner::spawn(&command)
        .unwrap_or_else(|error| panic!("failed to start {command:?}: {error}"));
    let stdout = log::read_all(child.stdout.take());
    let stderr = log::read_all(child.stderr.take());
    let mut stdin = child.stdin.take().expect("it was piped");
    let input = input.to_vec();
    // A separate thread, so that a program that prints much before it reads does not block. A program may end without
    // reading its input.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let deadline = Instant::now() + within;
    let ended = loop {
        match child.try_wait().expect("it is our child") {
            None if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(2)),
            ended => break ended,
        }
    };
    if ended.is_none() {
        // Otherwise a shell's children would hold its output open, and reading it would not end.
        kill_below(child.id());
    }
    child.kill().expect("our own child may be killed");
    child.wait().expect("it is our child");
    writer.join().expect("writing does not panic");
    let (stdout, stderr) = (stdout.join(), stderr.join());
    let (stdout, stderr) = (stdout.expect("no panic"), stderr.expect("no panic"));
    match ended {
        Some(status) => Finished {
            status,
            stdout,
            stderr,
        },
        None => panic!("{command:?} timed out after {within:?}\n{stdout}\n{stderr}"),
    }
}

/// Kills the descendants of an unreaped child process.
fn kill_below(pid: u32) {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
    for task in tasks.into_iter().flatten().flatten() {
        let children = std::fs::read_to_string(task.path().join("children"));
        let children = children.unwrap_or_default();
        for child in children.split_whitespace().filter_map(|id| id.parse().ok()) {
            kill_below(child);
            let id = i32::try_from(child).ok().and_then(Pid::from_raw);
            // It may have ended by itself.
            let _ = id.map(|id| kill_process(id, Signal::KILL));
        }
    }
}

/// Waits until no process has the id `pid`.
#[track_caller]
pub fn wait_gone(pid: u32, within: Duration) {
    eventually(within, &format!("process {pid} is gone"), || {
        (!Path::new("/proc").join(pid.to_string()).exists()).then_some(())
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn dropping_the_guard_kills_the_child() {
        let process = Process::spawn("sleeper", shell("echo up; exec sleep 1000"));
        process.wait_for_line("up", LONG);
        let pid = process.pid();
        drop(process);
        wait_gone(pid, LONG);
    }

    #[test]
    fn the_last_line_of_a_program_that_ended_is_found() {
        let process = Process::spawn("printer", shell("echo one; echo two >&2"));
        assert_eq!(process.wait_for_line("two", LONG), "two");
        assert!(process.wait_exit(LONG).success());
        assert!(!process.is_running());
    }

    #[test]
    #[should_panic(expected = "printer ended (exit status: 3) before this: it prints \"three\"")]
    fn an_early_exit_is_reported() {
        let process = Process::spawn("printer", shell("echo one; exit 3"));
        process.wait_for_line("three", LONG);
    }

    #[test]
    fn a_child_dies_with_the_process_that_spawned_it() {
        // The killed process is this test binary, which runs the ignored test below.
        let mut command = Command::new(std::env::current_exe().expect("a test has a path"));
        command.args([
            "--ignored",
            "--exact",
            "process::tests::spawn_and_hang",
            "--nocapture",
        ]);
        let parent = Process::spawn("parent", command);
        let line = parent.wait_for_line("grandchild ", LONG);
        let pid = line
            .rsplit(' ')
            .next()
            .and_then(|pid| pid.parse().ok())
            .expect("it ends in a pid");
        parent.kill();
        wait_gone(pid, LONG);
    }

    #[test]
    #[ignore = "is run by a_child_dies_with_the_process_that_spawned_it, and killed"]
    fn spawn_and_hang() {
        let process = Process::spawn("grandchild", shell("exec sleep 1000"));
        println!("grandchild {}", process.pid());
        process.wait_exit(Duration::from_secs(100));
    }

    #[test]
    #[should_panic(expected = "printed before")]
    fn a_timeout_shows_the_output_although_a_grandchild_hangs() {
        let hangs = shell("echo printed before; sleep 1000; echo and after");
        run(hangs, b"", Duration::from_millis(300));
    }

    #[test]
    fn run_passes_input_and_collects_both_outputs() {
        let finished = run(shell("cat; echo err >&2; exit 4"), b"in", LONG);
        assert_eq!(
            (finished.stdout.as_str(), finished.stderr.as_str()),
            ("in", "err\n")
        );
        assert_eq!(finished.status.code(), Some(4));
    }
}
