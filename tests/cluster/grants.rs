//! A listener serves a certificate of another namespace from the moment at which its owner permits that, follows its renewals, and goes on for a
//! while after the permission was withdrawn, and no longer.

use tests::assets;
use tests::clients::mosquitto::{Endpoint, Subscriber};
use tests::pki::Ca;

use crate::cluster::Cluster;
use crate::install;
use crate::listener::{Edge, HOST, sends};

const DEFINITION: &str = "crd/referencegrants.gateway.networking.k8s.io";

const NAMESPACE: &str = "granted";

pub(crate) fn a_certificate_of_another_namespace_is_served_while_it_is_granted(
    cluster: &'static Cluster,
) {
    install::ensure(cluster);
    let owner = Edge {
        cluster,
        namespace: cluster.namespace("certificates"),
        ca: Ca::new("owner"),
        ip: std::sync::OnceLock::new(),
    };
    let edge = Edge::prepare(cluster, NAMESPACE);
    owner.certificate("edge-tls", &owner.leaf());
    let serve_for = |grace: &str| {
        edge.listener(&format!(
            "  referenceGrace: {grace}\n  certificates: [{{secretRef: {{namespace: certificates, name: edge-tls}}}}]"
        ));
    };
    serve_for("24h");
    let permitted = |reason: &str| {
        edge.wait_for("edge", reason, |it| {
            it.type_ == "ResolvedRefs" && it.reason == reason
        })
    };
    let refs = permitted("RefNotPermitted");
    let secret = "Secret certificates/edge-tls: no ReferenceGrant";
    assert!(refs.message.contains(secret), "{}", refs.message);
    assert!(edge.pods().is_empty(), "there is nothing to serve");

    let is_ours = define(cluster);
    grant(cluster);
    edge.ready("edge");
    edge.forwards("edge-mqtts");
    let address = edge.address("edge");
    let leaf = owner.ca.leaf().dns(HOST).ip(&address.ip().to_string());
    let leaf = leaf.issue();
    owner.certificate("edge-tls", &leaf);
    edge.all_pods_serve("edge", &owner.ca, &leaf);
    let at = Endpoint::tls(address.port(), &owner.ca).host(&address.ip().to_string());
    let mut device = Subscriber::start(&at.subscribe("state").id("device").qos(1));

    // What is served stays for a time, and pods that start have it, too.
    let withdraw = ["delete", "referencegrants", "iot-listeners"];
    owner.kubectl(&withdraw);
    let refs = permitted("RefNotPermitted");
    let stays = "stays in use until 20";
    assert!(refs.message.contains(stays), "{}", refs.message);
    assert!(sends(&at));
    assert_eq!(device.next_message(), "state here");
    // Otherwise the pods wait for it.
    drop(device);
    serve_for("0s");
    edge.wait("Ready", "False");
    edge.none_runs();
    grant(cluster);
    permitted("ResolvedRefs");
    edge.ready("edge");
    edge.all_pods_serve("edge", &owner.ca, &leaf);
    if is_ours {
        cluster.kubectl(&["delete", DEFINITION]);
    }
}

/// Installs the definition of ReferenceGrants, unless the cluster has it.
fn define(cluster: &Cluster) -> bool {
    if cluster.try_kubectl(&["get", DEFINITION]).status.success() {
        return false;
    }
    let definition = std::fs::read_to_string(assets::reference_grant_crd());
    cluster.replace(
        NAMESPACE,
        &definition.expect("tests/setup has installed it"),
    );
    let wait = "--for=condition=Established";
    cluster.kubectl(&["wait", wait, "--timeout=60s", DEFINITION]);
    true
}

/// Permits the listeners as README says.
fn grant(cluster: &Cluster) {
    cluster.apply(
        "certificates",
        &format!(
            "apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {{name: iot-listeners, namespace: certificates}}
spec:
  from: [{{group: mqtt.smartboot.tech, kind: MqttTlsListener, namespace: {NAMESPACE}}}]
  to: [{{group: '', kind: Secret}}]
"
        ),
    );
}
