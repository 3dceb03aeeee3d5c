//! The programs in pods as processes, where this machine is their node. It knows nothing of what they do.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};
use tests::wait::eventually;

use crate::cluster::{Cluster, SOON};
use crate::place::Owner;

/// Sends SIGKILL to a program of the pod with this uid, which runs or is about to. False where the node is another
/// machine: nothing was done there.
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

/// The program's process in that pod: its control group is called after the uid.
fn process_of(uid: &str, program: &str) -> Option<Pid> {
    let entries = std::fs::read_dir("/proc").ok()?;
    entries.flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let read = |name: &str| std::fs::read_to_string(Path::new(&entry.path()).join(name)).ok();
        let is_it = read("cgroup")?.contains(uid) && read("cmdline")?.contains(program);
        Pid::from_raw(pid).filter(|_| is_it)
    })
}
