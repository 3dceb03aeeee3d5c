//! Compares an object in the cluster with the wanted one, without asking the API server.
//!
//! It must notice changed fields, fields that are no longer wanted, and fields that another manager took over.
//! It must not notice the API server's defaults or fields that others added. Otherwise the operator would
//! write forever, or fail to write. It walks the found object, the wanted object and this operator's
//! `managedFields` together; the latter record which values are owned as a whole and which field by field.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::{Map, Value};

use super::quantity::amount;
use crate::kinds::Object;
use crate::plan::names::MANAGER;

/// Reports whether applying the wanted object would change nothing.
pub(super) fn is_applied(wanted: &dyn Object, observed: &dyn Object) -> bool {
    let (wanted, found) = (wanted.json(), observed.json());
    if wanted.is_null() || found.is_null() {
        return false;
    }
    let entries = observed
        .metadata()
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
    agrees(fields, &found, &without_identity(wanted), Values::Plain)
}

fn is_our_apply(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(MANAGER)
        && entry.operation.as_deref() == Some("Apply")
        && entry.subresource.as_deref().unwrap_or_default().is_empty()
}

fn fields(entry: &ManagedFieldsEntry) -> Option<&Value> {
    entry.fields_v1.as_ref().map(|fields| &fields.0)
}

/// Removes the fields that `managedFields` never record.
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

/// How strings are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Values {
    Plain,
    /// As quantities: the API server writes `0.5` as `500m`.
    Quantities,
}

impl Values {
    /// Returns how strings below this key are compared.
    fn below(self, key: &str) -> Self {
        if key == "limits" || key == "requests" {
            Self::Quantities
        } else {
            self
        }
    }
}

/// Reports whether the fields that we own are exactly those of the wanted object, with the wanted values. A
/// missing field was taken over by another manager; an additional one is no longer wanted.
fn agrees(fields: &Value, found: &Value, wanted: &Value, values: Values) -> bool {
    let Some(fields) = fields.as_object() else {
        return false;
    };
    match wanted {
        Value::Object(wanted) if !fields.is_empty() => keys_agree(fields, found, wanted, values),
        Value::Array(wanted) if !fields.is_empty() => elements_agree(fields, found, wanted, values),
        // A leaf: we own the whole value, such as a list of tolerations, so additions by others are differences.
        _ => is_same(found, wanted, values),
    }
}

fn keys_agree(
    fields: &Map<String, Value>,
    found: &Value,
    wanted: &Map<String, Value>,
    values: Values,
) -> bool {
    let wanted_are_there =
        wanted
            .iter()
            .filter(|(_, value)| !value.is_null())
            .all(|(key, wanted)| {
                fields
                    .get(&format!("f:{key}"))
                    .is_some_and(|fields| agrees(fields, &found[key], wanted, values.below(key)))
            });
    let ours_are_wanted = fields.keys().all(|field| match field.strip_prefix("f:") {
        Some(key) => wanted.get(key).is_some_and(|value| !value.is_null()),
        None => true,
    });
    wanted_are_there && ours_are_wanted
}

/// Elements are recorded by their value (`v:`) or by their key fields (`k:`).
fn elements_agree(
    fields: &Map<String, Value>,
    found: &Value,
    wanted: &[Value],
    values: Values,
) -> bool {
    let recorded = |prefix: &str| {
        let prefix = prefix.to_owned();
        fields.iter().filter_map(move |(field, below)| {
            let key: Value = serde_json::from_str(field.strip_prefix(&prefix)?).ok()?;
            Some((key, below))
        })
    };
    let found = found.as_array().map(Vec::as_slice).unwrap_or_default();
    let wanted_are_there = wanted.iter().all(|element| {
        recorded("v:").any(|(value, _)| value == *element && found.contains(element))
            || recorded("k:").any(|(key, below)| {
                let mut same = found.iter().filter(|found| has(found, &key));
                has(element, &key) && same.any(|found| agrees(below, found, element, values))
            })
    });
    let ours_are_wanted = recorded("v:").all(|(value, _)| wanted.contains(&value))
        && recorded("k:").all(|(key, _)| wanted.iter().any(|one| has(one, &key)));
    wanted_are_there && ours_are_wanted
}

/// Reports whether an element has these key fields.
fn has(element: &Value, key: &Value) -> bool {
    let mut key = key.as_object().into_iter().flatten();
    key.all(|(name, value)| element[name] == *value)
}

/// Reports whether two values are equal, apart from notations of quantities and from values that the API server
/// omits.
fn is_same(found: &Value, wanted: &Value, values: Values) -> bool {
    match (found, wanted) {
        (Value::Object(one), Value::Object(other)) => one.keys().chain(other.keys()).all(|key| {
            let (found, wanted) = (&found[key], &wanted[key]);
            let both_are_left_out = is_left_out(key, found) && is_left_out(key, wanted);
            both_are_left_out || is_same(found, wanted, values.below(key))
        }),
        (Value::Array(one), Value::Array(other)) => {
            let mut pairs = one.iter().zip(other);
            one.len() == other.len() && pairs.all(|(one, other)| is_same(one, other, values))
        }
        (Value::String(one), Value::String(other)) if values == Values::Quantities => {
            one == other || (amount(one).is_some() && amount(one) == amount(other))
        }
        (found, wanted) => found == wanted || (is_left_out("", found) && is_left_out("", wanted)),
    }
}

