//! Starts children that the kernel kills when this process ends. It must not do anything else.
//!
//! `setpriv --pdeathsig` requests that; a hook between fork and exec would need `unsafe`. The setting depends on the
//! *thread* that forked, and the test runner's threads are short-lived, so one thread, which lives as long as the
//! process, starts all children.

use std::io;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock};

type Reply = Sender<io::Result<Child>>;

/// Starts `command` with pipes as standard streams.
pub(super) fn spawn(command: &Command) -> io::Result<Child> {
    static REQUESTS: OnceLock<Mutex<Sender<(Command, Reply)>>> = OnceLock::new();
    let requests = REQUESTS.get_or_init(|| Mutex::new(start_thread()));
    let (reply, answer) = channel();
    requests
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .send((under_setpriv(command), reply))
        .expect("the spawning thread lives as long as the process");
    answer.recv().expect("it answers each request")
}

fn start_thread() -> Sender<(Command, Reply)> {
    let (sender, requests) = channel::<(Command, Reply)>();
    std::thread::Builder::new()
        .name("spawner".to_owned())
        .spawn(move || {
            for (mut command, reply) in requests {
                // If the test has panicked meanwhile, nothing receives the child, so it is killed here.
                if let Err(unwanted) = reply.send(command.spawn())
                    && let Ok(mut child) = unwanted.0
                {
                    let _ = child.kill();
                    let _ = child.wait();
                }
            }
        })
        .expect("a thread can be started");
    sender
}

/// setpriv execs the program, so the child's id is the program's.
fn under_setpriv(command: &Command) -> Command {
    let mut wrapped = Command::new("setpriv");
    wrapped.args(["--pdeathsig", "KILL", "--"]);
    wrapped.arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(key, value),
            None => wrapped.env_remove(key),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        wrapped.current_dir(folder);
    }
    wrapped
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    wrapped
}
