//! What is said in several places agrees: versions, ports, and the files that the documents name.

use std::fs;

use mqtt_tls_config::yaml;
use serde_json::Value;

use crate::render::{kustomize, objects, root};

fn file(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn value(path: &str) -> Value {
    serde_json::to_value(yaml::value(&file(path)).unwrap()).unwrap()
}

#[test]
fn versions_are_the_programs() {
    let version = env!("CARGO_PKG_VERSION");
    let chart = value("charts/smart-mqtt-tls/Chart.yaml");
    assert_eq!(chart["version"], version);
    assert_eq!(chart["appVersion"], version);
    let base = kustomize("deploy/base").text;
    for program in ["operator", "terminator"] {
        let image = format!(": mqtt-tls-{program}:{version}\n");
        assert!(base.contains(&image), "deploy/base has no {image}");
    }
}

#[test]
fn the_sample_broker_is_the_one_that_is_tested() {
    let versions = file("tests/assets/versions");
    let version = versions
        .lines()
        .find_map(|line| line.strip_prefix("SMART_MQTT="))
        .unwrap();
    let sample = file("deploy/samples/smart-mqtt.yaml");
    let image = format!("image: smart-mqtt:{version}\n");
    assert!(sample.contains(&image), "the sample has no {image}");
}

#[test]
fn the_cluster_for_kind_opens_the_port_of_the_sample() {
    let cluster = value("deploy/overlays/kind/cluster.yaml");
    let mapping = &cluster["nodes"][0]["extraPortMappings"][0];
    let listeners = objects(&file("deploy/samples/node-port.yaml"));
    let node_port = &listeners[0]["spec"]["service"]["nodePort"];
    assert!(node_port.is_u64(), "{node_port}");
    assert_eq!(&mapping["containerPort"], node_port);
    assert_eq!(mapping["hostPort"], 30883);
}
