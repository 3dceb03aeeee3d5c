//! Parses the objects in a file, document by document and with lists split into items, as kubectl does.
//!
//! An invalid object must not affect another one, and no message may quote a Secret.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use mqtt_tls_config::yaml::{self, Value};
use serde::de::DeserializeOwned;

use super::base64;
use crate::crd::MqttTlsListener;
use crate::error::without_values;
use crate::plan::names::Name;

/// Namespace of an object without one.
const NAMESPACE: &str = "default";

/// Maximum length of a name or key in a message, in characters; a PEM line is longer.
const SHOWN_MAX: usize = 63;

const LISTENER: &str = "MqttTlsListener";

/// One object of a file.
pub(super) enum Object {
    Listener(Box<MqttTlsListener>),
    Secret(Box<Secret>),
    ConfigMap(Box<ConfigMap>),
}

impl Object {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Listener(_) => LISTENER,
            Self::Secret(_) => "Secret",
            Self::ConfigMap(_) => "ConfigMap",
        }
    }

    pub(super) fn key(&self) -> Name {
        let metadata: &ObjectMeta = match self {
            Self::Listener(listener) => &listener.metadata,
            Self::Secret(secret) => &secret.metadata,
            Self::ConfigMap(map) => &map.metadata,
        };
        let namespace = metadata.namespace.as_deref().unwrap_or(NAMESPACE);
        let name = metadata.name.as_deref().unwrap_or_default();
        Name::new(namespace, name)
    }
}

/// The result of parsing a file.
#[derive(Default)]
pub(super) struct Reading {
    pub(super) objects: Vec<Object>,
    /// Invalid objects.
    pub(super) faults: Vec<Fault>,
    /// Fields and kinds without effect.
    pub(super) unknown: Vec<String>,
}

/// An invalid object or document.
#[derive(Debug)]
pub(super) struct Fault {
    place: Place,
    why: String,
}

impl Fault {
    /// Reports whether it may be a new version of a previous object.
    pub(super) fn may_be(&self, before: &Object) -> bool {
        let Name { namespace, name } = before.key();
        match &self.place.object {
            None => true,
            Some(object) => *object == (before.kind().to_owned(), namespace, name),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid {}: {}", self.place, self.why)
    }
}

/// A position in a file.
#[derive(Clone, Debug)]
struct Place {
    /// The document, and the items of nested lists in it; counted from 1.
    document: usize,
    items: Vec<usize>,
    /// The document's first line.
    line: usize,
    /// Kind, namespace and name, if known.
    object: Option<(String, String, String)>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "document {} (line {})", self.document, self.line)?;
        for item in &self.items {
            write!(f, ", item {item}")?;
        }
        match &self.object {
            Some((kind, namespace, name)) => write!(f, ", {}", named(kind, namespace, name)),
            None => Ok(()),
        }
    }
}

/// Formats an object's kind and name.
pub(super) fn named(kind: &str, namespace: &str, name: &str) -> String {
    let name = shown(name);
    if namespace == NAMESPACE {
        return format!("{} {name}", shown(kind));
    }
    format!("{} {}/{name}", shown(kind), shown(namespace))
}

/// Returns a name for messages. Text that does not look like a name is withheld: it may be a misplaced secret.
fn shown(name: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "-_.[]".contains(char);
    if name.len() <= SHOWN_MAX && name.chars().all(is_plain) {
        return name.to_owned();
    }
    format!("(a name of {} characters, not shown)", name.chars().count())
}

/// Parses a file's text.
pub(super) fn read(text: &str) -> Reading {
    let mut reading = Reading::default();
    for (index, document) in yaml::stream(text).enumerate() {
        let mut place = Place {
            document: index + 1,
            items: Vec::new(),
            line: document.line,
            object: None,
        };
        match document.value {
            Ok(value) => reading.take(value, place),
            Err(error) => {
                place.line = error.line.unwrap_or(place.line);
                let why = format!("not YAML: {}", error.message);
                reading.faults.push(Fault { place, why });
            }
        }
    }
    reading
}

