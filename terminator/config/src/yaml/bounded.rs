//! From the parser's events to a [`Value`], within bounds: an alias of a few bytes may expand to everything before it.
//!
//! It must not quote a value in an error.

use std::cell::Cell;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor};

use super::{Mapping, Tag, TaggedValue, Value};

/// Maximum number of values, and of bytes of text, that aliases may add.
const VALUES_ADDED_MAX: usize = 16 * 1024;
const BYTES_ADDED_MAX: usize = 1024 * 1024;

/// Maximum number of values, and of bytes of text, per byte of YAML without aliases: `[:,` is a mapping, its key and
/// its value; an escape of two bytes is a character of three.
const PER_BYTE_MAX: usize = 3;

/// The number of values, and of bytes of text, that may still be read.
pub(super) struct Budget {
    values: Cell<usize>,
    bytes: Cell<usize>,
}

impl Budget {
    pub(super) fn of(text: &str) -> Self {
        let written = text.len().saturating_mul(PER_BYTE_MAX);
        Self {
            values: Cell::new(written.saturating_add(VALUES_ADDED_MAX)),
            bytes: Cell::new(written.saturating_add(BYTES_ADDED_MAX)),
        }
    }

    fn spend<E: Error>(&self, bytes: usize) -> Result<(), E> {
        let values = self.values.get().checked_sub(1);
        let bytes = self.bytes.get().checked_sub(bytes);
        let (Some(values), Some(bytes)) = (values, bytes) else {
            return Err(E::custom(EXPANDED));
        };
        self.values.set(values);
        self.bytes.set(bytes);
        Ok(())
    }
}

/// The message about aliases that expand too far.
pub(super) const EXPANDED: &str =
    "its aliases expand to far more than the text itself; write the content out";

/// The message about a duplicate key.
pub(super) const TWICE: &str = "duplicate key";

/// The message about a tag that is only an exclamation mark.
pub(super) const NAMELESS: &str = "a tag has no name";

/// Reads one value.
#[derive(Clone, Copy)]
pub(super) struct Bounded<'b>(pub(super) &'b Budget);

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        self.0.spend(0).map(|()| value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        self.0.spend(0).map(|()| value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        self.0.spend(0).map(|()| value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        self.0.spend(0).map(|()| value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.0.spend(value.len()).map(|()| value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        self.0.spend(value.len()).map(|()| value.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        self.0.spend(0).map(|()| Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        self.0.spend(0)?;
        let mut values = Vec::new();
        while let Some(value) = seq.next_element_seed(self)? {
            values.push(value);
        }
        Ok(Value::Sequence(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        self.0.spend(0)?;
        let mut mapping = Mapping::new();
        while let Some(key) = map.next_key_seed(self)? {
            if mapping.contains_key(&key) {
                return Err(Error::custom(TWICE));
            }
            let value = map.next_value_seed(self)?;
            mapping.insert(key, value);
        }
        Ok(Value::Mapping(mapping))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<Value, A::Error> {
        self.0.spend(0)?;
        let (tag, contents) = data.variant::<String>()?;
        if tag.is_empty() {
            return Err(Error::custom(NAMELESS));
        }
        let value = contents.newtype_variant_seed(self)?;
        let tag = Tag::new(tag);
        Ok(Value::Tagged(Box::new(TaggedValue { tag, value })))
    }
}

#[cfg(test)]
mod tests {
    use crate::yaml::value;

    /// The same values as the library's.
    #[test]
    fn values_are_the_librarys() {
        for text in [
            "",
            "a",
            "~",
            "a: {b: [1, -2, 0x1f, 1.5, .inf, true, null, ~, '1', \"\"], 2: c, ? [d] : e}",
            "a: &a [x, y]\nb: *a\nc: {<<: *a}\n",
            "!t {a: !u b, c: !!str 1}",
            "- |\n  a\n- >\n  b\n  c\n-\n",
        ] {
            let wanted: serde_yaml::Value = serde_yaml::from_str(text).unwrap();
            assert_eq!(value(text), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn aliases_that_stand_for_little_are_read() {
        let pem = "x".repeat(8000);
        let text = format!("a: &a {pem}\nb: [{}]\n", "*a, ".repeat(100));
        assert!(value(&text).is_ok());
    }

    #[test]
    fn aliases_that_stand_for_too_much_are_refused_and_no_key_is_shown() {
        let nested: Vec<String> = (1..12)
            .map(|level| {
                let aliases = vec![format!("*a{}", level - 1); 10];
                format!("secret{level}: &a{level} [{}]", aliases.join(", "))
            })
            .collect();
        let long = "x".repeat(8000);
        for text in [
            format!("a: &a0 [x, x, x]\n{}\n", nested.join("\n")),
            format!(
                "a: &a [{}]\nsecret: [{}]\n",
                "1, ".repeat(1000),
                "*a, ".repeat(1000)
            ),
            format!("a: &a {long}\nsecret: [{}]\n", "*a, ".repeat(1000)),
        ] {
            let error = value(&text).unwrap_err();
            assert!(
                error.message.starts_with("its aliases expand to"),
                "{error:?}"
            );
            assert!(!error.message.contains("secret"), "{error:?}");
        }
    }
}
