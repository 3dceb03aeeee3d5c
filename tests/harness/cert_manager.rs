//! cert-manager's controllers, as a program on this machine for any API server. It must not create issuers or certificates.

use std::process::Command;

use crate::apiserver::ApiServer;
use crate::assets;
use crate::process::Process;

/// Its namespace, for leader election and for Secrets of ClusterIssuers.
const NAMESPACE: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: cert-manager}\n";

/// Starts cert-manager's controllers on this machine for a cluster, with its resource definitions, and without its webhook.
///
/// # Panics
///
/// If the cluster rejects its resource definitions.
pub fn start(server: &ApiServer) -> Process {
    let apply = ["apply", "-f", "-"];
    let namespace = server.kubectl_with_input(&apply, NAMESPACE);
    namespace.expect_success();
    let crds = assets::cert_manager_crds();
    let crds = crds.to_str().expect("the cache's path is plain text");
    for args in [
        &["apply", "--server-side", "-f", crds][..],
        &[
            "wait",
            "--for=condition=Established",
            "--timeout=60s",
            "-f",
            crds,
        ],
    ] {
        server.kubectl(args).expect_success();
    }
    let kubeconfig = server.kubeconfig_for("cert-manager", &["system:masters"]);
    let mut command = Command::new(assets::cert_manager("controller"));
    command.arg("--kubeconfig").arg(kubeconfig);
    Process::spawn("cert-manager", command)
}
