//! Several listeners with their own ports, certificates and namespaces; and the configuration file of smart-mqtt's TLS
//! plugin, used as a Secret.

use tests::clients::mosquitto::{Endpoint, Subscriber};
use tests::pki::Ca;

use crate::canary;
use crate::cluster::Cluster;
use crate::install;
use crate::listener::{Edge, HOST};

pub(crate) fn two_listeners_are_independent(cluster: &'static Cluster) {
    install::ensure(cluster);
    let one = Edge::prepare(cluster, "several-one");
    let other = Edge::prepare(cluster, "several-other");
    one.listener("  port: 8883");
    other.listener("  port: 18883\n  replicas: 1");
    // A second one in the first namespace, with a certificate of another CA.
    let factory = Ca::new("factory CA");
    one.certificate("factory-tls", &factory.leaf().dns(HOST).issue());
    one.listener_named(
        "factory",
        "  port: 8884\n  certificates: [{secretRef: {name: factory-tls}}]\n  replicas: 1",
    );
    let first = one.endpoint("edge", "edge-tls", &one.ca);
    let second = other.endpoint("edge", "edge-tls", &other.ca);
    let third = one.endpoint("factory", "factory-tls", &factory);
    let ports = [(&one, "edge"), (&other, "edge"), (&one, "factory")]
        .map(|(edge, name)| edge.address(name).port());
    assert_eq!(ports, [8883, 18883, 8884]);

    // Both listeners of a namespace have the same broker.
    let mut here = Subscriber::start(&third.subscribe("several/topic").qos(1));
    let mut there = Subscriber::start(&second.subscribe("several/topic").qos(1));
    publish(&first, "from the first");
    publish(&second, "from the second");
    assert_eq!(here.next_message(), "several/topic from the first");
    assert_eq!(there.next_message(), "several/topic from the second");
    assert_eq!((here.messages().len(), there.messages().len()), (1, 1));

    let wrong = Endpoint::tls(8883, &other.ca).host(&one.address("edge").ip().to_string());
    let refused = wrong.publish("several/topic").payload("x").send();
    assert!(
        !refused.status.success(),
        "the other namespace's CA is not trusted here"
    );
}

/// The plugin's `plugin.yaml`, with `host`, `port` and `pem`, is put into a Secret unchanged.
pub(crate) fn the_plugins_file_works_as_a_secret(cluster: &'static Cluster) {
    install::ensure(cluster);
    let edge = Edge::prepare(cluster, "plugin");
    let leaf = edge.leaf();
    canary::remember(&leaf.key_pem);
    // As the plugin's documentation shows it, which is not valid YAML, and in valid YAML.
    let pem = leaf.bundle();
    let indented = format!("  {}\n", pem.trim_end().replace('\n', "\n  "));
    for (number, pem) in [pem, indented].iter().enumerate() {
        let name = format!("plugin-tls-{number}");
        let file = cluster.desk().join("plugin.yaml");
        let text = format!("host: 0.0.0.0\nport: 8883\npem: |\n{pem}");
        std::fs::write(&file, text).expect("the folder is writable");
        let create = ["create", "secret", "generic", &name];
        edge.kubectl(&[&create[..], &["--from-file=pem=plugin.yaml"]].concat());
        std::fs::remove_file(&file).expect("the folder is writable");
        edge.listener(&format!(
            "  host: 0.0.0.0\n  port: 8883\n  certificates: [{{secretRef: {{name: {name}}}}}]"
        ));
        edge.wait("Ready", "True");
        edge.all_pods_serve("edge", &edge.ca, &leaf);
    }
    let endpoint = edge.endpoint("edge", "plugin-tls-1", &edge.ca);
    let mut subscriber = Subscriber::start(&endpoint.subscribe("several/topic").qos(1));
    publish(&endpoint, "unchanged");
    assert_eq!(subscriber.next_message(), "several/topic unchanged");
}

fn publish(at: &Endpoint, payload: &str) {
    at.publish("several/topic")
        .qos(1)
        .payload(payload)
        .send()
        .expect_success();
}
