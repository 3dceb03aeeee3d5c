//! Makes the enclosure look like a machine of its own: an interface with an address, empty folders where
//! programs insist on writing, kernel settings that only seem to be changed. It must run inside only, once.

use std::path::Path;

use super::{ADDRESS, FOLDER, system, write};

/// Folders that programs write to whatever they are told: hidden behind empty ones, which nobody else sees and
/// which go with the enclosure.
const HIDDEN: [&str; 3] = ["/mnt", "/run", "/var/log"];

/// What the kubelet sets for the whole machine, not only for its namespaces. It finds these files in their
/// place, with the values that it wants, and leaves the kernel alone.
const KERNEL_SETTINGS: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// Returns the folder for everything.
pub(super) fn prepare() -> &'static Path {
    for folder in HIDDEN {
        system(
            "mount",
            &["-t", "tmpfs", "-o", "mode=0755", "tmpfs", folder],
        );
    }
    // containerd keeps notes of its networks in /var/lib/cni, which cannot be told otherwise.
    let (upper, work) = (
        format!("{FOLDER}/var-lib"),
        format!("{FOLDER}/var-lib-work"),
    );
    for folder in [&upper, &work] {
        std::fs::create_dir_all(folder).expect("the folder is ours");
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
    // The kubelet mounts volumes below, and containers must see them.
    let root = Path::new(FOLDER).join("kubelet");
    std::fs::create_dir_all(&root).expect("the folder is ours");
    let root = root.to_str().expect("plain ASCII");
    system("mount", &["--bind", root, root]);
    system("mount", &["--make-rshared", root]);
    Path::new(FOLDER)
}

/// A pair, for one end is up only if the other is; not every kernel has the device called dummy.
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
    // Of this network namespace alone.
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("root may forward");
}
