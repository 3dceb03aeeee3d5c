//! The state of this machine that a node could change, as comparable lines. It must not change anything.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Default folders of containerd, the kubelet and network plugins.
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

/// Folders to which other programs write at any time, and the entries of a node's programs there.
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

/// The state at one moment.
pub(super) struct Footprint(BTreeSet<String>);

impl Footprint {
    /// Takes a footprint. `group` is this node's control group; other nodes may run at the same time.
    pub(super) fn take(group: &str) -> Self {
        let mut lines = BTreeSet::new();
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        // Users may log in or out meanwhile.
        for mount in mounts.lines().filter(|it| !it.contains(" /run/user/")) {
            lines.insert(format!("mount {mount}"));
        }
        for (program, args) in [
            ("ip", &["-brief", "link"][..]),
            ("ip", &["route", "show", "table", "all"]),
            ("nft", &["list", "tables"]),
        ] {
            for line in output(program, args).lines() {
                // The lifetime of a route from a router advertisement changes.
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

    /// Returns the lines that were added and removed.
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

/// Runs a program and returns its output; empty if it is not installed, and can have changed nothing.
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
    fn added_and_removed_lines_are_reported() {
        let set = |lines: &[&str]| Footprint(lines.iter().map(|&line| line.to_owned()).collect());
        let differences = set(&["a", "b"]).differences(&set(&["b", "c"]));
        assert_eq!(differences, ["new: c", "gone: a"]);
    }

    #[test]
    fn mounts_and_settings_are_included() {
        let taken = Footprint::take("no-such-group").0;
        let is_there = |start: &str| taken.iter().any(|line| line.starts_with(start));
        assert!(is_there("mount "));
        assert!(is_there("vm/overcommit_memory = "));
    }
}
