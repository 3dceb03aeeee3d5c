//! A configuration that all pods refuse: they keep what they serve, and pods that replace them serve the same.

use tests::clients::tls::Connector;

use crate::cluster::Cluster;
use crate::install;
use crate::listener::{Edge, HOST};

pub(crate) fn pods_that_are_replaced_serve_what_was_accepted(cluster: &'static Cluster) {
    install::ensure(cluster);
    let edge = Edge::start(cluster, "refused");
    let connector = Connector::new(&edge.ca).server_name(HOST);
    let is_served = || {
        let session = connector.connect_mqtt(edge.address("edge"), "refused-client");
        cluster
            .block_on(session)
            .expect("the broker accepts a client");
    };
    is_served();
    edge.wait("CertificateServed", "True");
    // No pod has this address.
    edge.listener("  host: 192.0.2.1");
    edge.wait("CertificateServed", "False");
    is_served();
    let old = edge.pods();
    edge.kubectl(&["rollout", "restart", "deployment/edge-mqtts"]);
    edge.kubectl(&[
        "rollout",
        "status",
        "deployment/edge-mqtts",
        "--timeout=120s",
    ]);
    let new = edge.pods();
    assert!(new.iter().all(|pod| !old.contains(pod)), "{new:?}");
    is_served();
    let refused = edge.wait("CertificateServed", "False");
    assert_eq!(refused.reason, "ConfigurationRefused");

    edge.listener("");
    edge.wait("CertificateServed", "True");
    edge.settled();
    is_served();
    assert_eq!(edge.pods(), new, "the way back replaces no pod");
}
