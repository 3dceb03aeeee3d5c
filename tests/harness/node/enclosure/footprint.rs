//! What of this machine could be changed by a node that runs on it, as lines to be compared. It only looks.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Folders that containerd, the kubelet and network plugins write to when they are not told otherwise.
const FOLDERS: [&str; 11] = [
    "/etc/cni",
    "/mnt",
    "/opt/cni",
    "/run",
    "/run/containerd",
    "/run/netns",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/kubelet",
    "/var/log",
    "/var/log/pods",
];

/// Folders where everyone on the machine writes at any time, and what a node's programs make there.
const OF_ALL: [&str; 2] = ["/run", "/var/log"];
const OF_NODES: [&str; 7] = [
    "calico",
    "cni",
    "containerd",
    "containers",
    "netns",
    "pods",
    "runc",
];

/// Settings of the whole kernel that a kubelet or kube-proxy would change.
const SETTINGS: [&str; 5] = [
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "net/ipv4/ip_forward",
];

/// A machine at one moment.
pub(super) struct Footprint(BTreeSet<String>);

impl Footprint {
    /// `group` is the control group of the node that may have run here; another node may be running beside it.
    pub(super) fn take(group: &str) -> Self {
        let mut lines = BTreeSet::new();
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        // Somebody may log in or out meanwhile.
        for mount in mounts.lines().filter(|it| !it.contains(" /run/user/")) {
            lines.insert(format!("mount {mount}"));
        }
        for (program, args) in [
            ("ip", &["-brief", "link"][..]),
            ("ip", &["route", "show", "table", "all"]),
            ("nft", &["list", "tables"]),
        ] {
            for line in output(program, args).lines() {
                // A route that a router has told of counts its seconds down.
                let line = line.split(" expires ").next().unwrap_or(line).trim_end();
                lines.insert(format!("{program} {} {line}", args.join(" ")));
            }
        }
        for folder in FOLDERS {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let name = entry.file_name();
                if !OF_ALL.contains(&folder) || OF_NODES.iter().any(|it| name == *it) {
                    lines.insert(entry.path().display().to_string());
                }
            }
        }
        for name in SETTINGS {
            let value = std::fs::read_to_string(Path::new("/proc/sys").join(name));
            lines.insert(format!("{name} = {}", value.unwrap_or_default().trim()));
        }
        for group in output("find", &["/sys/fs/cgroup", "-type", "d", "-name", group]).lines() {
            lines.insert(format!("control group {group}"));
        }
        Self(lines)
    }

    /// What is there later and was not before, and the other way round.
    pub(super) fn differences(&self, later: &Self) -> Vec<String> {
        let new = later
            .0
            .difference(&self.0)
            .map(|line| format!("new: {line}"));
        let gone = self
            .0
            .difference(&later.0)
            .map(|line| format!("gone: {line}"));
        new.chain(gone).collect()
    }
}

/// Empty if the program is not there: then it can have changed nothing.
fn output(program: &str, args: &[&str]) -> String {
    let finished = Command::new(program).args(args).output();
    finished.map_or_else(
        |_| String::new(),
        |finished| String::from_utf8_lossy(&finished.stdout).into_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_and_what_went_is_told() {
        let set = |lines: &[&str]| Footprint(lines.iter().map(|&line| line.to_owned()).collect());
        let told = set(&["a", "b"]).differences(&set(&["b", "c"]));
        assert_eq!(told, ["new: c", "gone: a"]);
    }

    #[test]
    fn what_a_node_would_change_is_looked_at() {
        let taken = Footprint::take("no-such-group").0;
        let is_there = |start: &str| taken.iter().any(|line| line.starts_with(start));
        assert!(is_there("mount "));
        assert!(is_there("vm/overcommit_memory = "));
    }
}
