//! What a request of the operator does, read from its path and body. It must not forward it.

use std::fmt;

use axum::http::Method;
use serde_json::Value;

/// The object of a write, as it is counted: an event by its listener and reason, because its own name is random.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Object {
    /// The plural, and the subresource after a dot.
    pub(crate) resource: String,
    pub(crate) name: String,
}

/// One write among all of a workload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Write {
    pub(crate) verb: &'static str,
    pub(crate) object: Object,
    /// The first such write is 1.
    pub(crate) ordinal: usize,
}

/// A request about an object.
#[derive(Debug)]
pub(crate) enum Request {
    /// The first read of a reconciliation, with the listener's name.
    Look(String),
    /// A write, with its verb.
    Write(&'static str, Object),
    /// Another read.
    Other,
}

impl Object {
    pub(crate) fn is_event(&self) -> bool {
        self.resource == "events"
    }

    pub(crate) fn is_status(&self) -> bool {
        self.resource == "mqtttlslisteners.status"
    }

    /// Whether it is neither a status nor an event.
    pub(crate) fn is_child(&self) -> bool {
        !self.is_status() && !self.is_event()
    }

    /// The listener that it belongs to. The names of the workloads' listeners are single words.
    pub(crate) fn listener(&self) -> &str {
        self.name.split(['-', '.']).next().unwrap_or_default()
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.resource, self.name)
    }
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.verb, self.object, self.ordinal)
    }
}

impl Request {
    /// Reads `/api/v1/namespaces/NAMESPACE/RESOURCE[/NAME[/SUBRESOURCE]]`, or the same below `/apis/GROUP/VERSION`.
    pub(crate) fn of(method: &Method, path: &str, body: &[u8]) -> Self {
        let mut parts = path.split('/').skip_while(|part| *part != "namespaces");
        let (Some(resource), name) = (parts.nth(2), parts.next()) else {
            return Self::Other;
        };
        let verb = match method.as_str() {
            "GET" if resource == "mqtttlslisteners" => {
                return name.map_or(Self::Other, |name| Self::Look(name.to_owned()));
            }
            "GET" => return Self::Other,
            "POST" => "create",
            "PUT" => "update",
            "DELETE" => "delete",
            _ => "patch",
        };
        let resource = match parts.next() {
            Some(below) => format!("{resource}.{below}"),
            None => resource.to_owned(),
        };
        let name = if resource == "events" {
            about(body)
        } else {
            name.unwrap_or_default().to_owned()
        };
        Self::Write(verb, Object { resource, name })
    }
}

/// The listener and the reason of an event.
fn about(body: &[u8]) -> String {
    let event: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!(
        "{}.{}",
        text(&event["regarding"]["name"]),
        text(&event["reason"])
    )
}
