//! Users with the role `edit` in a namespace can create listeners there and nowhere else; users with `view` can read
//! them.

use tests::wait::eventually;

use crate::cluster::{Cluster, SOON};
use crate::install;
use crate::listener::Edge;

const NAMESPACE: &str = "editors";
const LISTENER: &str = "apiVersion: mqtt.smartboot.tech/v1alpha1\nkind: MqttTlsListener\nmetadata: {name: theirs}\n\
                        spec: {certificates: [{secretRef: {name: edge-tls}}], \
                        backend: {service: {name: smart-mqtt}}, replicas: 1}\n";

pub(crate) fn the_default_roles_apply_to_listeners(cluster: &'static Cluster) {
    install::ensure(cluster);
    let edge = Edge::start(cluster, NAMESPACE);
    for (user, role) in [("editor", "edit"), ("viewer", "view")] {
        let (role, user) = (format!("--clusterrole={role}"), format!("--user={user}"));
        edge.kubectl(&["create", "rolebinding", &user[7..], &role, &user]);
    }
    // The controller that aggregates the default roles takes a moment.
    eventually(SOON, "the viewer can read listeners", || {
        can_i(cluster, "viewer", NAMESPACE, "get").then_some(())
    });
    eventually(SOON, "the editor can create listeners", || {
        can_i(cluster, "editor", NAMESPACE, "create").then_some(())
    });
    for (user, namespace, verb) in [
        ("viewer", NAMESPACE, "create"),
        ("viewer", NAMESPACE, "delete"),
        ("editor", "default", "get"),
        ("editor", "default", "create"),
    ] {
        let is_allowed = can_i(cluster, user, namespace, verb);
        assert!(!is_allowed, "{user} can {verb} listeners in {namespace}");
    }
    cluster.apply_as("editor", NAMESPACE, LISTENER);
    edge.ready("theirs");
    let scale = ["scale", "mtl/theirs", "--replicas=0", "--as=editor"];
    edge.kubectl(&scale);
    edge.kubectl(&["delete", "mtl/theirs", "--as=editor"]);
}

fn can_i(cluster: &Cluster, user: &str, namespace: &str, verb: &str) -> bool {
    let user = format!("--as={user}");
    let args = ["auth", "can-i", verb, "mtl", "-n", namespace, &user, "-q"];
    cluster.try_kubectl(&args).status.success()
}
