//! Add-ons of the cluster: CoreDNS as the Service `kube-dns`, the role of kube-proxy, cert-manager.

use std::path::Path;
use std::process::Command;

use super::{ADDRESS, DNS_SERVICE, START, write};
use crate::apiserver::{ApiServer, SERVICE_CIDR, kubectl_command};
use crate::assets;
use crate::process::{Process, run};

/// CoreDNS runs as a process on the node, so its Service has an EndpointSlice and no selector.
const MANIFESTS: &str = r"
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec:
  clusterIP: DNS_SERVICE
  ports:
  - {name: dns, port: 53, protocol: UDP}
  - {name: dns-tcp, port: 53, protocol: TCP}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: kube-dns
  namespace: kube-system
  labels: {kubernetes.io/service-name: kube-dns}
addressType: IPv4
ports:
- {name: dns, port: 53, protocol: UDP}
- {name: dns-tcp, port: 53, protocol: TCP}
endpoints:
- addresses: [ADDRESS]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: kube-proxy}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:node-proxier}
subjects:
- {apiGroup: rbac.authorization.k8s.io, kind: User, name: system:kube-proxy}
---
apiVersion: v1
kind: Namespace
metadata: {name: cert-manager}
";

pub(super) fn start(server: &ApiServer) -> Vec<Process> {
    let manifests = MANIFESTS
        .replace("DNS_SERVICE", DNS_SERVICE)
        .replace("ADDRESS", &ADDRESS.to_string());
    server
        .kubectl_with_input(&["apply", "-f", "-"], &manifests)
        .expect_success();
    let kubeconfig = server.kubeconfig_for("cert-manager", &["system:masters"]);
    vec![coredns(server), cert_manager(&kubeconfig)]
}

fn coredns(server: &ApiServer) -> Process {
    let kubeconfig = server.kubeconfig_for("coredns", &["system:masters"]);
    let corefile = write(
        "Corefile",
        &format!(
            ".:53 {{\n  bind {ADDRESS}\n  errors\n  ready 127.0.0.1:8181\n  kubernetes cluster.local {SERVICE_CIDR} {{\n    \
             kubeconfig {}\n    ttl 5\n  }}\n}}\n",
            kubeconfig.display()
        ),
    );
    let mut command = Command::new(assets::coredns());
    command.arg("-conf").arg(corefile);
    let process = Process::spawn("coredns", command);
    process.wait_for_port((ADDRESS, 53).into(), START);
    process
}

/// Starts cert-manager's controllers on this machine for the cluster of `kubeconfig`, without the validating webhook.
///
/// # Panics
///
/// If the cluster rejects its resource definitions.
fn cert_manager(kubeconfig: &Path) -> Process {
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
        run(kubectl_command(kubeconfig, args), b"", START).expect_success();
    }
    let mut command = Command::new(assets::cert_manager("controller"));
    command.arg("--kubeconfig").arg(kubeconfig);
    Process::spawn("cert-manager", command)
}
