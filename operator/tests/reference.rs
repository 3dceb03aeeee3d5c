//! `deploy/reference.md` is made of the resource definition and of the reasons below, and is compared here;
//! `UPDATE=1` writes it anew. Each reason that the programs know is in it, and no other.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

#[path = "support/reasons.rs"]
mod reasons;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use mqtt_tls_operator::crd::{self, MqttTlsListener};
use reasons::{CONDITIONS, REASONS};
use serde_json::Value;

/// Where reasons are given, in the programs' own words.
const SOURCES: [&str; 9] = [
    "operator/src/call.rs",
    "operator/src/plan.rs",
    "operator/src/plan/certificate.rs",
    "operator/src/plan/checks.rs",
    "operator/src/plan/conditions.rs",
    "operator/src/plan/config.rs",
    "operator/src/plan/unread.rs",
    "operator/src/apply.rs",
    "terminator/src/certificate.rs",
];

/// Words in capitals there that are no reasons: kinds, types and statuses.
const NO_REASONS: [&str; 10] = [
    "Certificate",
    "ExternalName",
    "False",
    "MqttTlsListener",
    "Pod",
    "PreconditionFailed",
    "Secret",
    "Service",
    "True",
    "Unknown",
];

/// Kubernetes' own types, which its documentation tells.
const NOT_UNFOLDED: [&str; 3] = [
    "spec.pod.affinity",
    "spec.pod.tolerations[]",
    "spec.pod.topologySpreadConstraints[]",
];

const EXAMPLE: &str = "\
apiVersion: mqtt.smartboot.tech/v1alpha1
kind: MqttTlsListener
metadata: {name: edge, namespace: iot}
spec:
  port: 8883
  certificates:
  - secretRef: {name: edge-tls}
  - secretRef: {name: factory-tls}
  clientAuth:
    mode: Optional
    caRef: {kind: ConfigMap, name: device-ca, key: ca.crt}
  backend:
    service: {name: smart-mqtt, port: 1883}
  replicas: 3
  service:
    type: LoadBalancer
    externalTrafficPolicy: Local
    loadBalancerSourceRanges: [192.0.2.0/24]
  pod:
    resources:
      requests: {cpu: 500m, memory: 256Mi}
      limits: {memory: 2Gi}
    priorityClassName: devices
";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

#[test]
fn the_reference_is_what_the_definition_says() {
    let wanted = reference();
    let path = root().join("deploy/reference.md");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &wanted).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "deploy/reference.md is not up to date: run this test with UPDATE=1"
    );
}

#[test]
fn the_example_reads() {
    let read =
        |text| mqtt_tls_config::yaml::value(text).and_then(mqtt_tls_config::yaml::from_value);
    let listener: MqttTlsListener = read(EXAMPLE).unwrap();
    assert_eq!(listener.spec.replicas, 3);
}

#[test]
fn every_reason_is_told_and_no_other() {
    let told: BTreeSet<&str> = REASONS.iter().map(|one| one.name).collect();
    assert_eq!(told.len(), REASONS.len(), "each once");
    let conditions: BTreeSet<&str> = CONDITIONS.iter().map(|(name, _)| *name).collect();
    let mut known = BTreeSet::new();
    let texts: Vec<String> = SOURCES
        .iter()
        .map(|file| fs::read_to_string(root().join(file)).unwrap())
        .collect();
    for text in &texts {
        let before_tests = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        known.extend(words(before_tests));
    }
    for no_reason in NO_REASONS {
        known.remove(no_reason);
    }
    // The type of a condition that is true is its reason, too.
    known.retain(|word| !conditions.contains(word));
    assert_eq!(known, told);
}

/// Literals that are one word in capitals, such as `"MissingKey"`.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split('"').skip(1).step_by(2).filter(|literal| {
        literal.len() > 2
            && literal.starts_with(|first: char| first.is_ascii_uppercase())
            && literal.chars().all(|letter| letter.is_ascii_alphabetic())
            && literal.chars().any(|letter| letter.is_ascii_lowercase())
    })
}

