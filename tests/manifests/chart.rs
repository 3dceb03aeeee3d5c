//! The chart itself: helm lint, its unit tests, and the agreement of generated and duplicated content.

use std::fs;
use std::path::Path;
use std::process::Command;

use mqtt_tls_config::yaml;
use serde_json::Value;
use tests::assets;
use tests::process::run;
use tests::workdir;

use crate::render::{
    LONG, case, chart, ci_values, helm, objects, samples, template, try_template, try_template_of,
};

/// Keys that a parent chart may set: Helm's own, and the `condition` of the dependency.
const OF_PARENTS: [&str; 2] = ["global", "enabled"];

/// Parses a file of the chart.
fn file(name: &str) -> Value {
    let text = fs::read_to_string(chart().join(name)).unwrap();
    serde_json::to_value(yaml::value(&text).unwrap()).unwrap()
}

#[test]
fn helm_lint_accepts_all_values() {
    for values in ci_values() {
        let mut command = helm();
        command
            .args(["lint", "--strict"])
            .arg(chart())
            .arg("--values")
            .arg(&values);
        let output = run(command, b"", LONG).expect_success();
        assert!(
            output.stdout.contains("0 chart(s) failed"),
            "{}: {}",
            case(&values),
            output.stdout
        );
    }
}

#[test]
fn unit_tests_pass() {
    let mut command = helm();
    command.args(["unittest", "--strict"]).arg(chart());
    let output = run(command, b"", LONG).expect_success().stdout;
    assert!(output.contains("Test Suites:"), "{output}");
}

#[test]
fn the_package_has_no_test_files() {
    let folder = workdir::scratch("package");
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
fn the_readme_is_generated_from_the_values() {
    let mut command = Command::new(assets::tool("helm-docs"));
    command
        .args(["--dry-run", "--log-level=warning"])
        .args(["--sort-values-order=file", "--chart-search-root"])
        .arg(chart());
    let output = run(command, b"", LONG).expect_success();
    assert!(output.stderr.is_empty(), "{}", output.stderr);
    let undocumented = output.stdout.lines().find(|line| line.ends_with("|  |"));
    assert_eq!(undocumented, None);
    let wanted = format!("{}\n", output.stdout.trim_end());
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

/// The schema itself rejects values that it does not have.
#[test]
fn the_schema_matches_the_values_and_describes_each() {
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
        faults.push(format!("{path}: the schema allows unknown keys"));
    }
    for (name, schema) in properties {
        let is_of_parents = path.is_empty() && OF_PARENTS.contains(&name.as_str());
        let path = format!("{path}.{name}");
        match values.get(name) {
            None if !is_of_parents => faults.push(format!(
                "{path} is in values.schema.json, but not in values.yaml"
            )),
            Some(_) if is_of_parents => {
                faults.push(format!(
                    "{path} is for parent charts, but is in values.yaml"
                ));
            }
            _ => {}
        }
        if schema.get("description").is_none() && schema.get("$ref").is_none() {
            faults.push(format!("{path} has no description in values.schema.json"));
        }
        compare(&path, schema, &values[name], faults);
    }
}

/// Copies the chart into a folder.
fn copy_to(folder: &Path) {
    let mut command = Command::new("cp");
    command.arg("-r").arg(chart()).arg(folder);
    run(command, b"", LONG).expect_success();
}

#[test]
fn a_parent_chart_can_enable_it_by_a_condition() {
    let parent = workdir::scratch("parent");
    fs::create_dir(parent.join("charts")).unwrap();
    copy_to(&parent.join("charts"));
    let version = env!("CARGO_PKG_VERSION");
    let about = format!(
        "{{apiVersion: v2, name: parent, version: 1.0.0, dependencies: [{{name: smart-mqtt-tls, \
         version: {version}, condition: smart-mqtt-tls.enabled}}]}}"
    );
    fs::write(parent.join("Chart.yaml"), about).unwrap();
    let rendered = |enabled: bool| {
        let set = format!("smart-mqtt-tls.enabled={enabled}");
        let output = try_template_of(&parent, &["--set", &set]);
        output.expect_success().stdout.matches("\nkind: ").count()
    };
    assert!(rendered(true) > 7);
    assert_eq!(rendered(false), 0);
}

/// Collects the paths of all values and groups, in the syntax of `--set`.
fn paths(prefix: &str, values: &Value, found: &mut Vec<String>) {
    for (name, value) in values.as_object().into_iter().flatten() {
        let path = format!("{prefix}{name}");
        paths(&format!("{path}."), value, found);
        found.push(path);
    }
}

/// Collects the paths of nulls, of empty variables, and of network policy rules without ports.
fn empty(path: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                empty(&format!("{path}[{index}]"), item, found);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                let path = format!("{path}.{name}");
                empty(&path, field, found);
                let is_empty = match (name.as_str(), field) {
                    ("value", Value::String(text)) => text.is_empty(),
                    ("ports", Value::Array(ports)) => ports.is_empty(),
                    _ => field.is_null(),
                };
                if is_empty {
                    found.push(path);
                }
            }
        }
        _ => {}
    }
}

