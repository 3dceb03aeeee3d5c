//! The fields of a listener's spec, as the definition has them, and how a value is placed into a spec. It must not choose
//! values, and must not name a field.

use std::fmt;

use mqtt_tls_operator::crd;
use serde_json::{Map, Value, json};

use crate::hints;

/// A step from a value to a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A key of an object.
    Key(String),
    /// The first item of a list.
    Item,
}

/// The way from the spec to a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path(pub(crate) Vec<Step>);

/// A field with its schema.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) path: Path,
    pub(crate) schema: Value,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if index == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Item => f.write_str("[]")?,
            }
        }
        Ok(())
    }
}

impl Path {
    fn and(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

/// The schema of the spec.
pub(crate) fn spec() -> Value {
    let definition = serde_json::to_value(crd::definition()).unwrap();
    let schema = definition.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec");
    schema.unwrap().clone()
}

/// All fields, each before its parts.
pub(crate) fn fields(spec: &Value) -> Vec<Field> {
    let mut fields = Vec::new();
    collect(spec, &Path(Vec::new()), &mut fields);
    fields
}

fn collect(schema: &Value, path: &Path, fields: &mut Vec<Field>) {
    for (name, part) in schema["properties"].as_object().into_iter().flatten() {
        let path = path.and(Step::Key(name.clone()));
        fields.push(Field {
            path: path.clone(),
            schema: part.clone(),
        });
        collect(part, &path, fields);
    }
    let items = &schema["items"];
    if items.is_object() {
        let path = path.and(Step::Item);
        if !items["properties"].is_object() {
            fields.push(Field {
                path: path.clone(),
                schema: items.clone(),
            });
        }
        collect(items, &path, fields);
    }
}

/// Returns a spec with a value at a path, or without one. What is missing on the way is added with the smallest content.
pub(crate) fn placed(spec: &Value, base: &Value, path: &Path, value: Option<&Value>) -> Value {
    let mut placed = base.clone();
    place(&mut placed, spec, &path.0, &Path(Vec::new()), value);
    placed
}

fn place(target: &mut Value, schema: &Value, rest: &[Step], at: &Path, value: Option<&Value>) {
    let Some((step, rest)) = rest.split_first() else {
        *target = value.cloned().unwrap_or_default();
        return;
    };
    let path = at.and(step.clone());
    match step {
        Step::Key(key) => {
            if !target.is_object() {
                *target = smallest(schema, at);
            }
            let fields = target.as_object_mut().unwrap();
            if rest.is_empty() && value.is_none() {
                fields.remove(key);
                return;
            }
            let part = &schema["properties"][key];
            let next = fields.entry(key.as_str()).or_insert(Value::Null);
            place(next, part, rest, &path, value);
        }
        Step::Item => {
            if target.as_array().is_none_or(Vec::is_empty) {
                *target = json!([smallest(&schema["items"], &path)]);
            }
            let items = target.as_array_mut().unwrap();
            if rest.is_empty() && value.is_none() {
                items.remove(0);
                return;
            }
            place(&mut items[0], &schema["items"], rest, &path, value);
        }
    }
}

/// Returns the smallest valid value of a schema.
pub(crate) fn smallest(schema: &Value, path: &Path) -> Value {
    if let Some(hint) = hints::values(path).into_iter().next() {
        return hint;
    }
    if let Some(default) = schema.get("default") {
        return default.clone();
    }
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    match schema["type"].as_str() {
        Some("object") => {
            let mut fields = Map::new();
            let required = schema["required"].as_array().into_iter().flatten();
            for name in required.filter_map(Value::as_str) {
                let part = &schema["properties"][name];
                let path = path.and(Step::Key(name.to_owned()));
                fields.insert(name.to_owned(), smallest(part, &path));
            }
            Value::Object(fields)
        }
        Some("array") => json!([]),
        Some("integer") => json!(schema["minimum"].as_f64().map_or(1, whole)),
        _ => json!("a"),
    }
}

/// A bound of an integer, which schemas have as a float.
#[expect(
    clippy::cast_possible_truncation,
    reason = "bounds of integers are whole and small"
)]
pub(crate) fn whole(bound: f64) -> i64 {
    bound as i64
}