impl Reading {
    /// Adds one object, or each item of a list, if its kind is supported.
    fn take(&mut self, mut value: Value, mut place: Place) {
        let field = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
        let (kind, version) = (field("kind").to_owned(), field("apiVersion").to_owned());
        if let Some(of) = kind.strip_suffix("List")
            && let Some(items) = value.get_mut("items").map(std::mem::take)
        {
            return self.take_items(items, (of, &version), &place);
        }
        let metadata = |name: &str| value.get("metadata")?.get(name)?.as_str();
        if let Some(name) = metadata("name") {
            let namespace = metadata("namespace").unwrap_or(NAMESPACE).to_owned();
            place.object = Some((kind.clone(), namespace, name.to_owned()));
        }
        let is_ours = version.starts_with("mqtt.smartboot.tech/");
        let read = match (kind.as_str(), version.as_str()) {
            (LISTENER, _) if is_ours => self
                .object(value, &place, |error| Some(without_values(error)))
                .map(|listener| Object::Listener(Box::new(listener))),
            ("Secret", "v1") => self.secret(value, &place),
            ("ConfigMap", "v1") => self.config_map(value, &place),
            _ => {
                // The folder may contain other manifests.
                if is_ours {
                    let kind = shown(&kind);
                    place.object = None;
                    self.unknown.push(format!("{place}, kind {kind}"));
                }
                return;
            }
        };
        match read {
            Ok(object) => self.objects.push(object),
            Err(why) => self.faults.push(Fault { place, why }),
        }
    }

    /// Adds the items of a list. Items of a typed list may omit their kind and version.
    fn take_items(&mut self, items: Value, (of, version): (&str, &str), place: &Place) {
        let items = match items {
            Value::Null => return,
            Value::Sequence(items) => items,
            _ => {
                let why = "`items` must be a list".to_owned();
                let place = place.clone();
                return self.faults.push(Fault { place, why });
            }
        };
        for (index, mut item) in items.into_iter().enumerate() {
            if let (false, Value::Mapping(item)) = (of.is_empty(), &mut item) {
                for (key, value) in [("kind", of), ("apiVersion", version)] {
                    if !item.contains_key(key) {
                        item.insert(key.into(), value.into());
                    }
                }
            }
            let mut place = place.clone();
            place.items.push(index + 1);
            self.take(item, place);
        }
    }

    /// Parses a Secret as the API server does.
    fn secret(&mut self, mut value: Value, place: &Place) -> Result<Object, String> {
        let mut data = bytes(&mut value, "data")?;
        let mut secret: Secret = self.object(value, place, expectation)?;
        for (key, text) in secret.string_data.take().unwrap_or_default() {
            data.insert(key, ByteString(text.into_bytes()));
        }
        secret.data = Some(data);
        Ok(Object::Secret(Box::new(secret)))
    }

    fn config_map(&mut self, mut value: Value, place: &Place) -> Result<Object, String> {
        let binary = bytes(&mut value, "binaryData")?;
        let mut map: ConfigMap = self.object(value, place, expectation)?;
        map.binary_data = Some(binary).filter(|binary| !binary.is_empty());
        Ok(Object::ConfigMap(Box::new(map)))
    }

    /// Parses a value as a type, and collects unknown fields. `words` reduces the parser's message to what may be shown.
    fn object<T: DeserializeOwned>(
        &mut self,
        value: Value,
        place: &Place,
        words: fn(&str) -> Option<String>,
    ) -> Result<T, String> {
        let mut note = |path: serde_ignored::Path<'_>| {
            // The path contains a question mark for each optional field.
            let path = path.to_string().replace(".?", "");
            if path != "apiVersion" && path != "kind" {
                let path = shown(&path);
                self.unknown.push(format!("{place}: {path}"));
            }
        };
        let ignored = serde_ignored::Deserializer::new(value, &mut note);
        serde_path_to_error::deserialize(ignored).map_err(|error| {
            let path = shown(&error.path().to_string());
            let words = words(&error.inner().to_string());
            let words = words.unwrap_or_else(|| "unexpected value".to_owned());
            if path == "." {
                return words;
            }
            format!("{path}: {words}")
        })
    }
}

/// Removes a map of base64 values from an object, and decodes it.
fn bytes(object: &mut Value, field: &str) -> Result<BTreeMap<String, ByteString>, String> {
    let taken = object.as_mapping_mut().and_then(|map| map.remove(field));
    let entries = match taken {
        None | Some(Value::Null) => return Ok(BTreeMap::new()),
        Some(Value::Mapping(entries)) => entries,
        Some(_) => return Err(format!("{field}: expected a map of base64 strings")),
    };
    let mut bytes = BTreeMap::new();
    for (key, value) in entries {
        let Value::String(key) = key else {
            return Err(format!("{field}: expected string keys"));
        };
        let read = match &value {
            Value::Null => Ok(ByteString::default()),
            Value::String(text) => base64::decode(text),
            _ => Err("expected a base64 string"),
        };
        let read = read.map_err(|why| format!("{field}.{}: {why}", shown(&key)))?;
        bytes.insert(key, read);
    }
    Ok(bytes)
}

/// Returns what the parser expected, without what it found, which may be secret.
fn expectation(message: &str) -> Option<String> {
    if message.starts_with("missing field `") {
        return Some(message.to_owned());
    }
    let (_, expected) = message.rsplit_once(", expected ")?;
    Some(format!("expected {expected}"))
}