#[test]
fn a_null_value_is_rejected_by_name_or_leaves_nothing_empty() {
    let mut all = Vec::new();
    paths("", &file("values.yaml"), &mut all);
    assert!(all.len() > 50, "{all:?}");
    let on =
        ["podMonitor", "rules", "dashboard"].map(|what| format!("monitoring.{what}.enabled=true"));
    let on = on.join(",");
    let mut faults = Vec::new();
    for path in all {
        let output = try_template(&["--set", &on, "--set", &format!("{path}=null")]);
        if output.status.success() {
            for object in objects(&output.stdout) {
                let kind = object["kind"].as_str().unwrap();
                empty(&format!("{path}: {kind}"), &object, &mut faults);
            }
        } else if !output.stderr.contains(&format!("{path} must not be null")) {
            faults.push(format!("{path}: {}", output.stderr));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// A definition with features that the current one does not have.
const OTHER_DEFINITION: &str = "
spec:
  versions:
  - name: v1alpha1
    schema:
      openAPIV3Schema:
        properties:
          spec:
            properties:
              map: {additionalProperties: {properties: {known: {type: string}}}}
              all: {additionalProperties: true}
              open: {x-kubernetes-preserve-unknown-fields: true, properties: {known: {type: string}}}
";

#[test]
fn keys_of_listeners_are_checked_against_the_definition() {
    let folder = workdir::scratch("definition");
    copy_to(&folder);
    let chart = folder.join("smart-mqtt-tls");
    let definition = chart.join("crds/mqtttlslisteners.yaml");
    let check = |key: &str| {
        let set = format!("listeners.edge.spec.{key}=x");
        try_template_of(&chart, &["--set", &set])
    };
    fs::write(&definition, OTHER_DEFINITION).unwrap();
    for good in ["map.any.known", "all.any.thing", "open.any.thing"] {
        check(good).expect_success();
    }
    for (bad, known) in [("map.any.thing", "known"), ("thing", "all, map, open")] {
        let output = check(bad).stderr;
        let wanted = format!("listeners.edge.spec.{bad}: unknown key; use one of {known}");
        assert!(output.contains(&wanted), "{output}");
    }
    // A definition without the version is an error.
    fs::write(&definition, OTHER_DEFINITION.replace("v1alpha1", "v1")).unwrap();
    let output = check("thing").stderr;
    assert!(output.contains("has no version v1alpha1"), "{output}");
}

/// Keys are checked against the same definition, so it accepts each key of the samples.
#[test]
fn listeners_of_the_samples_are_accepted_as_values() {
    let all = samples("iot").into_iter().flat_map(|it| it.objects());
    let listeners = all.filter(|object| object["kind"] == "MqttTlsListener");
    let listeners: serde_json::Map<String, Value> = listeners
        .enumerate()
        .map(|(index, object)| {
            (
                format!("l{index}"),
                serde_json::json!({"spec": object["spec"]}),
            )
        })
        .collect();
    let count = listeners.len();
    assert!(count > 3, "{count}");
    let values = workdir::scratch("samples").join("values.yaml");
    fs::write(
        &values,
        serde_json::json!({"listeners": listeners}).to_string(),
    )
    .unwrap();
    let rendered = template("samples", &["--values", values.to_str().unwrap()]).objects();
    let made = rendered
        .iter()
        .filter(|object| object["kind"] == "MqttTlsListener");
    assert_eq!(made.count(), count);
}

#[test]
fn alerts_and_dashboard_are_rendered_unchanged() {
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
fn an_old_cluster_is_rejected() {
    let output = try_template(&["--kube-version", "1.31.9"]);
    assert!(!output.status.success());
    assert!(output.stderr.contains(">=1.32.0"), "{}", output.stderr);
}
