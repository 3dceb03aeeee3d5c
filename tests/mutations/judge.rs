//! The three oracles: service goes on, the status explains, the way back heals. It must not run anything.

use serde_json::Value;

use crate::schema::Path;
use crate::stage::Look;

/// Longest value of which a message must contain all, in characters.
const QUOTED_MAX: usize = 40;

/// Ends of values, and the words of rules that stand for them: a rule about a listener's name cannot quote it at a bounded
/// cost.
const DESCRIBED: &[(&str, &str)] = &[("-mqtts", "NAME-mqtts")];

/// Words of the scheduler, which name no field.
const SCHEDULER: &str = "nodes are available";

/// Words of the API server for a value of another type, of which it names both types, and for a long text, of which it
/// names the bound.
const UNQUOTED: [&str; 2] = ["must be of type", "Too long: may not be more than"];

/// Returns what is wrong with the words of a refusal.
pub(crate) fn refusal(path: &Path, value: Option<&Value>, message: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if !mentions_field(path, message) {
        wrong.push(format!(
            "status: the refusal does not name the field {path}: {message}"
        ));
    }
    if message.contains("should match '") {
        wrong.push(format!(
            "status: the refusal is a bare regular expression: {message}"
        ));
    }
    // Which item of a list is wrong costs more to find than the API server allows a rule.
    let is_bounded = UNQUOTED.iter().any(|words| message.contains(words));
    let is_quoted = |value: &&Value| is_bounded || value.is_array() || quotes(message, value);
    if let Some(value) = value.filter(|value| !is_quoted(value)) {
        wrong.push(format!(
            "status: the refusal does not quote {value}: {message}"
        ));
    }
    wrong
}

/// Returns what is wrong with the status after a change that was accepted.
pub(crate) fn status(path: &Path, value: Option<&Value>, look: &Look) -> Vec<String> {
    if look.is_ready() {
        return Vec::new();
    }
    let messages = look.messages();
    let is_explained = mentions_field(path, &messages)
        || value.is_some_and(|value| names_part(&messages, value))
        || messages.contains(SCHEDULER);
    if messages.is_empty() {
        vec!["status: the listener is not ready, and no condition says why".to_owned()]
    } else if is_explained {
        Vec::new()
    } else {
        vec![format!(
            "status: no condition names the field {path} or its value: {messages}"
        )]
    }
}

/// Whether a text names a field, or the nearest field around it.
fn mentions_field(path: &Path, text: &str) -> bool {
    let path = path.to_string();
    let names = path.split(['.', '[', ']']).filter(|name| name.len() > 2);
    let names: Vec<&str> = names.collect();
    names.iter().rev().take(2).any(|name| text.contains(*name))
}

/// Whether a message contains a part of a value, such as the name of a Secret in a list.
fn names_part(message: &str, value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| names_part(message, item)),
        Value::Object(fields) => fields.values().any(|part| names_part(message, part)),
        _ => is_quotable(value) && quotes(message, value),
    }
}

/// Whether a message must contain a value.
fn is_quotable(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty()) || value.is_number()
}

/// Whether a message contains a value: a number, a text unless it is long, or a part of a list or map.
fn quotes(message: &str, value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) => true,
        // Kubernetes says `expected array, got string`, or quotes the text.
        Value::String(text) if text.is_empty() || text.chars().count() > QUOTED_MAX => true,
        Value::String(text) => {
            let is_described =
                |(end, words): &(&str, &str)| text.ends_with(end) && message.contains(words);
            message.contains(text.as_str())
                || message.contains(&format!("{text:?}"))
                || DESCRIBED.iter().any(is_described)
        }
        Value::Number(number) => {
            let number = number.to_string();
            message.contains(&number)
        }
        Value::Array(items) => items.is_empty() || items.iter().any(|item| quotes(message, item)),
        Value::Object(fields) => {
            let mut parts = fields.iter();
            fields.is_empty()
                || parts.any(|(key, part)| {
                    message.contains(key.as_str()) || is_quotable(part) && quotes(message, part)
                })
        }
    }
}
