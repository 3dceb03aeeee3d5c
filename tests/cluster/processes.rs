//! The processes of pods, if this machine is their node. It must know nothing about what they do.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};
use tests::wait::eventually;

use crate::cluster::{Cluster, SOON};
use crate::place::Owner;

/// Waits for a program in the pod with this uid and sends it SIGKILL. Returns false, and does nothing, if the node is
/// another machine.
#[track_caller]
pub(crate) fn kill(cluster: &Cluster, uid: &str, program: &str) -> bool {
    if !matches!(cluster.place.owner, Owner::Local(_)) {
        return false;
    }
    let pid = eventually(SOON, &format!("{program} runs in the pod {uid}"), || {
        process_of(uid, program)
    });
    kill_process(pid, Signal::KILL).expect("root may, and nothing else ends it");
    true
}

/// Finds the program's process in that pod, whose control group is named after the uid.
fn process_of(uid: &str, program: &str) -> Option<Pid> {
    let entries = std::fs::read_dir("/proc").ok()?;
    entries.flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let read = |name: &str| std::fs::read_to_string(Path::new(&entry.path()).join(name)).ok();
        let is_it = read("cgroup")?.contains(uid) && read("cmdline")?.contains(program);
        Pid::from_raw(pid).filter(|_| is_it)
    })
}
