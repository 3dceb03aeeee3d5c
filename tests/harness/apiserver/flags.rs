//! The command lines of etcd and kube-apiserver, and the files that they need. It starts nothing.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;

use crate::assets;
use crate::pki::{Ca, KeyKind};

/// One line for each completed request, with names and verbs and without bodies, which keeps Secrets out.
const AUDIT_POLICY: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
# The server's own requests would be most of the log.
- {level: None, users: ['system:apiserver']}
- {level: None, nonResourceURLs: ['/healthz*', '/livez*', '/readyz*']}
- {level: Metadata}
";

/// Also logs request bodies, as administrators' audit logs do: a key in any object but a Secret would be in this log.
/// The node's frequent requests are logged with names and verbs only.
const AUDIT_POLICY_OF_A_NODE: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- {level: None, users: ['system:apiserver']}
- {level: None, nonResourceURLs: ['/healthz*', '/livez*', '/readyz*']}
- {level: Metadata, resources: [{group: '', resources: [secrets, nodes, nodes/status, serviceaccounts/token]}]}
- {level: Metadata, resources: [{group: coordination.k8s.io}, {group: authentication.k8s.io}]}
- {level: Request}
";

/// The Service network of a cluster; its first address is the API server's.
pub const SERVICE_CIDR: &str = "10.96.0.0/16";
const OWN_SERVICE: &str = "10.96.0.1";

/// The server's purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// On loopback, without controllers.
    Alone,
    /// The API server of a whole node.
    Node,
}

/// The files that [`write_files`] makes.
pub(super) const FILES: [&str; 7] = [
    "ca.crt",
    "audit-policy.yaml",
    "serving.crt",
    "serving.key",
    "kubelet-client.crt",
    "kubelet-client.key",
    "service-account.key",
];

pub(super) fn write_files(folder: &Path, ca: &Ca, ip: IpAddr, purpose: Purpose) {
    let write = |name: &str, text: &str| {
        fs::write(folder.join(name), text).expect("the folder is writable");
    };
    write("ca.crt", &ca.cert_pem());
    let audit = match purpose {
        Purpose::Alone => AUDIT_POLICY,
        Purpose::Node => AUDIT_POLICY_OF_A_NODE,
    };
    write("audit-policy.yaml", audit);
    let serving = ca
        .leaf()
        .common_name("kube-apiserver")
        .ip(&ip.to_string())
        .ip(OWN_SERVICE)
        .dns("localhost")
        .dns("kubernetes.default.svc")
        .issue();
    write("serving.crt", &serving.chain_pem);
    write("serving.key", &serving.key_pem);
    // For its calls to the kubelet: logs, exec and port-forward.
    let kubelet_client = ca
        .leaf()
        .common_name("kube-apiserver")
        .organizations(&["system:masters"])
        .client_auth()
        .issue();
    write("kubelet-client.crt", &kubelet_client.chain_pem);
    write("kubelet-client.key", &kubelet_client.key_pem);
    write(
        "service-account.key",
        &ca.leaf().key(KeyKind::Rsa2048).issue().key_pem,
    );
}

pub(super) fn etcd(folder: &Path, clients: SocketAddr, peers: SocketAddr) -> Command {
    let (clients, peers) = (format!("http://{clients}"), format!("http://{peers}"));
    let mut command = Command::new(assets::kubernetes("etcd"));
    command
        .arg("--data-dir")
        .arg(folder.join("etcd"))
        .args([
            "--listen-client-urls",
            &clients,
            "--advertise-client-urls",
            &clients,
        ])
        .args([
            "--listen-peer-urls",
            &peers,
            "--initial-advertise-peer-urls",
            &peers,
        ])
        .args(["--initial-cluster", &format!("default={peers}")])
        // The data is short-lived, so durability does not matter.
        .args(["--unsafe-no-fsync", "--log-level", "warn"]);
    command
}

pub(super) fn kube_apiserver(
    folder: &Path,
    addr: SocketAddr,
    etcd: SocketAddr,
    purpose: Purpose,
) -> Command {
    let mut command = Command::new(assets::kubernetes("kube-apiserver"));
    for (flag, file) in [
        ("--client-ca-file", "ca.crt"),
        ("--tls-cert-file", "serving.crt"),
        ("--tls-private-key-file", "serving.key"),
        ("--service-account-key-file", "service-account.key"),
        ("--service-account-signing-key-file", "service-account.key"),
        ("--audit-policy-file", "audit-policy.yaml"),
        ("--audit-log-path", "audit.log"),
        ("--cert-dir", "certs"),
    ] {
        command.arg(flag).arg(folder.join(file));
    }
    command
        .args(["--bind-address", &addr.ip().to_string()])
        .args(["--secure-port", &addr.port().to_string()])
        .args(["--etcd-servers", &format!("http://{etcd}")])
        .args(["--service-account-issuer", "https://kubernetes.default.svc"])
        .args(["--service-cluster-ip-range", SERVICE_CIDR])
        .args(["--profiling=false", "--shutdown-delay-duration=0s"]);
    match purpose {
        Purpose::Alone => alone(&mut command),
        Purpose::Node => for_a_node(&mut command, folder, addr),
    }
    command
}

fn alone(command: &mut Command) {
    command
        // Loopback cannot be advertised; this address is not used.
        .args(["--advertise-address", "192.0.2.1"])
        .args(["--endpoint-reconciler-type", "none"])
        .args(["--authorization-mode", "RBAC"])
        // It would reject pods until a controller, which does not run, has created the ServiceAccounts.
        .args(["--disable-admission-plugins", "ServiceAccount"]);
}

fn for_a_node(command: &mut Command, folder: &Path, addr: SocketAddr) {
    for (flag, file) in [
        ("--kubelet-certificate-authority", "ca.crt"),
        ("--kubelet-client-certificate", "kubelet-client.crt"),
        ("--kubelet-client-key", "kubelet-client.key"),
    ] {
        command.arg(flag).arg(folder.join(file));
    }
    command
        .args(["--advertise-address", &addr.ip().to_string()])
        .args(["--authorization-mode", "Node,RBAC"])
        .args(["--enable-admission-plugins", "NodeRestriction"])
        // The kubelet's certificate names its address, and no name resolves here.
        .args(["--kubelet-preferred-address-types", "InternalIP"])
        .arg("--allow-privileged=true");
}
