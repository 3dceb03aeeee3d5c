//! A Kubernetes node on this machine for experiments, with all images of this project, cert-manager's controllers, and
//! `kubectl` and `helm` on the path:
//!
//! `cargo run -p tests --bin node [-- COMMAND…]`, as root. Without a command it starts a shell. When that ends, the node
//! and everything on it is removed; the exit code is the command's, or 1 if something is left on the machine.
//!
//! It must not decide what runs on the node.
#![allow(
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a node that fails to start ends the program with a message"
)]

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode};

use tests::images::Images;
use tests::node::{Node, enclosure};
use tests::{assets, workdir};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if enclosure::inside() {
        return on_a_node(&arguments);
    }
    if !rustix::process::geteuid().is_root() {
        eprintln!("a node needs root, because it creates namespaces and mounts");
        return ExitCode::FAILURE;
    }
    // Outside of the enclosure, where the build tools work.
    Images::built();
    enclosure::enter("node", &arguments, None).report()
}

fn on_a_node(arguments: &[OsString]) -> ExitCode {
    let node = Node::start();
    node.load(Images::built());
    let shell = [OsString::from("bash")];
    let command = if arguments.is_empty() {
        &shell
    } else {
        arguments
    };
    let bin = workdir::scratch("bin");
    for (tool, name) in [
        (assets::kubernetes("kubectl"), "kubectl"),
        (assets::tool("helm"), "helm"),
    ] {
        std::os::unix::fs::symlink(tool, bin.join(name)).expect("the folder is writable");
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = [bin].into_iter().chain(std::env::split_paths(&path));
    let path = std::env::join_paths(folders).expect("no folder has a colon in its name");
    let status = Command::new(&command[0])
        .args(&command[1..])
        .env("PATH", path)
        .env("KUBECONFIG", node.server().kubeconfig())
        .status();
    match status {
        Ok(status) => {
            let signalled = status.signal().map(|signal| 128 + signal);
            let code = status.code().or(signalled).unwrap_or(1);
            ExitCode::from(u8::try_from(code).unwrap_or(1))
        }
        Err(error) => {
            eprintln!("{}: {error}", command[0].to_string_lossy());
            ExitCode::from(127)
        }
    }
}
