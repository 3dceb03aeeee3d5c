//! Generates `deploy/reference.md` from the CustomResourceDefinition and the operator's conditions, reasons and metrics,
//! and compares it; `UPDATE=1` writes it. It must contain every reason and metric, and no other.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

#[path = "support/generated.rs"]
mod generated;

use std::fmt::Write as _;

use generated::assert_current;
use mqtt_tls_operator::crd::{self, MqttTlsListener, MqttTlsListenerStatus};
use mqtt_tls_operator::kinds::Kind;
use mqtt_tls_operator::metrics::Metrics;
use mqtt_tls_operator::plan::reason::{ConditionType, Reason};
use prometheus_client::registry::Registry;
use serde_json::Value;

/// Fields with types of Kubernetes, which Kubernetes documents: path and name of the type.
const OF_KUBERNETES: [(&str, &str); 4] = [
    ("spec.pod.affinity", "Affinity"),
    ("spec.pod.tolerations[]", "Toleration"),
    (
        "spec.pod.topologySpreadConstraints[]",
        "TopologySpreadConstraint",
    ),
    ("status.conditions[]", "Condition"),
];

/// Explanations that do not fit into a table's row.
const CHAPTERS: &str = include_str!("support/chapters.md");

const EXAMPLE: &str = "\
apiVersion: mqtt.smartboot.tech/v1alpha1
kind: MqttTlsListener
metadata: {name: edge, namespace: iot}
spec:
  port: 8883
  certificates:
  - secretRef: {name: edge-tls}
  - secretRef: {name: factory-tls}
  trial:
    steps: [1, 10, 100]
    minHandshakes: 1000
    minStep: 1h
    maxStep: 48h
    remember: 24h
  clientAuth:
    mode: Optional
    caRef: {kind: ConfigMap, name: device-ca, key: ca.crt}
    caRefs:
    - {kind: ConfigMap, name: new-device-ca}
    acceptServerPurpose: false
    rules:
    - {field: san.dns, suffix: .devices.example.com}
    - {field: cn, exact: gateway}
    revocation:
      crlRefs:
      - {kind: ConfigMap, name: device-crl, key: ca.crl}
      crlUrls:
      - {url: 'http://pki.example.com/devices.crl', refresh: 30m}
      check: Chain
      whenOutdated: Accept
      whenUnlisted: Refuse
  backend:
    service: {name: smart-mqtt, port: 1883}
  identity:
    userName: {template: '{cn}'}
    clientId: {template: '{cn}', action: Require}
    withoutCertificate: {userName: guest, clientIdPrefix: guest-}
  hosts:
  - names: [tenant-a.example.com, '*.tenant-a.example.com']
    certificates:
    - secretRef: {name: tenant-a-tls}
    clientAuth:
      mode: Require
      caRef: {kind: Secret, name: tenant-a-ca}
    identity:
      userName: {template: 'a/{san.dns}', mismatch: Overwrite}
    backend:
      service: {name: tenant-a-mqtt}
    tls:
      alpn:
        protocols: [{name: mqtt}]
  unknownNames: Refuse
  sharedNames: Refuse
  protocol: mqtt
  admin:
    connections: true
  tls:
    minVersion: Tls12
    suites:
    - TLS_AES_128_GCM_SHA256
    - TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
    - TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
    groups: [X25519MLKEM768, x25519, secp256r1]
    tickets: All
    recordSizeMax: 4096
    alpn:
      protocols:
      - name: mqtt
      - name: x-amzn-mqtt-ca
        backend:
          service: {name: aws-compatible}
  timeouts:
    handshake: 1m
    firstPacket: 20s
  limits:
    connections: 100000
    recheckCloses: 100
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

#[test]
fn the_reference_matches_the_definition() {
    assert_current("deploy/reference.md", &reference());
}

#[test]
fn the_example_is_valid() {
    assert_eq!(example().spec.replicas, 3);
}

