//! Whether an object in the cluster is as it is wanted, without asking the API server.
//!
//! It must see what someone changed, what is no longer wanted, and what was taken from us; and it must
//! not see the defaults that the API server fills in, nor what others added. Otherwise the operator
//! would write for ever, or not when it should.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::Resource;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::plan::names::MANAGER;

/// Whether applying the wanted object would change nothing.
pub fn is_applied<K: Resource + Serialize>(wanted: &K, observed: &K) -> bool {
    let (Ok(wanted), Ok(found)) = (serde_json::to_value(wanted), serde_json::to_value(observed))
    else {
        return false;
    };
    let entries = observed
        .meta()
        .managed_fields
        .as_deref()
        .unwrap_or_default();
    let Some(fields) = entries
        .iter()
        .find(|entry| is_our_apply(entry))
        .and_then(fields)
    else {
        return false;
    };
    contains(&found, &wanted, Values::Plain) && owns_exactly(fields, &without_identity(wanted))
}

fn is_our_apply(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(MANAGER)
        && entry.operation.as_deref() == Some("Apply")
        && entry.subresource.as_deref().unwrap_or_default().is_empty()
}

fn fields(entry: &ManagedFieldsEntry) -> Option<&Value> {
    entry.fields_v1.as_ref().map(|fields| &fields.0)
}

/// The fields that are never recorded as anyone's.
fn without_identity(mut object: Value) -> Value {
    if let Some(object) = object.as_object_mut() {
        object.remove("apiVersion");
        object.remove("kind");
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("name");
            metadata.remove("namespace");
        }
    }
    object
}

/// How texts are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Values {
    Plain,
    /// As amounts: the API server writes `0.5` as `500m`.
    Quantities,
}

/// Whether everything wanted is found, with the same value.
fn contains(found: &Value, wanted: &Value, values: Values) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => wanted.iter().all(|(key, wanted)| {
            let amounts = key == "limits" || key == "requests";
            let values = if amounts { Values::Quantities } else { values };
            found
                .get(key)
                .map_or_else(|| is_empty(wanted), |found| contains(found, wanted, values))
        }),
        (Value::Array(found), Value::Array(wanted)) if wanted.iter().all(Value::is_object) => {
            wanted
                .iter()
                .all(|one| found.iter().any(|found| contains(found, one, values)))
        }
        (Value::String(found), Value::String(wanted)) if values == Values::Quantities => {
            found == wanted || (amount(found).is_some() && amount(found) == amount(wanted))
        }
        (found, wanted) => found == wanted,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Whether the fields recorded as ours are those of the wanted object: not one less, which someone took,
