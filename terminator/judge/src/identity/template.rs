//! Templates for names: literal text and fields of a certificate, such as `factory-{cn}`. Checked when they are loaded.
//!
//! It must not make a name that is empty, longer than [`NAME_MAX`], or has characters that cannot be seen or mean something to
//! brokers; nor one from a field that the certificate has twice; nor one that another certificate gives by other values. It
//! changes no value: names are compared byte by byte, without Unicode's normalization.

use std::fmt;

use super::{Field, Identity};
use crate::escape;

/// Maximum length of a name, in bytes. MQTT allows 65,535; each connection keeps its names.
pub const NAME_MAX: usize = 1024;

/// A template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Field(Field),
}

/// Errors in a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Two fields follow each other.
    #[error(
        "the template has {0} and {1} with nothing between them, so two certificates could give one name; put a \
        text between them that no {0} has"
    )]
    Adjacent(Field, Field),
    /// A brace is not closed, or not opened.
    #[error("the template has a single `{0}`; write `{0}{0}` for the character itself")]
    Brace(char),
    /// The text has a control character.
    #[error("the template has a control character; remove it")]
    Control,
    /// There is no field: each certificate would give the same name.
    #[error("the template names no field of the certificate; add one, such as {{cn}}")]
    NoField,
    /// It is too long.
    #[error("the template has {0} bytes; the maximum is {NAME_MAX}")]
    TooLong(usize),
    /// A field is unknown.
    #[error("the template has the unknown field `{{{0}}}`; use {all}", all = All)]
    UnknownField(String),
}

struct All;

impl fmt::Display for All {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, field) in Field::ALL.into_iter().enumerate() {
            let before = match index {
                0 => "",
                index if index + 1 == Field::ALL.len() => " or ",
                _ => ", ",
            };
            write!(f, "{before}{{{field}}}")?;
        }
        Ok(())
    }
}

/// Why a certificate gives no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unnamed {
    /// The certificate has the field several times.
    #[error("the certificate has {1} values of {0}, and a name needs exactly one")]
    Ambiguous(Field, usize),
    /// The certificate does not have the field.
    #[error("the certificate has no {0}")]
    Missing(Field),
    /// The value has the text that separates it from the next one: another certificate could give the same name.
    #[error("the certificate has a {0} that contains the text which the template has behind it")]
    Separator(Field),
    /// The name would be too long.
    #[error("the certificate gives a name of {0} bytes; the maximum is {NAME_MAX}")]
    TooLong(usize),
    /// The value is empty or no text, or has characters that cannot be seen or mean something to brokers.
    #[error(
        "the certificate has a {0} that is empty, is no text, begins or ends with a space, or has `+`, `#`, or characters \
        that cannot be seen"
    )]
    Unusable(Field),
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    ///
    /// It is invalid.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > NAME_MAX {
            return Err(Error::TooLong(text.len()));
        }
        if text.chars().any(char::is_control) {
            return Err(Error::Control);
        }
        let (mut parts, mut literal) = (Vec::new(), String::new());
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            literal.push_str(before);
            if let Some(behind) = from.strip_prefix("{{").or(from.strip_prefix("}}")) {
                literal.push_str(&from[..1]);
                rest = behind;
                continue;
            }
            let Some(opened) = from.strip_prefix('{') else {
                return Err(Error::Brace('}'));
            };
            let (name, behind) = opened.split_once('}').ok_or(Error::Brace('{'))?;
            let field = Field::by_name(name);
            let field = field.ok_or_else(|| Error::UnknownField(escape::escaped(name, 64)))?;
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            if let Some(Part::Field(before)) = parts.last() {
                return Err(Error::Adjacent(*before, field));
            }
            parts.push(Part::Field(field));
            rest = behind;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        if !parts.iter().any(|part| matches!(part, Part::Field(_))) {
            return Err(Error::NoField);
        }
        Ok(Self { parts })
    }

    /// Reports whether another template may give the same name: neither what they begin with differs, nor what
    /// they end with.
    pub fn may_meet(&self, other: &Self) -> bool {
        let begins = (literal(self.parts.first()), literal(other.parts.first()));
        let ends = (literal(self.parts.last()), literal(other.parts.last()));
        (begins.0.starts_with(begins.1) || begins.1.starts_with(begins.0))
            && (ends.0.ends_with(ends.1) || ends.1.ends_with(ends.0))
    }

    /// Returns the name that a certificate gives.
    ///
    /// # Errors
    ///
    /// It gives none.
    pub fn name(&self, identity: &Identity) -> Result<String, Unnamed> {
        let mut name = String::new();
        for (index, part) in self.parts.iter().enumerate() {
            match part {
                Part::Literal(text) => name.push_str(text),
                Part::Field(field) => {
                    let value = the_one(identity, *field)?;
                    // Behind the last field nothing can be moved.
                    if let [Part::Literal(text), Part::Field(_), ..] = &self.parts[index + 1..]
                        && !is_apart(value, text)
                    {
                        return Err(Unnamed::Separator(*field));
                    }
                    name.push_str(value);
                }
            }
        }
        if name.len() > NAME_MAX {
            return Err(Unnamed::TooLong(name.len()));
        }
        Ok(name)
    }
}

