//! What a failed journey leaves for whoever looks into it: objects, events and logs, in the log folder.

use std::any::Any;

use tests::workdir;

use crate::cluster::Cluster;

/// Writes them, and says where.
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
    std::fs::create_dir_all(&folder).expect("the folder is ours");
    for (name, args) in commands {
        let finished = cluster.try_kubectl(args);
        let text = finished.stdout + &finished.stderr;
        std::fs::write(folder.join(name), text).expect("the folder is ours");
    }
    for (namespace, name, log) in cluster.logs(2000) {
        let file = folder.join(format!("{namespace}-{name}.log"));
        std::fs::write(file, log).expect("the folder is ours");
    }
    eprintln!("what the cluster looked like: {}", folder.display());
}

/// A panic's message.
pub(crate) fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()))
        .unwrap_or_else(|| "it panicked".to_owned())
}
