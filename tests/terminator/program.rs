//! The terminator as a program: exit codes and signals. It must not repeat tests that run in process.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use tests::pki::Ca;
use tests::ports;
use tests::process::Process;
use tests::programs;

use crate::fixture::{SOON, config, get, write, write_text};

/// Starts the program on a file.
pub(crate) fn start(file: &Path, arguments: &[&str]) -> Process {
    let mut command = Command::new(programs::terminator());
    command.args(arguments).arg(file);
    Process::spawn("terminator", command)
}

/// Waits for a program's end, and returns its exit code.
#[track_caller]
pub(crate) fn exit_code(process: &Process) -> Option<i32> {
    process.wait_exit(SOON).code()
}

#[test]
fn an_invalid_file_has_its_own_exit_code() {
    let process = start(&write_text("port: 8883\npem: nothing\nhots: x\n"), &[]);
    assert_eq!(exit_code(&process), Some(78));
    process.wait_for_line("hots: unknown key; did you mean `host`?", SOON);
    let process = start(&write_text("port: 8883\npem: nothing\n"), &[]);
    assert_eq!(exit_code(&process), Some(78));
    process.wait_for_line("pem: there is no certificate", SOON);
    let process = start(Path::new("/nonexistent/config.yaml"), &[]);
    assert_eq!(exit_code(&process), Some(78));
    process.wait_for_line("cannot read /nonexistent/config.yaml: No such file", SOON);
}

#[test]
fn a_port_in_use_has_its_own_exit_code() {
    let leaf = Ca::new("root").leaf().dns("localhost").issue();
    let first = config(&leaf, ports::free_addr());
    let running = start(&write(&first), &[]);
    running.wait_for_line("serving", SOON);
    let mut second = config(&leaf, ports::free_addr());
    second.port = first.port;
    let process = start(&write(&second), &[]);
    assert_eq!(exit_code(&process), Some(69));
    process.wait_for_line(
        &format!("failed to bind the listener to 127.0.0.1:{}", first.port),
        SOON,
    );
    let mut third = config(&leaf, ports::free_addr());
    third.admin.port = first.admin.port;
    let process = start(&write(&third), &[]);
    assert_eq!(exit_code(&process), Some(69));
    process.wait_for_line("failed to bind the admin port", SOON);
}

#[test]
fn sighup_reloads_and_sigterm_ends_it() {
    let leaf = Ca::new("root").leaf().dns("localhost").issue();
    let config = config(&leaf, ports::free_addr());
    let process = start(&write(&config), &["--log-format", "json", "--threads", "1"]);
    let line = process.wait_for_line("serving", SOON);
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["generation"], 1);
    assert_eq!(line["fingerprint"], leaf.fingerprint());
    process.signal(Signal::HUP);
    process.wait_for_line("configuration unchanged", SOON);
    let admin = (config.admin.host, config.admin.port).into();
    assert_eq!(get(admin, "/readyz"), (200, "ok\n".to_owned()));
    process.signal(Signal::TERM);
    assert_eq!(exit_code(&process), Some(0));
}

/// The files in /proc of a process that must not be dumped belong to root (proc(5)). To see that, the process
/// runs as another user if the tests run as root.
#[test]
fn it_cannot_be_dumped() {
    const NOBODY: &str = "65534";
    let leaf = Ca::new("root").leaf().dns("localhost").issue();
    // In a folder that others may read.
    let folder = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o755))
        .tempdir_in("/tmp")
        .unwrap();
    let (program, file) = (
        folder.path().join("program"),
        folder.path().join("config.yaml"),
    );
    std::fs::copy(programs::terminator(), &program).unwrap();
    std::fs::write(&file, config(&leaf, ports::free_addr()).to_yaml().expose()).unwrap();
    let mut command = if rustix::process::getuid().is_root() {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--"])
            .arg(&program);
        command
    } else {
        Command::new(&program)
    };
    command.arg(&file);
    let process = Process::spawn("terminator", command);
    process.wait_for_line("serving", SOON);
    let entry = |name: &str| std::fs::metadata(format!("/proc/{}/{name}", process.pid())).unwrap();
    assert_ne!(rustix::process::getuid().is_root(), entry("").uid() == 0);
    assert_eq!(entry("environ").uid(), 0);
}