fn example() -> MqttTlsListener {
    let value = mqtt_tls_config::yaml::value(EXAMPLE);
    value.and_then(mqtt_tls_config::yaml::from_value).unwrap()
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
         Generated from the CustomResourceDefinition by `UPDATE=1 cargo test --workspace --all-features --test \
         reference`; do not edit.\n\n\
         API group `{}`, version `{}`, short name `mtl`, category `smart-mqtt`, namespaced.\n\n\
         ```yaml\n{EXAMPLE}```\n\n## metadata\n\n",
        crd["spec"]["group"].as_str().unwrap(),
        version["name"].as_str().unwrap(),
    );
    for message in rules_of(schema) {
        writeln!(page, "- {message}").unwrap();
    }
    page.push_str("\n## spec\n\n");
    fields(&mut page, "spec", &schema["properties"]["spec"]);
    page.push_str("\n## status\n\nWritten by the operator.\n\n");
    fields(&mut page, "status", &schema["properties"]["status"]);
    page.push_str(CHAPTERS);
    page.push_str("\n## Conditions\n\n| condition | true when |\n|---|---|\n");
    for one in ConditionType::ALL {
        writeln!(page, "| `{}` | {} |", one.name(), one.meaning()).unwrap();
    }
    reasons(&mut page);
    page.push_str(&metrics());
    columns(&mut page, &version["additionalPrinterColumns"]);
    page
}

fn reasons(page: &mut String) {
    page.push_str(
        "\n## Reasons\n\nA true condition has its own name as the reason, unless there is a warning. The message names \
         the object and the key. `Ready` has the reason of the first false condition, or else of the first unknown \
         one.\n\n\
         | reason | condition | meaning | remedy |\n|---|---|---|---|\n",
    );
    let (events, reasons): (Vec<Reason>, Vec<Reason>) = Reason::ALL
        .into_iter()
        .partition(|one| one.conditions().is_empty());
    for one in reasons {
        let conditions = one.conditions().iter();
        let conditions: Vec<_> = conditions
            .map(|type_| format!("`{}`", type_.name()))
            .collect();
        let conditions = conditions.join(", ");
        let (name, meaning, remedy) = (one.name(), one.meaning(), one.remedy());
        writeln!(page, "| `{name}` | {conditions} | {meaning} | {remedy} |").unwrap();
    }
    page.push_str(
        "\n## Events\n\nThe operator records an event when a condition becomes false, or true again, with the \
         condition's reason; for `Available` only if something holds the pods up. Each trial has events of its own: `TrialRunning` when \
         it begins, `TrialHeld`, `RolledBack` and `TrialEnded`. Further events:\n\n| reason | when |\n|---|---|\n",
    );
    for one in events {
        writeln!(page, "| `{}` | {} |", one.name(), one.meaning()).unwrap();
    }
}

fn metrics() -> String {
    let mut registry = Registry::default();
    let metrics = Metrics::new(&mut registry);
    // Series of watches and listeners begin with them.
    let listener = example();
    metrics.watching(Kind::Secret);
    metrics.know(&listener);
    let namespace = listener.metadata.namespace.as_deref().unwrap_or_default();
    let name = listener.metadata.name.as_deref().unwrap_or_default();
    metrics.warned(namespace, name, vec![Reason::Expired]);
    let status = serde_json::json!({"conditions": [{
        "type": "Ready", "status": "True", "reason": "Ready", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }], "trials": [{
        "secretName": "edge-tls", "state": "Waiting", "percent": 0,
        "renewed": {"served": 0, "aborted": 0, "confirmed": 0},
        "previous": {"served": 0, "aborted": 0, "confirmed": 0},
    }]});
    let status: MqttTlsListenerStatus = serde_json::from_value(status).unwrap();
    metrics.observed(&listener, &status);
    format!(
        "\n## Metrics\n\nOf the operator, on its port `admin` (9884). Series of a listener carry that listener's \
         `namespace`, and end when it is deleted. [The terminator's](../terminator/reference.md#metrics) are on port \
         9883.\n\n{}",
        mqtt_tls_program::reference::metrics(&registry)
    )
}

fn columns(page: &mut String, columns: &Value) {
    page.push_str(
        "\n## Columns\n\nThe output of `kubectl get mtl`; the last columns only with `-o wide`.\n\n\
         | column | source | |\n|---|---|---|\n",
    );
    for column in columns.as_array().unwrap() {
        let text = |key: &str| column[key].as_str().unwrap_or_default();
        let (name, path) = (text("name"), text("jsonPath"));
        let wide = if column["priority"] == 1 {
            " With `-o wide`."
        } else {
            ""
        };
        writeln!(
            page,
            "| {name} | `{path}` | {}{wide} |",
            text("description")
        )
        .unwrap();
    }
}

