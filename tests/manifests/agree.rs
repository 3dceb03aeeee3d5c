//! Values in several places agree: versions, ports, defaults and bounds.

use std::fs;
use std::process::Command;

use mqtt_tls_config::yaml;
use serde_json::Value;
use tests::process::{Finished, run};
use tests::programs;

use crate::render::{LONG, kustomize, objects, root, template, try_template};

fn file(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn value(path: &str) -> Value {
    serde_json::to_value(yaml::value(&file(path)).unwrap()).unwrap()
}

#[test]
fn versions_match_the_programs() {
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
fn the_sample_broker_is_the_tested_one() {
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

/// Runs `run` without a cluster.
fn operator(args: &[&str]) -> Finished {
    let mut command = Command::new(programs::operator());
    command
        .args(["run", "--terminator-image", "a"])
        .args(args)
        .env("KUBECONFIG", "/nonexistent")
        .env_remove("KUBERNETES_SERVICE_HOST");
    run(command, b"", LONG)
}

/// The chart omits a variable whose value is null, which must not change the behaviour.
#[test]
fn the_charts_defaults_match_the_operators() {
    let help = operator(&["--help"]).expect_success().stdout;
    let help: Vec<&str> = help.split_whitespace().collect();
    let help = help.join(" ");
    let objects = template("defaults", &[]).objects();
    let deployment = objects.iter().find(|it| it["kind"] == "Deployment");
    let env = &deployment.unwrap()["spec"]["template"]["spec"]["containers"][0]["env"];
    let mut compared = 0;
    for variable in env.as_array().unwrap() {
        let name = variable["name"].as_str().unwrap();
        // In a pod the log is read by machines.
        if name == "MQTT_TLS_LOG_FORMAT" || !help.contains(&format!("[env: {name}=] [default: ")) {
            continue;
        }
        let value = variable["value"].as_str().unwrap();
        let wanted = format!("[env: {name}=] [default: {value}]");
        assert!(help.contains(&wanted), "{wanted}: {help}");
        compared += 1;
    }
    assert_eq!(compared, 5, "{help}");
}

#[test]
fn chart_and_operator_accept_the_same_lease_durations() {
    let durations = [
        ("5s", true),
        ("15s", true),
        ("599s", true),
        ("600s", true),
        ("1m", true),
        ("9m59s", true),
        ("1m 30s", true),
        ("10m", true),
        ("4s", false),
        ("601s", false),
        ("10m 1s", false),
        ("11m", false),
        ("15", false),
        ("5500ms", false),
        ("0s", false),
    ];
    for (duration, is_good) in durations {
        let code = operator(&["--lease-duration", duration]).status.code();
        assert_eq!(code, Some(if is_good { 69 } else { 2 }), "{duration}");
        let set = format!("leaseDuration={duration}");
        let chart = try_template(&["--set-string", &set]);
        assert_eq!(
            chart.status.success(),
            is_good,
            "{duration}: {}",
            chart.stderr
        );
    }
}