/// Reports whether the API server omits this value. It omits empty maps but no other empty objects: an empty
/// `labelSelector` selects everything, and an absent one nothing.
fn is_left_out(key: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => key == "matchLabels" && map.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Service;
    use serde_json::{Value, json};

    use super::{Values, agrees, is_applied, is_same};

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
    fn defaults_and_additions_by_others_are_ignored() {
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
    fn a_field_taken_over_by_another_manager_is_a_difference() {
        let mut less = fields();
        less["f:spec"].as_object_mut().unwrap().remove("f:type");
        let (wanted, found) = service(&json!({}), &less);
        assert!(!is_applied(&wanted, &found));
        let (wanted, found) = service(&json!({"/metadata/managedFields": []}), &fields());
        assert!(!is_applied(&wanted, &found));
    }

    fn agree(fields: &Value, found: &Value, wanted: &Value) -> bool {
        agrees(fields, found, wanted, Values::Plain)
    }

    #[test]
    fn sets_and_leaves() {
        let set = json!({"v:\"a\"": {}});
        assert!(agree(&set, &json!(["a", "theirs"]), &json!(["a"])));
        assert!(!agree(&set, &json!(["theirs"]), &json!(["a"])));
        assert!(!agree(&set, &json!(["a", "b"]), &json!(["b"])));
        let anything = json!({"anything": 1});
        assert!(agree(&json!({}), &anything, &anything));
        assert!(!agree(&json!({}), &anything, &json!({"anything": 2})));
        assert!(!agree(&json!({"f:a": {}}), &json!({}), &json!({"a": null})));
    }

    /// Parts of a pod template that a Deployment records as one atomic value.
    #[test]
    fn a_change_within_an_atomic_value_is_a_difference() {
        let toleration = |key: &str, seconds: Option<i64>| {
            let toleration = json!({"key": key, "operator": "Exists"});
            match seconds {
                Some(seconds) => {
                    let mut toleration = toleration;
                    toleration["tolerationSeconds"] = json!(seconds);
                    toleration
                }
                None => toleration,
            }
        };
        let term = |key: &str| json!({"matchExpressions": [{"key": key, "operator": "Exists"}]});
        let terms =
            |terms: Value| json!({"requiredDuringScheduling": {"nodeSelectorTerms": terms}});
        let labels = |labels: Value| json!({"labelSelector": {"matchLabels": labels}});
        for (name, more, less) in [
            (
                "tolerations",
                json!([toleration("a", None), toleration("b", None)]),
                json!([toleration("a", None)]),
            ),
            (
                "tolerations",
                json!([toleration("a", Some(30))]),
                json!([toleration("a", None)]),
            ),
            (
                "nodeSelector",
                json!({"disk": "ssd", "zone": "a"}),
                json!({"disk": "ssd"}),
            ),
            (
                "nodeAffinity",
                terms(json!([term("a"), term("b")])),
                terms(json!([term("a")])),
            ),
            (
                "podAffinityTerm",
                labels(json!({"a": "b", "c": ""})),
                labels(json!({"a": "b"})),
            ),
            (
                "podAffinityTerm",
                json!({"labelSelector": {}}),
                json!({"topologyKey": null}),
            ),
            ("args", json!(["a", "b"]), json!(["a"])),
        ] {
            let fields = json!({format!("f:{name}"): {}});
            let (more, less) = (json!({name: more}), json!({name: less}));
            assert!(agree(&fields, &more, &more), "{more}");
            assert!(!agree(&fields, &more, &less), "{more} {less}");
            assert!(!agree(&fields, &less, &more), "{less} {more}");
        }
    }

    #[test]
    fn values_that_the_api_server_omits_are_ignored() {
        let fields = json!({"f:affinity": {}});
        let of = |affinity: Value| json!({"affinity": affinity});
        let wanted = of(json!([{"matchLabels": {}, "values": [], "weight": null, "a": {}}]));
        assert!(agree(&fields, &of(json!([{"a": {}}])), &wanted));
        assert!(!agree(&fields, &of(json!([{}])), &wanted));
        assert!(agree(&fields, &json!({}), &of(json!([]))));
        assert!(!agree(&fields, &json!({}), &of(json!({}))));
    }

    #[test]
    fn quantities_are_compared_by_amount() {
        let limits = |text: &str| json!({"limits": {"cpu": text}});
        let granular = json!({"f:limits": {"f:cpu": {}}});
        for fields in [granular, json!({"f:limits": {}})] {
            assert!(agree(&fields, &limits("500m"), &limits("0.5")));
            assert!(!agree(&fields, &limits("500m"), &limits("0.6")));
        }
        let other = |text: &str| json!({"a": text});
        assert!(!is_same(&other("500m"), &other("0.5"), Values::Plain));
    }
}
