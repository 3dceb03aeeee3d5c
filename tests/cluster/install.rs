//! From an empty cluster to a first message: the README's commands, unchanged, with Helm and with kustomize.

use tests::wait::{eventually, eventually_ok};

use crate::cluster::{Cluster, SOON};
use crate::{canary, operator, readme};

/// The namespace in which the README installs the operator.
pub(crate) const NAMESPACE: &str = "smart-mqtt-tls";
/// The namespace in which the README creates its first listener.
pub(crate) const FIRST: &str = "iot";

/// Installs the operator with Helm if it is not installed. For journeys that need it.
#[track_caller]
pub(crate) fn ensure(cluster: &Cluster) {
    if !is_installed(cluster) {
        readme::run(cluster, "helm-install");
    }
}

fn is_installed(cluster: &Cluster) -> bool {
    cluster
        .try_helm(&["status", "smart-mqtt-tls", "-n", NAMESPACE])
        .status
        .success()
}

pub(crate) fn kustomize_and_a_first_message(cluster: &'static Cluster) {
    no_warning(&readme::run(cluster, "kustomize-install"));
    first_listener(cluster);
    first_message(cluster, "edge.crt");
    let theirs = ["-n", NAMESPACE, "create", "configmap", "theirs"];
    cluster.kubectl(&theirs);
    readme::run(cluster, "kustomize-uninstall");
    // The operator is gone, and its children keep working. Objects of others in its namespace stay.
    first_message(cluster, "edge.crt");
    cluster.kubectl(&["-n", NAMESPACE, "get", "configmap", "theirs"]);
    readme::run(cluster, "crd-uninstall");
    nothing_is_left(cluster);
    cluster.kubectl(&["delete", "namespace", FIRST]);
}

/// The operator is killed before the first listener: another one has to acquire the Lease before it becomes ready.
pub(crate) fn helm_and_a_first_message(cluster: &'static Cluster) {
    no_warning(&readme::run(cluster, "helm-install"));
    operator::kill(cluster);
    first_listener(cluster);
    first_message(cluster, "edge.crt");
    readme::run(cluster, "helm-test");
    readme::run(cluster, "cert-manager");
    first_message(cluster, "edge-ca.crt");
    readme::run(cluster, "issuer");
    first_message(cluster, "edge-ca.crt");
    canary::remember_secrets(cluster);
    cluster.kubectl(&["delete", "namespace", FIRST]);
}

/// Creates a broker and a listener with the README's commands.
fn first_listener(cluster: &Cluster) {
    no_warning(&readme::run(cluster, "broker"));
    no_warning(&readme::run(cluster, "first-listener"));
    canary::remember_secrets(cluster);
}

/// Sends a message through the Service with the README's commands; the client trusts `ca`.
fn first_message(cluster: &Cluster, ca: &str) {
    let forward = cluster.sh_in_background("port-forward", readme::commands("port-forward"));
    forward.wait_for_line("Forwarding from", SOON);
    let message = readme::commands("first-message").replace("edge.crt", ca);
    arrives(cluster, &message);
    forward.stop();
    // kubectl forwards to a pod. Devices use the Service's address, which is not in the certificate.
    let address = "jsonpath={.spec.clusterIP}";
    let address = cluster.kubectl(&["-n", FIRST, "get", "service", "edge-mqtts", "-o", address]);
    arrives(
        cluster,
        &message.replace("localhost", &format!("{address} --insecure")),
    );
}

fn arrives(cluster: &Cluster, message: &str) {
    // A renewed certificate may not be loaded yet.
    let finished = eventually_ok(SOON, "the message arrives", || {
        let finished = cluster.try_sh(message);
        let arrived = finished.stdout.contains("room/temperature 21.5");
        if arrived { Ok(finished) } else { Err(finished) }
    });
    no_warning(&finished.stderr);
}

#[track_caller]
fn no_warning(output: &str) {
    assert!(!output.contains("Warning"), "{output}");
}

/// Waits until no object of the installation is left.
#[track_caller]
pub(crate) fn nothing_is_left(cluster: &Cluster) {
    eventually(SOON, "nothing of the installation is left", || {
        let kinds = "namespaces,crds,clusterroles,clusterrolebindings";
        let all = cluster.kubectl(&["get", kinds, "-o", "name"]);
        let ours = |line: &&str| line.contains("mqtt-tls") || line.contains("mqtttlslistener");
        (all.lines().find(ours).is_none()).then_some(())
    });
}
