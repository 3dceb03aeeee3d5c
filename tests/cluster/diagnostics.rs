//! Diagnostics of a failed journey: objects, events and logs, written to the log folder.

use std::any::Any;

use tests::workdir;

use crate::cluster::Cluster;

/// Writes the diagnostics and prints their folder.
pub(crate) fn write(cluster: &Cluster, journey: &str) {
    let folder = workdir::logs().join(journey.replace("::", "-"));
    let commands: [(&str, &[&str]); 4] = [
        (
            "objects",
            &[
                "get",
                "all,mtl,certificates,pdb,leases,networkpolicies",
                "-A",
                "-o",
                "wide",
            ],
        ),
        (
            "events",
            &["get", "events", "-A", "--sort-by=.lastTimestamp"],
        ),
        ("listeners", &["get", "mtl", "-A", "-o", "yaml"]),
        ("pods", &["describe", "pods", "-A"]),
    ];
    std::fs::create_dir_all(&folder).expect("the folder is writable");
    for (name, args) in commands {
        let finished = cluster.try_kubectl(args);
        let text = finished.stdout + &finished.stderr;
        std::fs::write(folder.join(name), text).expect("the folder is writable");
    }
    for (namespace, name, log) in cluster.logs(2000) {
        let file = folder.join(format!("{namespace}-{name}.log"));
        std::fs::write(file, log).expect("the folder is writable");
    }
    eprintln!("diagnostics of the cluster: {}", folder.display());
}

/// Returns a panic's message.
pub(crate) fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()))
        .unwrap_or_else(|| "panic without a message".to_owned())
}
