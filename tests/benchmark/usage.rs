//! CPU time and memory of a server, from the kernel, including its child processes. It must not put load on it.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// Returns the CPU time of all running threads, in user and kernel mode. schedstat has nanoseconds, while
/// /proc/PID/stat has clock ticks only.
pub(crate) fn cpu(pid: u32) -> Duration {
    let of_thread = |schedstat: String| -> u64 {
        let time = schedstat
            .split(' ')
            .next()
            .and_then(|time| time.parse().ok());
        time.expect("the first number is the time on a CPU")
    };
    let nanoseconds = tree(pid)
        .into_iter()
        .flat_map(threads)
        .filter_map(|folder| fs::read_to_string(format!("{folder}/schedstat")).ok())
        .map(of_thread)
        .sum();
    Duration::from_nanos(nanoseconds)
}

/// Returns the anonymous memory, in bytes.
pub(crate) fn memory(pid: u32) -> u64 {
    tree(pid).into_iter().filter_map(anonymous_kib).sum::<u64>() * 1024
}

/// Returns a process and its descendants.
pub(crate) fn tree(pid: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").expect("Linux has it").flatten() {
        let child = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        if let Some(child) = child
            && let Some(parent) = parent(child)
        {
            children.entry(parent).or_default().push(child);
        }
    }
    let mut all = vec![pid];
    let mut next = 0;
    while next < all.len() {
        all.extend(children.remove(&all[next]).unwrap_or_default());
        next += 1;
    }
    all
}

/// Returns the parent; `None` if the process has ended.
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, which may have any characters, is followed by the state and the parent (proc(5)).
    let behind = stat.rsplit(')').next()?;
    behind.split_whitespace().nth(1)?.parse().ok()
}

fn threads(pid: u32) -> Vec<String> {
    let folder = fs::read_dir(format!("/proc/{pid}/task"));
    let entries = folder.into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path().to_string_lossy().into_owned())
        .collect()
}

fn anonymous_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::tests::process::Process;
    use std::process::Command;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn children_are_included() {
        let mut command = Command::new("sh");
        let script = "sh -c 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo done; exec sleep 1000' & wait";
        command.args(["-c", script]);
        let process = Process::spawn("parent", command);
        process.wait_for_line("done", LONG);
        let tree = tree(process.pid());
        assert_eq!(tree.len(), 2, "{tree:?}");
        // The child uses CPU time, the parent only waits.
        assert!(cpu(tree[0]) > cpu(tree[1]));
        assert_eq!(cpu(tree[0]), cpu(process.pid()));
        assert!(memory(tree[0]) > memory(tree[1]) && memory(tree[1]) > 0);
        process.stop();
        for child in &tree[1..] {
            let pid = i32::try_from(*child)
                .ok()
                .and_then(rustix::process::Pid::from_raw);
            let pid = pid.expect("it is a process id");
            rustix::process::kill_process(pid, rustix::process::Signal::KILL)
                .expect("our child can be signalled");
        }
    }
}
