//! The chart by itself: Helm's own judgement, its unit tests, and that what is generated or said twice agrees.

use std::fs;
use std::process::Command;

use mqtt_tls_config::yaml;
use serde_json::Value;
use tests::assets;
use tests::process::run;

use crate::render::{LONG, case, chart, ci_values, helm, template, try_template};

/// A file of the chart as a value.
fn file(name: &str) -> Value {
    let text = fs::read_to_string(chart().join(name)).unwrap();
    serde_json::to_value(yaml::value(&text).unwrap()).unwrap()
}

#[test]
fn helm_finds_no_fault_with_any_values() {
    for values in ci_values() {
        let mut command = helm();
        command
            .args(["lint", "--strict"])
            .arg(chart())
            .arg("--values")
            .arg(&values);
        let said = run(command, b"", LONG).expect_success();
        assert!(
            said.stdout.contains("0 chart(s) failed"),
            "{}: {}",
            case(&values),
            said.stdout
        );
    }
}

#[test]
fn its_unit_tests_pass() {
    let mut command = helm();
    command.args(["unittest", "--strict"]).arg(chart());
    let said = run(command, b"", LONG).expect_success().stdout;
    assert!(said.contains("Test Suites:"), "{said}");
}

#[test]
fn it_packs_without_what_only_tests_need() {
    let folder = tests::workdir::scratch("package");
    let mut command = helm();
    command
        .args(["package", "--destination"])
        .arg(&folder)
        .arg(chart());
    run(command, b"", LONG).expect_success();
    let archive = format!("smart-mqtt-tls-{}.tgz", env!("CARGO_PKG_VERSION"));
    let mut command = Command::new("tar");
    command.arg("-tzf").arg(folder.join(archive));
    let files = run(command, b"", LONG).expect_success().stdout;
    for wanted in [
        "crds/mqtttlslisteners.yaml",
        "files/alerts.yaml",
        "files/dashboard.json",
        "values.schema.json",
        "README.md",
    ] {
        assert!(
            files.contains(&format!("smart-mqtt-tls/{wanted}\n")),
            "{files}"
        );
    }
    for unwanted in ["/ci/", "/tests/", "gotmpl"] {
        assert!(!files.contains(unwanted), "{files}");
    }
}

#[test]
fn the_readme_is_made_of_the_values() {
    let mut command = Command::new(assets::tool("helm-docs"));
    command
        .args(["--dry-run", "--log-level=warning"])
        .args(["--sort-values-order=file", "--chart-search-root"])
        .arg(chart());
    let said = run(command, b"", LONG).expect_success();
    assert!(said.stderr.is_empty(), "{}", said.stderr);
    let undocumented = said.stdout.lines().find(|line| line.ends_with("|  |"));
    assert_eq!(undocumented, None);
    let wanted = format!("{}\n", said.stdout.trim_end());
    let path = chart().join("README.md");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &wanted).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "the chart's README.md is stale: run this test with UPDATE=1"
    );
}

/// That every value is in the schema, the schema sees to itself.
#[test]
fn the_schema_has_what_the_values_have_and_tells_what_it_is() {
    let schema = file("values.schema.json");
    let mut faults = Vec::new();
    compare("", &schema, &file("values.yaml"), &mut faults);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn compare(path: &str, schema: &Value, values: &Value, faults: &mut Vec<String>) {
    let Some(properties) = schema["properties"].as_object() else {
        return;
    };
    if schema["additionalProperties"] != Value::Bool(false) {
        faults.push(format!("{path}: the schema lets unknown keys in"));
    }
    for (name, schema) in properties {
        // Helm puts it into the values of each chart.
        if path.is_empty() && name == "global" {
            continue;
        }
        let path = format!("{path}.{name}");
        if values.get(name).is_none() {
            faults.push(format!(
                "{path} is in values.schema.json and not in values.yaml"
            ));
        }
        if schema.get("description").is_none() && schema.get("$ref").is_none() {
            faults.push(format!("{path} has no description in values.schema.json"));
        }
        compare(&path, schema, &values[name], faults);
    }
}

#[test]
fn alerts_and_dashboard_are_handed_on_as_they_are() {
    let on = ["rules", "dashboard"].map(|what| format!("monitoring.{what}.enabled=true"));
    let objects = template("monitoring", &["--set", &on[0], "--set", &on[1]]).objects();
    let of_kind = |kind: &str| {
        objects
            .iter()
            .find(|object| object["kind"] == kind)
            .unwrap()
    };
    assert_eq!(of_kind("PrometheusRule")["spec"], file("files/alerts.yaml"));
    let dashboard = &of_kind("ConfigMap")["data"]["smart-mqtt-tls.json"];
    let text = fs::read_to_string(chart().join("files/dashboard.json")).unwrap();
    assert_eq!(dashboard.as_str().unwrap().trim_end(), text.trim_end());
}

#[test]
fn an_old_cluster_is_refused() {
    let said = try_template(&["--kube-version", "1.31.9"]);
    assert!(!said.status.success());
    assert!(said.stderr.contains(">=1.32.0"), "{}", said.stderr);
}
