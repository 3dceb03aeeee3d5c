//! A whole Kubernetes node on this machine: etcd, API server, controller manager, scheduler, containerd, kubelet,
//! kube-proxy, CoreDNS and the cert-manager controllers, as programs built by `tests/setup node`.
//!
//! It runs inside of an [`enclosure`] only: its interfaces, rules, mounts and processes are in separate namespaces and
//! end with them. It must know nothing about what is tested on it.
//!
//! It does not enforce NetworkPolicies, and there is only one node.

mod addons;
pub mod enclosure;
mod machine;
mod runtime;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::time::Duration;

use crate::apiserver::ApiServer;
use crate::controllers;
use crate::images::Images;
use crate::process::{Finished, Process, run};

/// The node's name.
pub const NAME: &str = "node";
/// The address of the node and of the API server.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 255, 0, 1);
/// The network of pods.
const POD_CIDR: &str = "10.244.0.0/16";
/// The network from which kube-proxy leaves addresses as they are: that of pods, and [`VISITORS`].
const CLUSTER_CIDR: &str = "10.244.0.0/15";
/// The network of visitors. It is not the pods' own, where each pod would keep an entry for each visitor, and the kernel has few.
const VISITORS: Ipv4Addr = Ipv4Addr::new(10, 245, 0, 0);
/// Length of its prefix.
const VISITORS_PREFIX: u8 = 20;
/// The address of the Service `kube-dns`.
const DNS_SERVICE: &str = "10.96.0.10";
/// The node's folder, on a file system in memory that is visible only inside.
const FOLDER: &str = "/mnt/node";
/// Upper bound for the start of a component, which takes seconds on an idle machine.
const START: Duration = Duration::from_secs(180);

/// A running node. Dropping it stops its programs; its containers end with the enclosure.
pub struct Node {
    server: ApiServer,
    // Dropped in this order, users of the API server first.
    _addons: Vec<Process>,
    _runtime: Vec<Process>,
    _control: Vec<Process>,
}

impl Node {
    /// Starts a node, and waits until it is Ready and DNS works. Panics outside of an enclosure.
    #[track_caller]
    pub fn start() -> Self {
        assert!(
            enclosure::inside(),
            "a node must run in an enclosure, because it changes interfaces and mounts"
        );
        let folder = machine::prepare();
        let addr = SocketAddr::new(IpAddr::V4(ADDRESS), 6443);
        let server = ApiServer::start_for_a_node(folder.to_owned(), addr);
        let control = controllers::start(&server);
        let runtime = runtime::start(&server);
        let addons = addons::start(&server);
        let node = Self {
            server,
            _addons: addons,
            _runtime: runtime,
            _control: control,
        };
        node.kubectl_within(
            &[
                "wait",
                "--for=condition=Ready",
                "node",
                NAME,
                "--timeout=120s",
            ],
            START,
        );
        node
    }

    /// The node's API server.
    pub fn server(&self) -> &ApiServer {
        &self.server
    }

    /// Loads all images, as `docker load` would.
    #[track_caller]
    pub fn load(&self, images: &Images) {
        for image in images.all() {
            let mut ctr = runtime::ctr();
            ctr.args(["images", "import", "--snapshotter", "overlayfs"])
                .arg(&image.file);
            run(ctr, b"", START).expect_success();
        }
    }

    /// Returns an address from which clients in this process can connect to Services as if each were another machine: pods see it.
    #[track_caller]
    pub fn visitor(&self, number: u16) -> IpAddr {
        static ROUTE: Once = Once::new();
        let count = 1 << (32 - VISITORS_PREFIX);
        assert!(number < count, "there are {count} addresses");
        ROUTE.call_once(|| {
            let network = format!("{VISITORS}/{VISITORS_PREFIX}");
            system("ip", &["route", "add", "local", &network, "dev", "lo"]);
        });
        Ipv4Addr::from_bits(VISITORS.to_bits() + u32::from(number)).into()
    }

    /// The folder of the node's files, for checks of their content.
    pub fn folder(&self) -> &'static Path {
        Path::new(FOLDER)
    }

    #[track_caller]
    fn kubectl_within(&self, args: &[&str], within: Duration) -> Finished {
        let command = crate::apiserver::kubectl_command(&self.server.kubeconfig(), args);
        run(command, b"", within).expect_success()
    }
}

/// Writes one of the node's files.
fn write(name: &str, text: &str) -> PathBuf {
    let path = Path::new(FOLDER).join(name);
    let parent = path.parent().expect("it is in the folder");
    std::fs::create_dir_all(parent)
        .and_then(|()| std::fs::write(&path, text))
        .unwrap_or_else(|error| panic!("failed to write {}: {error}", path.display()));
    path
}

/// Runs a system command that must succeed.
#[track_caller]
fn system(program: &str, args: &[&str]) {
    let mut command: Command = crate::assets::installed(program);
    command.args(args);
    run(command, b"", START).expect_success();
}