/// and not one more, which is no longer wanted.
fn owns_exactly(fields: &Value, wanted: &Value) -> bool {
    let Some(fields) = fields.as_object() else {
        return false;
    };
    // A leaf: the value below it is ours as a whole.
    if fields.is_empty() {
        return true;
    }
    match wanted {
        Value::Object(wanted) => owns_keys(fields, wanted),
        Value::Array(wanted) => owns_elements(fields, wanted),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

fn owns_keys(fields: &Map<String, Value>, wanted: &Map<String, Value>) -> bool {
    let wanted_are_ours =
        wanted
            .iter()
            .filter(|(_, value)| !value.is_null())
            .all(|(key, value)| {
                fields
                    .get(&format!("f:{key}"))
                    .is_some_and(|fields| owns_exactly(fields, value))
            });
    let ours_are_wanted = fields.keys().all(|field| match field.strip_prefix("f:") {
        Some(key) => wanted.get(key).is_some_and(|value| !value.is_null()),
        None => true,
    });
    wanted_are_ours && ours_are_wanted
}

/// Elements are recorded by their value (`v:`) or by the fields that tell them apart (`k:`).
fn owns_elements(fields: &Map<String, Value>, wanted: &[Value]) -> bool {
    let recorded = |prefix: &str| {
        let prefix = prefix.to_owned();
        fields.iter().filter_map(move |(field, below)| {
            let key: Value = serde_json::from_str(field.strip_prefix(&prefix)?).ok()?;
            Some((key, below))
        })
    };
    let wanted_are_ours = wanted.iter().all(|element| {
        recorded("v:").any(|(value, _)| value == *element)
            || recorded("k:").any(|(key, below)| {
                contains(element, &key, Values::Plain) && owns_exactly(below, element)
            })
    });
    let ours_are_wanted = recorded("v:").all(|(value, _)| wanted.contains(&value))
        && recorded("k:")
            .all(|(key, _)| wanted.iter().any(|one| contains(one, &key, Values::Plain)));
    wanted_are_ours && ours_are_wanted
}

/// A Kubernetes quantity in billionths.
fn amount(text: &str) -> Option<i128> {
    const BILLION: i128 = 1_000_000_000;
    let end = text
        .find(|char: char| !char.is_ascii_digit() && char != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.len() > 9 || whole.len() + fraction.len() == 0 {
        return None;
    }
    let whole: i128 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let fraction: i128 = format!("{fraction:0<9}").parse().ok()?;
    let billionths = whole.checked_mul(BILLION)?.checked_add(fraction)?;
    let thousands = |power| 1000_i128.checked_pow(power);
    let kibis = |power| 1024_i128.checked_pow(power);
    let (factor, divisor) = match unit {
        "n" => (1, BILLION),
        "u" => (1, 1_000_000),
        "m" => (1, 1000),
        "" => (1, 1),
        "k" => (thousands(1)?, 1),
        "M" => (thousands(2)?, 1),
        "G" => (thousands(3)?, 1),
        "T" => (thousands(4)?, 1),
        "P" => (thousands(5)?, 1),
        "E" => (thousands(6)?, 1),
        "Ki" => (kibis(1)?, 1),
        "Mi" => (kibis(2)?, 1),
        "Gi" => (kibis(3)?, 1),
        "Ti" => (kibis(4)?, 1),
        "Pi" => (kibis(5)?, 1),
        "Ei" => (kibis(6)?, 1),
        exponent => {
            let power: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            let ten = 10_i128.checked_pow(power.unsigned_abs())?;
            if power < 0 { (1, ten) } else { (ten, 1) }
        }
    };
    Some(billionths.checked_mul(factor)? / divisor)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Service;
    use serde_json::{Value, json};

    use super::{Values, amount, contains, is_applied, owns_exactly};

    fn service(extra: &Value, fields: &Value) -> (Service, Service) {
        let wanted = json!({
            "metadata": {"name": "a", "namespace": "n", "labels": {"own": "1"}},
            "spec": {"type": "ClusterIP", "ports": [{"name": "mqtts", "port": 8883, "protocol": "TCP"}]},
        });
        let mut found = wanted.clone();
        found["spec"]["clusterIP"] = json!("10.0.0.1");
        found["spec"]["ports"][0]["targetPort"] = json!(8883);
        found["metadata"]["labels"]["theirs"] = json!("2");
        found["metadata"]["managedFields"] = json!([
            {"manager": "mqtt-tls-operator", "operation": "Apply", "fieldsV1": fields},
        ]);
        for (pointer, value) in extra.as_object().into_iter().flatten() {
            *found.pointer_mut(pointer).unwrap() = value.clone();
        }
        (
            serde_json::from_value(wanted).unwrap(),
            serde_json::from_value(found).unwrap(),
        )
    }

    fn fields() -> Value {
        json!({
            "f:metadata": {"f:labels": {"f:own": {}}},
            "f:spec": {
                "f:type": {},
                "f:ports": {"k:{\"port\":8883,\"protocol\":\"TCP\"}": {
                    ".": {}, "f:name": {}, "f:port": {}, "f:protocol": {},
                }},
            },
        })
    }

    #[test]
    fn defaults_and_what_others_added_are_no_difference() {
        let (wanted, found) = service(&json!({}), &fields());
        assert!(is_applied(&wanted, &found));
    }

    #[test]
    fn a_changed_value_is_a_difference() {
        for (pointer, value) in [
            ("/spec/type", json!("NodePort")),
            ("/spec/ports/0/port", json!(1)),
            ("/metadata/labels/own", json!("2")),
        ] {
            let (wanted, found) = service(&json!({pointer: value}), &fields());
            assert!(!is_applied(&wanted, &found), "{pointer}");
        }
    }

    #[test]
    fn a_field_that_is_no_longer_wanted_is_a_difference() {
        let mut more = fields();
        more["f:metadata"]["f:labels"]["f:old"] = json!({});
        let (wanted, found) = service(&json!({}), &more);
        assert!(!is_applied(&wanted, &found));
        let mut more = fields();
        more["f:spec"]["f:ports"]["k:{\"port\":1883,\"protocol\":\"TCP\"}"] = json!({".": {}});
        let (wanted, found) = service(&json!({}), &more);
        assert!(!is_applied(&wanted, &found));
    }

    #[test]
    fn a_field_that_someone_took_is_a_difference() {
        let mut less = fields();
        less["f:spec"].as_object_mut().unwrap().remove("f:type");
        let (wanted, found) = service(&json!({}), &less);
        assert!(!is_applied(&wanted, &found));
        let (wanted, found) = service(&json!({"/metadata/managedFields": []}), &fields());
        assert!(!is_applied(&wanted, &found));
    }

    #[test]
    fn sets_and_leaves() {
        assert!(owns_exactly(&json!({"v:\"a\"": {}}), &json!(["a"])));
        assert!(!owns_exactly(&json!({"v:\"a\"": {}}), &json!(["b"])));
        assert!(owns_exactly(&json!({}), &json!({"anything": 1})));
        assert!(!owns_exactly(&json!({"f:a": {}}), &json!({"a": null})));
    }

    #[test]
    fn amounts_that_are_written_differently_are_the_same() {
        let same = [
            ("0.5", "500m"),
            ("1Gi", "1024Mi"),
            ("1e3", "1k"),
            (".5", "500m"),
            ("1", "1000m"),
        ];
        for (one, other) in same {
            assert_eq!(
                amount(one).unwrap(),
                amount(other).unwrap(),
                "{one} {other}"
            );
        }
        for bad in ["", "Mi", "1x", "-1", "1.0000000001"] {
            assert_eq!(amount(bad), None, "{bad}");
        }
        let limits = |text: &str| json!({"limits": {"cpu": text}});
        assert!(contains(&limits("500m"), &limits("0.5"), Values::Plain));
        assert!(!contains(&limits("500m"), &limits("0.6"), Values::Plain));
        assert!(!contains(
            &json!({"a": "500m"}),
            &json!({"a": "0.5"}),
            Values::Plain
        ));
    }
}
