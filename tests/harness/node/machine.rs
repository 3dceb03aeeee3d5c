//! Prepares the enclosure as a separate machine: an interface with an address, empty folders at fixed paths, and fake
//! kernel settings. It must run inside only, once.

use std::path::Path;

use super::{ADDRESS, FOLDER, system, write};

/// Folders with fixed paths in programs: covered by empty ones that end with the enclosure.
const HIDDEN: [&str; 3] = ["/mnt", "/run", "/var/log"];

/// Settings that the kubelet changes for the whole machine. It finds these files instead, with the wanted values, and
/// leaves the kernel unchanged.
const KERNEL_SETTINGS: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// Prepares the enclosure, and returns the node's folder.
pub(super) fn prepare() -> &'static Path {
    for folder in HIDDEN {
        system(
            "mount",
            &["-t", "tmpfs", "-o", "mode=0755", "tmpfs", folder],
        );
    }
    // containerd keeps network state in /var/lib/cni, which is not configurable.
    let (upper, work) = (
        format!("{FOLDER}/var-lib"),
        format!("{FOLDER}/var-lib-work"),
    );
    for folder in [&upper, &work] {
        std::fs::create_dir_all(folder).expect("the folder is writable");
    }
    let layers = format!("lowerdir=/var/lib,upperdir={upper},workdir={work}");
    system(
        "mount",
        &["-t", "overlay", "overlay", "-o", &layers, "/var/lib"],
    );
    for (name, value) in KERNEL_SETTINGS {
        let ours = write(&format!("sysctl/{}", name.replace('/', ".")), value);
        let theirs = Path::new("/proc/sys").join(name);
        if theirs.exists() {
            let paths = [&ours, &theirs].map(|path| path.to_str().expect("plain ASCII"));
            system("mount", &["--bind", paths[0], paths[1]]);
        }
    }
    interface();
    // Containers must see the volumes that the kubelet mounts there.
    let root = Path::new(FOLDER).join("kubelet");
    std::fs::create_dir_all(&root).expect("the folder is writable");
    let root = root.to_str().expect("plain ASCII");
    system("mount", &["--bind", root, root]);
    system("mount", &["--make-rshared", root]);
    Path::new(FOLDER)
}

/// Creates a veth pair, because not every kernel has dummy devices.
fn interface() {
    let address = format!("{ADDRESS}/24");
    for args in [
        &["link", "set", "lo", "up"][..],
        &[
            "link", "add", "node0", "type", "veth", "peer", "name", "node1",
        ],
        &["address", "add", &address, "dev", "node0"],
        &["link", "set", "node0", "up"],
        &["link", "set", "node1", "up"],
        &["route", "add", "default", "dev", "node0"],
    ] {
        system("ip", args);
    }
    // This setting belongs to the network namespace.
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("root may forward");
}