fn fields(page: &mut String, path: &str, schema: &Value) {
    page.push_str("| field | type | default | bounds | |\n|---|---|---|---|---|\n");
    let mut rules = Vec::new();
    rows(page, &mut rules, path, schema);
    if !rules.is_empty() {
        page.push_str("\nThe API server also validates these rules:\n\n");
    }
    for (path, message) in rules {
        writeln!(page, "- `{path}`: {message}").unwrap();
    }
}

/// Writes a row for each field below `path`, and collects the messages of its rules.
fn rows(page: &mut String, rules: &mut Vec<(String, String)>, path: &str, schema: &Value) {
    rules.extend(rules_of(schema).map(|message| (path.to_owned(), message.to_owned())));
    let required: Vec<&str> = strings(&schema["required"]);
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let default = match &field["default"] {
            Value::Null if required.contains(&name.as_str()) => "**required**".to_owned(),
            Value::Null => {
                default_in_words(field).map_or_else(String::new, |word| format!("`{word}`"))
            }
            default => format!("`{default}`"),
        };
        writeln!(
            page,
            "| `{path}` | {} | {default} | {} | {} |",
            type_of(&path, field),
            bounds(field),
            description(field)
        )
        .unwrap();
        let (inner, below) = if field["type"] == "array" {
            rules.extend(rules_of(field).map(|message| (path.clone(), message.to_owned())));
            (&field["items"], format!("{path}[]"))
        } else {
            (field, path)
        };
        if of_kubernetes(&below).is_none() {
            rows(page, rules, &below, inner);
        }
    }
}

/// Returns a default of one word from the end of the description, for fields without a default in the schema.
fn default_in_words(field: &Value) -> Option<&str> {
    let (_, word) = field["description"].as_str()?.rsplit_once("Default: ")?;
    let word = word.strip_suffix('.')?;
    (!word.contains(char::is_whitespace)).then_some(word)
}

/// Returns the messages of a schema's rules.
fn rules_of(schema: &Value) -> impl Iterator<Item = &str> {
    let rules = schema["x-kubernetes-validations"].as_array();
    rules.into_iter().flatten().map(|rule| {
        let message = rule["message"].as_str();
        // One that quotes the value, at its end.
        let expression = || rule["messageExpression"].as_str()?.strip_prefix('\'');
        let quoting = || Some(expression()?.split_once("; it is ' + ")?.0);
        message.or_else(quoting).unwrap()
    })
}

fn of_kubernetes(path: &str) -> Option<&'static str> {
    let mut all = OF_KUBERNETES.iter();
    all.find(|(place, _)| *place == path).map(|(_, name)| *name)
}

fn type_of(path: &str, field: &Value) -> String {
    if let Some(name) = of_kubernetes(path) {
        return format!("Kubernetes' `{name}`");
    }
    let of = |inner: &Value| type_of(&format!("{path}[]"), inner);
    match field["type"].as_str() {
        Some("array") => format!("list of {}", of(&field["items"])),
        Some("object") if field["additionalProperties"].is_object() => {
            format!("map to {}", of(&field["additionalProperties"]))
        }
        Some(name) => name.to_owned(),
        None => "integer or string".to_owned(),
    }
}

fn bounds(field: &Value) -> String {
    let mut parts = Vec::new();
    let values = strings(&field["enum"]);
    if !values.is_empty() {
        parts.push(
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
            (Some(least), Some(most)) => parts.push(format!("{least} to {most}{of}")),
            (None, Some(most)) => parts.push(format!("at most {most}{of}")),
            (Some(least), None) => parts.push(format!("at least {least}{of}")),
            (None, None) => {}
        }
    }
    if let Some(pattern) = field["pattern"].as_str() {
        parts.push(format!("`{}`", pattern.replace('|', "\\|")));
    }
    for inner in [&field["items"], &field["additionalProperties"]] {
        let each = if inner.is_object() {
            bounds(inner)
        } else {
            String::new()
        };
        if !each.is_empty() {
            parts.push(format!("each {each}"));
        }
    }
    parts.join("; ")
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