/// Reports whether a name would match others in a topic filter: brokers put names into the patterns of their rules.
pub(super) fn has_wildcard(name: &str) -> bool {
    name.contains(['+', '#'])
}

/// Reports whether a text behind a value shows where the value ends: it occurs nowhere before.
fn is_apart(value: &str, text: &str) -> bool {
    format!("{value}{text}").find(text) == Some(value.len())
}

/// Returns the text of a part; a field has none of its own.
fn literal(part: Option<&Part>) -> &str {
    match part {
        Some(Part::Literal(text)) => text,
        Some(Part::Field(_)) | None => "",
    }
}

/// Returns the only value of a field.
fn the_one(identity: &Identity, field: Field) -> Result<&str, Unnamed> {
    match identity.all(field) {
        [] => Err(Unnamed::Missing(field)),
        [value] => {
            let value = value.as_deref().filter(|value| !has_wildcard(value));
            value.ok_or(Unnamed::Unusable(field))
        }
        values => Err(Unnamed::Ambiguous(field, values.len())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::identity;
    use super::{Error, NAME_MAX, Template, Unnamed};
    use crate::identity::Field::{CommonName, Dns, Ip, Uri};

    fn parsed(template: &str) -> Template {
        Template::parse(template).unwrap()
    }

    fn name(template: &str, values: &[(super::Field, Option<&str>)]) -> Result<String, Unnamed> {
        parsed(template).name(&identity(values))
    }

    #[test]
    fn fields_are_replaced_and_braces_are_kept() {
        let values = [(CommonName, Some("pump-7")), (Uri, Some("spiffe://f/p7"))];
        assert_eq!(name("{cn}", &values).unwrap(), "pump-7");
        assert_eq!(
            name("f/{cn}@{san.uri}!", &values).unwrap(),
            "f/pump-7@spiffe://f/p7!"
        );
        assert_eq!(name("{{{cn}}}", &values).unwrap(), "{pump-7}");
        // A value is not read as a template.
        let values = [(CommonName, Some("{san.dns}"))];
        assert_eq!(name("{cn}", &values).unwrap(), "{san.dns}");
    }

    #[test]
    fn templates_are_checked_when_they_are_loaded() {
        for (text, error) in [
            ("", Error::NoField),
            ("device", Error::NoField),
            ("{{cn}}", Error::NoField),
            ("{cn", Error::Brace('{')),
            ("cn}", Error::Brace('}')),
            ("{cn}}", Error::Brace('}')),
            ("{}", Error::UnknownField(String::new())),
            ("{CN}", Error::UnknownField("CN".to_owned())),
            ("{cn}{san.dns}", Error::Adjacent(CommonName, Dns)),
            ("a\0{cn}", Error::Control),
            ("a\n{cn}", Error::Control),
        ] {
            assert_eq!(Template::parse(text), Err(error), "{text:?}");
        }
        let long = format!("{}{{cn}}", "a".repeat(NAME_MAX));
        assert_eq!(Template::parse(&long), Err(Error::TooLong(NAME_MAX + 4)));
        let unknown = Template::parse("{serial}").unwrap_err().to_string();
        assert!(
            unknown.ends_with("use {cn}, {san.dns}, {san.email}, {san.ip}, {san.uri} or {spki}")
        );
    }

    #[test]
    fn templates_with_another_begin_or_end_give_other_names() {
        for (one, other, may_meet) in [
            ("{cn}", "{cn}", true),
            ("{cn}", "{san.dns}", true),
            ("a/{cn}", "{cn}", true),
            ("a/{cn}", "a/b/{cn}", true),
            ("a/{cn}", "b/{cn}", false),
            ("{cn}@a", "{cn}@b", false),
            ("{cn}@a", "x{cn}", true),
        ] {
            let (one, other) = (parsed(one), parsed(other));
            assert_eq!(one.may_meet(&other), may_meet, "{one:?} {other:?}");
            assert_eq!(other.may_meet(&one), may_meet);
        }
    }

    #[test]
    fn a_name_needs_exactly_one_usable_value() {
        let two = [(Dns, Some("a.example")), (Dns, Some("b.example"))];
        assert_eq!(name("{san.dns}", &two), Err(Unnamed::Ambiguous(Dns, 2)));
        // What cannot be read counts, too.
        let two = [(Dns, Some("a.example")), (Dns, None)];
        assert_eq!(name("{san.dns}", &two), Err(Unnamed::Ambiguous(Dns, 2)));
        assert_eq!(name("{san.ip}", &two), Err(Unnamed::Missing(Ip)));
        for value in [
            None,
            Some(""),
            Some("a\0"),
            Some("a\u{85}"),
            Some("a\nb"),
            Some(" a"),
            Some("a "),
            Some("a\u{200b}"),
            Some("a\u{202e}b"),
            Some("a\u{ffff}"),
            Some("+"),
            Some("a/#"),
        ] {
            let values = [(CommonName, value)];
            assert_eq!(name("d-{cn}", &values), Err(Unnamed::Unusable(CommonName)));
        }
        let long = "a".repeat(NAME_MAX);
        let values = [(CommonName, Some(&*long))];
        assert_eq!(name("{cn}", &values).unwrap(), long);
        assert_eq!(name("{cn}.", &values), Err(Unnamed::TooLong(NAME_MAX + 1)));
    }

    /// By a value that has the separator, or makes it together with the separator.
    #[test]
    fn a_value_does_not_reach_into_the_next_one() {
        let values = |cn, uri| [(CommonName, Some(cn)), (Uri, Some(uri))];
        for (template, cn, uri, other_cn, other_uri) in [
            ("{cn}/{san.uri}", "a", "b/c", "a/b", "c"),
            ("{cn}-{san.uri}", "a-b", "c", "a", "b-c"),
            ("{cn}aa{san.uri}", "xa", "y", "x", "ay"),
        ] {
            let one = name(template, &values(cn, uri));
            let other = name(template, &values(other_cn, other_uri));
            assert_ne!(one, other, "{template}");
            assert!(
                one == Err(Unnamed::Separator(CommonName))
                    || other == Err(Unnamed::Separator(CommonName))
            );
        }
        let last = name("{cn}/{san.uri}/", &values("a", "b/c/"));
        assert_eq!(last.unwrap(), "a/b/c//");
    }

    proptest! {
        #[test]
        fn other_values_give_another_name(
            template in prop::sample::select(vec!["{cn}/{san.uri}", "{cn}aa{san.uri}a", "a{cn}-a-{san.uri}", "{san.uri}a{cn}"]),
            one in ("[a/-]{1,4}", "[a/-]{1,4}"),
            other in ("[a/-]{1,4}", "[a/-]{1,4}"),
        ) {
            let values = |(cn, uri): &(String, String)| {
                name(template, &[(CommonName, Some(&**cn)), (Uri, Some(&**uri))])
            };
            if let (Ok(first), Ok(second)) = (values(&one), values(&other)) {
                prop_assert_eq!(first == second, one == other);
            }
        }

        #[test]
        fn any_name_is_bounded_visible_and_has_the_value(
            template in "[a-z{}]{0,3}(\\{(cn|san.dns|san.uri)\\})?[a-z{}]{0,3}",
            value: String,
        ) {
            let values = [(CommonName, Some(&*value)), (Dns, Some("d")), (Uri, None)];
            if let Ok(template) = Template::parse(&template)
                && let Ok(name) = template.name(&identity(&values))
            {
                prop_assert!(!name.is_empty() && name.len() <= NAME_MAX);
                prop_assert!(!name.chars().any(char::is_control));
                prop_assert!(name.contains(&value) || name.contains('d'));
            }
        }
    }
}
