//! The controller manager and the scheduler, each with the permissions of Kubernetes' default roles. It must not decide what
//! they work on.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use crate::apiserver::ApiServer;
use crate::process::Process;
use crate::{assets, ports};

/// Upper bound for a start, which takes seconds on an idle machine.
const START: Duration = Duration::from_secs(180);

/// The usual ports of the controller manager and the scheduler.
const PORTS: [u16; 2] = [10_257, 10_259];

/// Starts both with all controllers and at their usual ports, for a whole node.
pub(crate) fn start(server: &ApiServer) -> Vec<Process> {
    let [first, second] = PORTS.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    start_at(server, [first, second], &[])
}

/// Starts both at free ports, with these controllers only.
#[track_caller]
pub fn start_some(server: &ApiServer, controllers: &[&str]) -> Vec<Process> {
    let chosen = format!("--controllers={}", controllers.join(","));
    let places = [ports::free_addr(), ports::free_addr()];
    start_at(server, places, &[&chosen])
}

fn start_at(server: &ApiServer, places: [SocketAddr; 2], more: &[&str]) -> Vec<Process> {
    let processes = [
        controller_manager(server, places[0].port(), more),
        scheduler(server, places[1].port()),
    ];
    for (process, place) in processes.iter().zip(places) {
        process.wait_for_port((Ipv4Addr::LOCALHOST, place.port()).into(), START);
    }
    processes.into()
}

fn controller_manager(server: &ApiServer, port: u16, more: &[&str]) -> Process {
    let kubeconfig = server.kubeconfig_for("system:kube-controller-manager", &[]);
    let file = |name: &str| server.folder().join(name);
    let mut command = Command::new(assets::kubernetes("kube-controller-manager"));
    command
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .arg("--root-ca-file")
        .arg(file("ca.crt"))
        .arg("--service-account-private-key-file")
        .arg(file("service-account.key"))
        .arg("--cert-dir")
        .arg(file("controller-manager"))
        .args(["--use-service-account-credentials", "--leader-elect=false"])
        .args(["--bind-address", "127.0.0.1", "--profiling=false"])
        .arg(format!("--secure-port={port}"))
        .args(more);
    Process::spawn("kube-controller-manager", command)
}

fn scheduler(server: &ApiServer, port: u16) -> Process {
    let kubeconfig = server.kubeconfig_for("system:kube-scheduler", &[]);
    let mut command = Command::new(assets::kubernetes("kube-scheduler"));
    command
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .arg("--cert-dir")
        .arg(server.folder().join("scheduler"))
        .args(["--leader-elect=false", "--profiling=false"])
        .args(["--bind-address", "127.0.0.1"])
        .arg(format!("--secure-port={port}"));
    Process::spawn("kube-scheduler", command)
}
