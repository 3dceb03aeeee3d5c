//! From nothing to a message: the README's commands, as they stand, by Helm and by kustomize.

use tests::wait::{eventually, eventually_ok};

use crate::cluster::{Cluster, SOON};
use crate::{canary, operator, readme};

/// Where the README installs the operator.
pub(crate) const NAMESPACE: &str = "smart-mqtt-tls";
/// Where the README makes its first listener.
pub(crate) const FIRST: &str = "iot";

/// Sees to it that the operator is there, by Helm. For journeys that begin with it.
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
    // The operator is gone, and what it has made goes on. What others have in its namespace stays.
    first_message(cluster, "edge.crt");
    cluster.kubectl(&["-n", NAMESPACE, "get", "configmap", "theirs"]);
    readme::run(cluster, "crd-uninstall");
    nothing_is_left(cluster);
    cluster.kubectl(&["delete", "namespace", FIRST]);
}

/// The operator is killed on the way: another has to take the Lease over before anything becomes ready.
pub(crate) fn helm_and_a_first_message(cluster: &'static Cluster) {
    no_warning(&readme::run(cluster, "helm-install"));
    operator::kill(cluster);
    first_listener(cluster);
    first_message(cluster, "edge.crt");
    readme::run(cluster, "cert-manager");
    first_message(cluster, "edge-ca.crt");
    canary::remember_secrets(cluster);
    cluster.kubectl(&["delete", "namespace", FIRST]);
}

/// A broker and a listener, with the README's commands.
fn first_listener(cluster: &Cluster) {
    no_warning(&readme::run(cluster, "broker"));
    no_warning(&readme::run(cluster, "first-listener"));
    canary::remember_secrets(cluster);
}

/// By the Service, with the README's commands; `ca` is what the client trusts.
fn first_message(cluster: &Cluster, ca: &str) {
    let forward = cluster.sh_in_background("port-forward", readme::commands("port-forward"));
    forward.wait_for_line("Forwarding from", SOON);
    let message = readme::commands("first-message").replace("edge.crt", ca);
    arrives(cluster, &message);
    forward.stop();
    // What kubectl forwards goes to a pod. Devices go by the Service's own address, which is not in the certificate.
    let address = "jsonpath={.spec.clusterIP}";
    let address = cluster.kubectl(&["-n", FIRST, "get", "service", "edge-mqtts", "-o", address]);
    arrives(
        cluster,
        &message.replace("localhost", &format!("{address} --insecure")),
    );
}

fn arrives(cluster: &Cluster, message: &str) {
    // A renewed certificate may be on its way.
    let said = eventually_ok(SOON, "the message arrives", || {
        let finished = cluster.try_sh(message);
        let arrived = finished.stdout.contains("room/temperature 21.5");
        if arrived { Ok(finished) } else { Err(finished) }
    });
    no_warning(&said.stderr);
}

#[track_caller]
fn no_warning(said: &str) {
    assert!(!said.contains("Warning"), "{said}");
}

/// Of what the installation made, whatever was made by whom.
#[track_caller]
pub(crate) fn nothing_is_left(cluster: &Cluster) {
    eventually(SOON, "nothing of the installation is left", || {
        let kinds = "namespaces,crds,clusterroles,clusterrolebindings";
        let all = cluster.kubectl(&["get", kinds, "-o", "name"]);
        let ours = |line: &&str| line.contains("mqtt-tls") || line.contains("mqtttlslistener");
        (all.lines().find(ours).is_none()).then_some(())
    });
}
