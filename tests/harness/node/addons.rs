//! Add-ons of the cluster: CoreDNS as the Service `kube-dns`, the role of kube-proxy, cert-manager.

use std::process::Command;

use super::{ADDRESS, DNS_SERVICE, START, write};
use crate::apiserver::{ApiServer, SERVICE_CIDR};
use crate::process::Process;
use crate::{assets, cert_manager};

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
";

pub(super) fn start(server: &ApiServer) -> Vec<Process> {
    let manifests = MANIFESTS
        .replace("DNS_SERVICE", DNS_SERVICE)
        .replace("ADDRESS", &ADDRESS.to_string());
    server
        .kubectl_with_input(&["apply", "-f", "-"], &manifests)
        .expect_success();
    vec![coredns(server), cert_manager::start(server)]
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
