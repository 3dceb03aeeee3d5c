//! The controller manager and the scheduler, each with the permissions of Kubernetes' default roles.

use std::process::Command;

use super::START;
use crate::apiserver::ApiServer;
use crate::assets;
use crate::process::Process;

pub(super) fn start(server: &ApiServer) -> Vec<Process> {
    let processes = [controller_manager(server), scheduler(server)];
    for (process, port) in processes.iter().zip([10_257, 10_259]) {
        process.wait_for_port(([127, 0, 0, 1], port).into(), START);
    }
    processes.into()
}

fn controller_manager(server: &ApiServer) -> Process {
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
        .args(["--bind-address", "127.0.0.1", "--profiling=false"]);
    Process::spawn("kube-controller-manager", command)
}

fn scheduler(server: &ApiServer) -> Process {
    let kubeconfig = server.kubeconfig_for("system:kube-scheduler", &[]);
    let mut command = Command::new(assets::kubernetes("kube-scheduler"));
    command
        .arg("--kubeconfig")
        .arg(kubeconfig)
        .arg("--cert-dir")
        .arg(server.folder().join("scheduler"))
        .args([
            "--leader-elect=false",
            "--bind-address",
            "127.0.0.1",
            "--profiling=false",
        ]);
    Process::spawn("kube-scheduler", command)
}
