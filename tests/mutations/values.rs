//! The mutations of a field, from its schema: type, bounds, format, enum, pattern, length, and the rules in CEL. It must not
//! know a field by its name; what the schema does not say is a hint in [`hints`].

use serde_json::{Map, Value, json};

use crate::hints;
use crate::schema::{Field, smallest, whole};

/// A field has at least so many mutations.
pub(crate) const MUTATIONS_MIN: usize = 5;

/// What a field is changed to; absent if it is removed.
#[derive(Clone, Debug)]
pub(crate) struct Mutation {
    pub(crate) name: String,
    pub(crate) value: Option<Value>,
}

/// Returns the mutations of a field. They differ in their values.
pub(crate) fn of(field: &Field) -> Vec<Mutation> {
    let mut mutations = Vec::new();
    let mut add = |name: &str, value: Option<Value>| {
        let is_new = mutations.iter().all(|one: &Mutation| one.value != value);
        if is_new {
            let name = name.to_owned();
            mutations.push(Mutation { name, value });
        }
    };
    let schema = &field.schema;
    add("absent", None);
    add("null", Some(Value::Null));
    for (index, value) in hints::values(&field.path).into_iter().enumerate() {
        add(&format!("known-{index}"), Some(value));
    }
    let values = match schema["type"].as_str() {
        Some("integer") => integers(schema),
        Some("array") => lists(field),
        Some("object") if schema["properties"].is_object() => objects(field),
        Some("object") => maps(field),
        _ => texts(schema),
    };
    for (name, value) in values {
        add(&name, Some(value));
    }
    mutations
}

type Named = Vec<(String, Value)>;

/// With names of their own.
fn named<const N: usize>(values: [(&str, Value); N]) -> Named {
    values.map(|(name, value)| (name.to_owned(), value)).into()
}

fn integers(schema: &Value) -> Named {
    let bound = |name: &str| schema[name].as_f64().map(whole);
    let (least, most) = (bound("minimum"), bound("maximum"));
    let beyond = if schema["format"] == "int32" {
        i64::from(i32::MAX) + 1
    } else {
        i64::MAX
    };
    named([
        ("least", json!(least.unwrap_or(0))),
        ("below", json!(least.unwrap_or(0) - 1)),
        ("most", json!(most.unwrap_or(i64::from(i32::MAX)))),
        ("above", json!(most.map_or(beyond, |most| most + 1))),
        ("between", json!(least.unwrap_or(0) + 2)),
        ("huge", json!(beyond)),
        ("fraction", json!(1.5)),
        ("text", json!("many")),
    ])
}

fn texts(schema: &Value) -> Named {
    let mut values = Vec::new();
    let known = schema["enum"].as_array();
    for value in known.into_iter().flatten() {
        let name = value.as_str().unwrap_or_default();
        values.push((name.to_owned(), value.clone()));
    }
    if let Some(first) = known.and_then(|known| known.last()?.as_str()) {
        values.push(("lower-case".to_owned(), json!(first.to_lowercase())));
    }
    if let Some([least, most]) = duration_bounds(schema) {
        values.extend(named([
            ("least", json!(least)),
            ("most", json!(most)),
            ("below", json!("99ms")),
            ("above", json!("61m")),
            ("between", json!("7s")),
            ("several-units", json!("1m1s")),
            ("no-unit", json!("30")),
            ("fraction", json!("1.5s")),
            ("negative", json!("-1s")),
        ]));
    }
    let longest = schema["maxLength"].as_u64().unwrap_or(253);
    let longest = usize::try_from(longest).unwrap();
    values.extend(named([
        ("empty", json!("")),
        ("longest", json!("a".repeat(longest))),
        ("too-long", json!("a".repeat(longest + 1))),
        ("spaces", json!("with space")),
        ("upper-case", json!("UPPER_CASE")),
        ("not-ascii", json!("gerät")),
        ("line-break", json!("a\nb")),
        ("number", json!(7)),
    ]));
    values
}

/// The bounds of a duration, which are in its rule.
fn duration_bounds(schema: &Value) -> Option<[String; 2]> {
    let rule = schema["x-kubernetes-validations"][0]["rule"].as_str()?;
    let mut bounds = rule.split("duration('").skip(1);
    let mut next = || Some(bounds.next()?.split('\'').next()?.to_owned());
    Some([next()?, next()?])
}

fn lists(field: &Field) -> Named {
    let schema = &field.schema;
    let item = smallest(&schema["items"], &item_path(field));
    let most = schema["maxItems"].as_u64().unwrap_or(32);
    let most = usize::try_from(most).unwrap();
    named([
        ("empty", json!([])),
        ("one", json!([item])),
        ("twice", json!([item, item])),
        ("most", Value::Array(vec![item.clone(); most])),
        ("too-many", Value::Array(vec![item.clone(); most + 1])),
        ("null-item", json!([null])),
        ("text", json!("text")),
        ("object", json!({"name": "a"})),
    ])
}

fn item_path(field: &Field) -> crate::schema::Path {
    let mut path = field.path.clone();
    path.0.push(crate::schema::Step::Item);
    path
}

fn objects(field: &Field) -> Named {
    let least = smallest(&field.schema, &field.path);
    let mut unknown = least.clone();
    if let Some(fields) = unknown.as_object_mut() {
        fields.insert("unknown".to_owned(), json!("a"));
    }
    named([
        ("least", least),
        ("empty", json!({})),
        ("unknown-field", unknown),
        ("text", json!("text")),
        ("list", json!([])),
        ("number", json!(7)),
    ])
}

fn maps(field: &Field) -> Named {
    let schema = &field.schema;
    let value = if schema["additionalProperties"]["x-kubernetes-int-or-string"] == true {
        "1"
    } else {
        "a"
    };
    let most = schema["maxProperties"].as_u64().unwrap_or(32);
    let many = |count: u64| -> Value {
        let entries = (0..count).map(|index| (format!("key-{index}"), json!(value)));
        Value::Object(entries.collect::<Map<_, _>>())
    };
    let longest = schema["additionalProperties"]["maxLength"]
        .as_u64()
        .unwrap_or(63);
    let longest = usize::try_from(longest).unwrap();
    let mut values = named([
        ("empty", json!({})),
        ("one", json!({"team": value})),
        ("with-prefix", json!({"example.com/team": value})),
        ("most", many(most)),
        ("too-many", many(most + 1)),
        ("bad-key", json!({"a key": value})),
        ("empty-key", json!({"": value})),
        ("long-key", json!({"k".repeat(64): value})),
        ("longest-value", json!({"team": "v".repeat(longest)})),
        ("too-long-value", json!({"team": "v".repeat(longest + 1)})),
        ("bad-value", json!({"team": "a b/ü"})),
        ("null-value", json!({"team": null})),
        ("text", json!("text")),
        ("list", json!([value])),
    ]);
    for (index, prefix) in reserved(schema).into_iter().enumerate() {
        let name = format!("reserved-{index}");
        values.push((name, json!({format!("{prefix}team"): value})));
    }
    values
}

/// The prefixes of keys that rules refuse.
fn reserved(schema: &Value) -> Vec<String> {
    let rules = schema["x-kubernetes-validations"].as_array();
    let rules = rules
        .into_iter()
        .flatten()
        .filter_map(|rule| rule["rule"].as_str());
    rules
        .flat_map(|rule| rule.split("!key.startsWith('").skip(1))
        .filter_map(|rest| Some(rest.split('\'').next()?.to_owned()))
        .collect()
}
