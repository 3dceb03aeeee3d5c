//! The end state of a namespace, without what differs between two equal runs: times, names of namespaces, uids,
//! versions, and what the API server chose. It must not read what only the test writes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use kube::api::ListParams;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use mqtt_tls_config::TicketKey;
use serde_json::{Map, Value, json};

/// A label of listeners: a change of it triggers a reconciliation, and nothing else.
pub const TOUCHED: &str = "touched";

/// The kinds of children: group, version and kind.
pub const CHILDREN: [[&str; 3]; 4] = [
    ["", "v1", "Secret"],
    ["", "v1", "Service"],
    ["policy", "v1", "PodDisruptionBudget"],
    ["apps", "v1", "Deployment"],
];

/// The place of Secrets in [`CHILDREN`].
pub const SECRET: usize = 0;
/// The place of Services.
pub const SERVICE: usize = 1;
/// The place of Deployments.
pub const DEPLOYMENT: usize = 3;

/// The other kinds that are compared.
const OTHERS: [[&str; 3]; 2] = [
    ["mqtt.smartboot.tech", "v1alpha1", "MqttTlsListener"],
    ["", "v1", "Pod"],
];

/// Fields that the API server chooses, or that the test's own writes change.
const CHOSEN: [&str; 9] = [
    "resourceVersion",
    "creationTimestamp",
    "clusterIP",
    "clusterIPs",
    "nodePort",
    "healthCheckNodePort",
    "podIP",
    "podIPs",
    TOUCHED,
];

/// Each object by `Kind/name`.
pub type State = BTreeMap<String, Value>;

/// The API of a kind.
pub fn api(client: &Client, namespace: &str, kind: [&str; 3]) -> Api<DynamicObject> {
    let [group, version, kind] = kind;
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    Api::namespaced_with(client.clone(), namespace, &resource)
}

/// Reads the state of a namespace.
pub async fn read(client: &Client, namespace: &str) -> State {
    let mut state = State::new();
    for kind in CHILDREN.into_iter().chain(OTHERS) {
        let api = api(client, namespace, kind);
        for object in api
            .list(&ListParams::default())
            .await
            .expect("the API server answers")
        {
            let name = object.metadata.name.clone().unwrap_or_default();
            let object = serde_json::to_value(object).expect("an object is JSON");
            state.insert(format!("{}/{name}", kind[2]), object);
        }
    }
    name_versions(&mut state);
    let uids = uids(&state);
    for (name, object) in &mut state {
        *object = name_uids(object, &uids);
        if name.starts_with("Secret/") {
            decode(object);
        }
        strip_managers(object);
        normalize(object, namespace);
    }
    state
}

/// Replaces the version of a config Secret in the annotations of pods, if it is the present one.
fn name_versions(state: &mut State) {
    let versions: Vec<Value> = state
        .iter()
        .filter(|(name, _)| name.starts_with("Secret/"))
        .map(|(_, secret)| secret["metadata"]["resourceVersion"].clone())
        .collect();
    for (name, pod) in state {
        let annotations = pod.pointer_mut("/metadata/annotations");
        for value in annotations
            .and_then(Value::as_object_mut)
            .into_iter()
            .flat_map(Map::values_mut)
        {
            if name.starts_with("Pod/") && versions.contains(value) {
                *value = json!("present");
            }
        }
    }
}

/// The uids of the listeners with their names, and those of owners that are gone.
fn uids(state: &State) -> BTreeMap<String, String> {
    let mut uids = BTreeMap::new();
    for object in state.values() {
        let owners = object.pointer("/metadata/ownerReferences");
        for owner in owners.and_then(Value::as_array).into_iter().flatten() {
            let uid = owner["uid"].as_str().unwrap_or_default();
            uids.insert(uid.to_owned(), "gone".to_owned());
        }
    }
    let is_listener = |(name, _): &(&String, &Value)| name.starts_with("MqttTlsListener/");
    for (name, listener) in state.iter().filter(is_listener) {
        let uid = listener["metadata"]["uid"].as_str().unwrap_or_default();
        uids.insert(uid.to_owned(), name.clone());
    }
    uids
}

/// Replaces the uids of owners, wherever they are.
fn name_uids(object: &Value, uids: &BTreeMap<String, String>) -> Value {
    let mut text = object.to_string();
    for (uid, name) in uids {
        text = text.replace(uid, name);
    }
    let mut object: Value = serde_json::from_str(&text).expect("names need no escape");
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("uid");
        // The test's own label may be the only one.
        if metadata
            .get("labels")
            .and_then(Value::as_object)
            .is_some_and(is_without_labels)
        {
            metadata.remove("labels");
        }
    }
    object
}

fn is_without_labels(labels: &Map<String, Value>) -> bool {
    labels.keys().all(|label| label == TOUCHED)
}

/// Shows the content of a Secret. Session ticket keys, which are random, are counted.
fn decode(secret: &mut Value) {
    let data = secret.get_mut("data").and_then(Value::as_object_mut);
    for value in data.into_iter().flat_map(Map::values_mut) {
        let bytes: ByteString =
            serde_json::from_value(value.clone()).expect("the data of a Secret is base64");
        let text = String::from_utf8_lossy(&bytes.0).into_owned();
        let keys =
            TicketKey::parse(&text).map(|keys| format!("{} session ticket keys", keys.len()));
        *value = keys.unwrap_or(text).into();
    }
}

/// Leaves only the operator's entries among the managers of fields.
fn strip_managers(object: &mut Value) {
    let managers = object.pointer_mut("/metadata/managedFields");
    if let Some(managers) = managers.and_then(Value::as_array_mut) {
        managers.retain(|entry| entry["manager"] == "mqtt-tls-operator");
    }
}

fn normalize(value: &mut Value, namespace: &str) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !CHOSEN.contains(&name.as_str()));
            for value in fields.values_mut() {
                normalize(value, namespace);
            }
        }
        Value::Array(list) => {
            for value in list {
                normalize(value, namespace);
            }
        }
        Value::String(text) => *text = timeless(&text.replace(namespace, "NAMESPACE")),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Replaces all times in a text, such as a rendered configuration.
fn timeless(text: &str) -> String {
    let words = text.split_inclusive(char::is_whitespace).map(|word| {
        let time = word.trim_matches(|char: char| !char.is_ascii_alphanumeric());
        if time.parse::<Timestamp>().is_ok() {
            word.replace(time, "TIME")
        } else {
            word.to_owned()
        }
    });
    words.collect()
}

/// The differences between two states, one a line.
pub fn differences(wanted: &State, found: &State) -> Vec<String> {
    let mut differences = Vec::new();
    let (wanted, found) = (json!(wanted), json!(found));
    compare("", &wanted, &found, &mut differences);
    differences
}

fn compare(path: &str, wanted: &Value, found: &Value, differences: &mut Vec<String>) {
    match (wanted, found) {
        (Value::Object(one), Value::Object(other)) => {
            let mut names: Vec<&String> = one.keys().chain(other.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                compare(
                    &format!("{path} {name}"),
                    &wanted[name],
                    &found[name],
                    differences,
                );
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                compare(&format!("{path} {index}"), one, other, differences);
            }
        }
        _ if wanted != found => {
            let shown = |value: &Value| value.to_string().chars().take(200).collect::<String>();
            let (wanted, found) = (shown(wanted), shown(found));
            differences.push(format!("{path}: {found}, not {wanted}"));
        }
        _ => {}
    }
}
