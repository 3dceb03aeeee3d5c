//! Reads and writes YAML. serde_yaml is no longer maintained; this is the only module that uses it, so that
//! replacing it changes one file.
//!
//! It must not show a value in an error: serde's own messages quote values, and a value may be a private key.

mod bounded;
mod stream;

use serde::Serialize;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_yaml::value::{Tag, TaggedValue};

use crate::nesting::{self, Excess};
use bounded::{Bounded, Budget, EXPANDED, NAMELESS, TWICE};

pub use serde_yaml::{Mapping, Value};
pub use stream::{Document, stream};

/// Why a text is not YAML, or not of the type that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// The line, counted from 1, where the parser stopped.
    pub line: Option<usize>,
    /// What the parser says, without any value of the text.
    pub message: String,
}

/// One step from the top of a document to a place in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Into the mapping's value under this key.
    Key(String),
    /// Into the sequence's element at this index, counted from 0.
    Index(usize),
}

/// Writes a value as a YAML document.
///
/// It cannot fail for the types of this project: the library only fails on keys that are not texts.
pub fn to_string<T: Serialize>(value: &T) -> String {
    serde_yaml::to_string(value).unwrap_or_default()
}

/// Turns a structure into an untyped mapping; anything else into an empty one.
pub fn to_mapping<T: Serialize>(value: &T) -> Mapping {
    match serde_yaml::to_value(value) {
        Ok(Value::Mapping(mapping)) => mapping,
        _ => Mapping::new(),
    }
}

/// Parses a document into an untyped value. A document that is nested too deep or expands too far is refused
/// before it costs time.
///
/// # Errors
///
/// It is not YAML, or not one document.
pub fn value(text: &str) -> Result<Value, Error> {
    if let Some((line, excess)) = nesting::excess(text) {
        let message = match excess {
            Excess::Nesting => format!(
                "lists and mappings are nested deeper than {} levels",
                nesting::NESTING_MAX
            ),
            Excess::Directives => {
                "there are too many directives (lines that begin with %)".to_owned()
            }
        };
        return Err(Error {
            line: Some(line),
            message,
        });
    }
    let budget = Budget::of(text);
    Bounded(&budget)
        .deserialize(serde_yaml::Deserializer::from_str(text))
        .map_err(|error| syntax(&error))
}

/// Parses the documents of a manifest, which may be several, separated by `---`. Empty documents are left out.
///
/// # Errors
///
/// The first document that is not YAML; the line is that of the text as a whole.
pub fn documents(text: &str) -> Result<Vec<Value>, Error> {
    let values = stream(text).map(|document| document.value);
    values
        .filter(|value| !value.as_ref().is_ok_and(Value::is_null))
        .collect()
}

/// Converts an untyped value to a type without secrets: the error's message is serde's, and may quote the value.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, Error> {
    serde_yaml::from_value(value).map_err(|error| Error {
        line: None,
        message: error.to_string(),
    })
}

/// Returns the line, counted from 1, on which the key or element at the end of the path begins.
///
/// The parser itself finds it: a walk along the path ends there with an error, and each error of the library has
/// a location.
pub fn line_of(text: &str, path: &[Step]) -> Option<usize> {
    let mut documents = serde_yaml::Deserializer::from_str(text);
    let stop = Walk { path }.deserialize(documents.next()?).err()?;
    let location = stop.to_string().contains(HERE).then(|| stop.location())??;
    Some(location.line())
}

/// The message of the walk's own error at the end of the path.
const HERE: &str = "the path ends here";

/// Returns the library's message about a text that is not YAML. It names what was expected where, and quotes
/// nothing.
fn syntax(error: &serde_yaml::Error) -> Error {
    let message = error.to_string();
    // The library puts the keys that lead there before our messages, and a key may be a secret in the wrong place.
    let ours = [TWICE, EXPANDED, NAMELESS, UNKNOWN_KIND.0];
    let message = match ours.into_iter().find(|ours| message.contains(ours)) {
        Some(kind) if kind == UNKNOWN_KIND.0 => UNKNOWN_KIND.1.to_owned(),
        Some(ours) => ours.to_owned(),
        None => message,
    };
    Error {
        line: error.location().map(|location| location.line()),
        message,
    }
}

/// serde's message about a number beyond 64 bits, and the one that replaces it.
const UNKNOWN_KIND: (&str, &str) = (
    "invalid type",
    "the value is neither a text, a 64-bit number nor true or false",
);

/// Deserializes nothing: follows the path, and fails where it ends.
struct Walk<'p> {
    path: &'p [Step],
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.path.first() {
            None => deserializer.deserialize_any(Found),
            Some(_) => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the place that the path leads to")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((Step::Key(wanted), rest)) = self.path.split_first() else {
            return Err(de::Error::custom("the path leads elsewhere"));
        };
        loop {
            let seed = Key {
                wanted,
                last: rest.is_empty(),
            };
            match map.next_key_seed(seed)? {
                None => return Err(de::Error::custom("no such key")),
                Some(true) => return map.next_value_seed(Walk { path: rest }),
                Some(false) => drop(map.next_value::<IgnoredAny>()?),
            }
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Some((Step::Index(wanted), rest)) = self.path.split_first() else {
            return Err(de::Error::custom("the path leads elsewhere"));
        };
        for _ in 0..*wanted {
            seq.next_element::<IgnoredAny>()?;
        }
        seq.next_element_seed(Walk { path: rest })?;
        Err(de::Error::custom("no such element"))
    }
}

/// Reads a key: whether it is the wanted one, or, if that ends the path, an error at its place.
struct Key<'p> {
    wanted: &'p str,
    last: bool,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = bool;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<bool, E> {
        if key == self.wanted && self.last {
            return Err(E::custom(HERE));
        }
        Ok(key == self.wanted)
    }
}

/// Fails at once, at the place where it is.
struct Found;

impl Visitor<'_> for Found {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(HERE)
    }
}

#[cfg(test)]
mod tests {
    use super::{Step, line_of, value};

    const TEXT: &str = "\
# a comment
host: 0.0.0.0
timeouts:
    handshake: 10s

    dial: 5s
certificates:
- pem: a
- pem: |
    b
flow: {a: 1, b: {c: 2}}
";

    fn line(path: &[&str]) -> Option<usize> {
        let steps: Vec<Step> = path
            .iter()
            .map(|step| match step.parse() {
                Ok(index) => Step::Index(index),
                Err(_) => Step::Key((*step).to_owned()),
            })
            .collect();
        line_of(TEXT, &steps)
    }

    #[test]
    fn a_key_is_found_on_its_line() {
        assert_eq!(line(&["host"]), Some(2));
        assert_eq!(line(&["timeouts"]), Some(3));
        assert_eq!(line(&["timeouts", "dial"]), Some(6));
        assert_eq!(line(&["certificates", "0", "pem"]), Some(8));
        assert_eq!(line(&["certificates", "1", "pem"]), Some(9));
        assert_eq!(line(&["certificates", "1"]), Some(9));
        assert_eq!(line(&["flow", "b", "c"]), Some(11));
    }

    #[test]
    fn a_syntax_error_has_a_line_and_no_value() {
        let error = value("host: [a\nport: secret-text\n").unwrap_err();
        assert!(error.line.is_some(), "{error:?}");
        assert!(!error.message.contains("secret-text"), "{error:?}");
        let error = value("secret-text: 1\nsecret-text: 2\n").unwrap_err();
        assert!(!error.message.contains("secret-text"), "{error:?}");
    }
}
