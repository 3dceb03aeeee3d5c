//! Programs that a test starts: their output is kept, they are waited for with a deadline, and they do not
//! outlive the test process, not even one that is killed. It knows no particular program.
//!
//! A process is always ended by the id that was started here, and that id cannot have passed to another
//! process, for it is not reaped before the guard knows.

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

/// How long a server may take to end by itself after SIGTERM before it is killed.
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
    /// Starts `command`; `name` is what the log file and the messages call it. Its standard input is empty.
    ///
    /// What the command says of environment and current folder is kept, except `env_clear`, which cannot be
    /// read back from a [`Command`]: name the variables to be removed instead.
    #[track_caller]
    pub fn spawn(name: &str, mut command: Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = spawner::spawn(&command)
            .unwrap_or_else(|error| panic!("cannot start {name} ({command:?}): {error}"));
        let raw = i32::try_from(child.id()).expect("Linux keeps process ids below 2^22");
        Self {
            name: name.to_owned(),
            pid: Pid::from_raw(raw).expect("a process id is positive"),
            log: Log::follow(name, child.stdout.take(), child.stderr.take()),
            child: Mutex::new(child),
        }
    }

    /// The process id, for what this guard does not offer.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// `None` while it runs.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.child().try_wait().expect("it is our child")
    }

    /// Whether it has not ended.
    pub fn is_running(&self) -> bool {
        self.exit_status().is_none()
    }

    /// Sends a signal; nothing happens if the process has ended.
    pub fn signal(&self, signal: Signal) {
        let mut child = self.child();
        if child.try_wait().expect("it is our child").is_none() {
            kill_process(self.pid, signal).expect("our own child may be signalled");
        }
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
        self.child().wait().expect("it is our child");
    }

    /// SIGTERM, and SIGKILL if that was not heard within five seconds. For servers whose way of ending is
    /// not what is tested; else use [`Process::signal`] and [`Process::wait_exit`].
    pub fn stop(&self) {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + GRACE;
        while self.is_running() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.kill();
    }

    /// Waits for its end. Panics, with the log, when `within` is over.
    #[track_caller]
    pub fn wait_exit(&self, within: Duration) -> ExitStatus {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.exit_status() {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "{} still runs after {within:?}\n{}",
                self.name,
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until a line of its output contains `text`, and hands that line back. Lines from before the
    /// call count. Panics, with the log, when the process ends first or `within` is over.
    #[track_caller]
    pub fn wait_for_line(&self, text: &str, within: Duration) -> String {
        self.wait_for_line_after(0, text, within)
    }

    /// As [`Process::wait_for_line`], for lines after the first `mark` ([`Process::mark`]).
    #[track_caller]
    pub fn wait_for_line_after(&self, mark: usize, text: &str, within: Duration) -> String {
        self.wait_until(&format!("it prints {text:?}"), within, || {
            self.log.find(mark, |line| line.contains(text))
        })
    }

    /// How many lines it has printed so far.
    pub fn mark(&self) -> usize {
        self.log.count()
    }

    /// Waits until something accepts TCP connections at `addr`.
    #[track_caller]
    pub fn wait_for_port(&self, addr: SocketAddr, within: Duration) {
        self.wait_until(&format!("it accepts connections at {addr}"), within, || {
            TcpStream::connect_timeout(&addr, Duration::from_secs(1)).ok()
        });
    }

    /// Looks until `look` yields a value. Panics, with the log, when the process ends or `within` is over.
    #[track_caller]
    pub fn wait_until<T>(
        &self,
        what: &str,
        within: Duration,
        mut look: impl FnMut() -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + within;
        loop {
            // Before the look, so that what was there when it ended is still seen.
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

    /// All lines that are still in memory (the last 10,000), both streams in the order of their arrival.
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

/// What a program that ran to its end left.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
}

impl Finished {
    /// The same, or a panic that shows both outputs if the exit status is not 0.
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

/// Runs a program to its end, with `input` on its standard input. It is killed, and the test fails, when
/// `within` is over.
#[track_caller]
pub fn run(mut command: Command, input: &[u8], within: Duration) -> Finished {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = spawner::spawn(&command)
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let stdout = log::read_all(child.stdout.take());
    let stderr = log::read_all(child.stderr.take());
    let mut stdin = child.stdin.take().expect("it was piped");
    let input = input.to_vec();
    // Of its own, for a program that prints much before it reads must not block us. One that ends without
    // reading is no fault: what it says is in its status.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let deadline = Instant::now() + within;
    let ended = loop {
        match child.try_wait().expect("it is our child") {
            None if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(2)),
            ended => break ended,
        }
    };
    if ended.is_none() {
        // Else a shell's own children would hold its output open, and what it said would never be told.
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
        None => panic!("{command:?} still ran after {within:?}\n{stdout}\n{stderr}"),
    }
}

/// Kills the children of a process of ours that has not been reaped, and theirs.
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
    fn an_early_end_is_told() {
        let process = Process::spawn("printer", shell("echo one; exit 3"));
        process.wait_for_line("three", LONG);
    }

    #[test]
    fn a_child_dies_with_the_process_that_spawned_it() {
        // The test binary itself, as the process that is killed: it runs the ignored test below.
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
    #[should_panic(expected = "said before")]
    fn what_was_said_is_told_although_a_grandchild_hangs() {
        let hangs = shell("echo said before; sleep 1000; echo and after");
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