fn reference() -> String {
    let text = crd::yaml();
    let read =
        |text| mqtt_tls_config::yaml::value(text).and_then(mqtt_tls_config::yaml::from_value);
    let crd: Value = read(&text).unwrap();
    let version = &crd["spec"]["versions"][0];
    let schema = &version["schema"]["openAPIV3Schema"];
    let mut page = format!(
        "# MqttTlsListener\n\n\
         Generated from the resource definition; `UPDATE=1 cargo test --workspace --all-features --test reference` \
         writes it.\n\n\
         API group `{}`, version `{}`, short name `mtl`, category `smart-mqtt`, namespaced.\n\n\
         ```yaml\n{EXAMPLE}```\n\n## spec\n\n",
        crd["spec"]["group"].as_str().unwrap(),
        version["name"].as_str().unwrap(),
    );
    fields(&mut page, "spec", &schema["properties"]["spec"]);
    page.push_str("\n## status\n\nWritten by the operator.\n\n");
    fields(&mut page, "status", &schema["properties"]["status"]);
    page.push_str("\n## Conditions\n\n| condition | true when |\n|---|---|\n");
    for (name, meaning) in CONDITIONS {
        writeln!(page, "| `{name}` | {meaning} |").unwrap();
    }
    page.push_str(
        "\n## Reasons\n\nA condition that is true has its own name as its reason, or one that says more. The \
         message names the object and the key.\n\n| reason | condition | what it means | what to do |\n\
         |---|---|---|---|\n",
    );
    for one in REASONS {
        let conditions = one
            .conditions
            .map_or_else(String::new, |name| format!("`{name}`"));
        writeln!(
            page,
            "| `{}` | {conditions} | {} | {} |",
            one.name, one.means, one.to_do
        )
        .unwrap();
    }
    page
}

fn fields(page: &mut String, path: &str, schema: &Value) {
    page.push_str("| field | type | default | bounds | |\n|---|---|---|---|---|\n");
    let mut rules = Vec::new();
    rows(page, &mut rules, path, schema);
    if !rules.is_empty() {
        page.push_str("\nBeyond that the API server refuses, with these words:\n\n");
    }
    for (path, message) in rules {
        writeln!(page, "- `{path}`: {message}").unwrap();
    }
}

/// A row for each field below `path`, and what its rules say.
fn rows(page: &mut String, rules: &mut Vec<(String, String)>, path: &str, schema: &Value) {
    for rule in schema["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
    {
        rules.push((
            path.to_owned(),
            rule["message"].as_str().unwrap().to_owned(),
        ));
    }
    let required: Vec<&str> = strings(&schema["required"]);
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let is_list = field["type"] == "array";
        let default = match &field["default"] {
            Value::Null if required.contains(&name.as_str()) => "**required**".to_owned(),
            Value::Null => String::new(),
            default => format!("`{default}`"),
        };
        writeln!(
            page,
            "| `{path}` | {} | {default} | {} | {} |",
            type_of(field),
            bounds(field),
            description(field)
        )
        .unwrap();
        let (inner, below) = if is_list {
            (&field["items"], format!("{path}[]"))
        } else {
            (field, path.clone())
        };
        if is_list {
            for rule in field["x-kubernetes-validations"]
                .as_array()
                .into_iter()
                .flatten()
            {
                rules.push((path.clone(), rule["message"].as_str().unwrap().to_owned()));
            }
        }
        if !NOT_UNFOLDED.contains(&below.as_str()) {
            rows(page, rules, &below, inner);
        }
    }
}

fn type_of(field: &Value) -> String {
    match field["type"].as_str() {
        Some("array") => format!("list of {}", type_of(&field["items"])),
        Some("object") if field["additionalProperties"].is_object() => "map".to_owned(),
        Some(name) => name.to_owned(),
        None => "integer or string".to_owned(),
    }
}

fn bounds(field: &Value) -> String {
    let mut told = Vec::new();
    let values = strings(&field["enum"]);
    if !values.is_empty() {
        told.push(
            values
                .iter()
                .map(|value| format!("`{value}`"))
                .collect::<Vec<_>>()
                .join(", "),
        );
    }
    for (least, most, of) in [
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " entries"),
        ("minProperties", "maxProperties", " entries"),
    ] {
        match (field[least].as_f64(), field[most].as_f64()) {
            (Some(least), Some(most)) => told.push(format!("{least} to {most}{of}")),
            (None, Some(most)) => told.push(format!("at most {most}{of}")),
            (Some(least), None) => told.push(format!("at least {least}{of}")),
            (None, None) => {}
        }
    }
    if let Some(pattern) = field["pattern"].as_str() {
        told.push(format!("`{}`", pattern.replace('|', "\\|")));
    }
    told.join("; ")
}

fn description(field: &Value) -> String {
    let text = field["description"].as_str().unwrap_or_default();
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|")
}

fn strings(value: &Value) -> Vec<&str> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}
