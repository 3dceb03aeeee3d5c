//! Converts a section of a listener's spec to the same section of the terminator's configuration, which defines the
//! names, bounds and defaults.
//!
//! It must not know a key: a new one is a field of the resource and a key of the file.

use mqtt_tls_config::key::{Key, Section, Visitor};
use mqtt_tls_config::yaml::{self, Mapping, Value};
use serde::Serialize;

/// Maximum number of characters of a value in a message.
const SHOWN_MAX: usize = 32;

/// Maximum number of characters of a list in a message.
const LIST_SHOWN_MAX: usize = 128;

/// Converts a section.
///
/// # Errors
///
/// A message about the first field that is invalid or out of bounds.
pub fn section<S: Section>(spec: &impl Serialize) -> Result<S, String> {
    let mut spec = Spec {
        section: S::NAME,
        fields: yaml::to_mapping(spec),
        problem: None,
    };
    let section = S::visit(&mut spec);
    spec.problem.map_or(Ok(section), Err)
}

/// A section of the spec, whose fields have the names of the file's keys.
struct Spec {
    section: &'static str,
    fields: Mapping,
    problem: Option<String>,
}

impl Visitor for Spec {
    fn key<T>(&mut self, key: &Key<T>) -> T {
        let Some(value) = self.fields.remove(key.name) else {
            return (key.default)();
        };
        let shown = shown(&value);
        let read = value
            .as_str()
            .is_none_or(|text| key.values.is_plain(text))
            .then(|| key.values.read(value))
            .flatten();
        read.unwrap_or_else(|| {
            self.problem.get_or_insert_with(|| {
                let (section, expected) = (self.section, key.values.expected());
                format!(
                    "spec.{section}.{} is {shown}; it must be {expected}",
                    key.name
                )
            });
            (key.default)()
        })
    }
}

/// Shows a value on one line.
fn shown(value: &Value) -> String {
    let escaped = |text: &str, most: usize| -> String {
        let text = text.chars().take(most);
        text.flat_map(char::escape_debug).collect()
    };
    match value {
        Value::String(text) => escaped(text, SHOWN_MAX),
        Value::Sequence(list) => {
            let texts: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
            format!("[{}]", escaped(&texts.join(", "), LIST_SHOWN_MAX))
        }
        other => yaml::to_string(other).trim_end().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mqtt_tls_config::reference;
    use mqtt_tls_config::{Config, Group, Limits, Pem, Suite, Tickets, Timeouts, Tls};

    use super::section;
    use crate::crd;

    fn handshake(text: &str) -> Result<Duration, String> {
        let spec = crd::Timeouts {
            handshake: Some(text.to_owned()),
            ..crd::Timeouts::default()
        };
        section(&spec).map(|timeouts: Timeouts| timeouts.handshake)
    }

    #[test]
    fn missing_values_get_the_files_defaults() {
        let file = Config::new(8883, Pem::new(String::new()));
        assert_eq!(section(&crd::Timeouts::default()), Ok(file.timeouts));
        assert_eq!(section(&crd::Limits::default()), Ok(file.limits));
        assert_eq!(section(&crd::Tls::default()), Ok(file.tls));
    }

    #[test]
    fn durations_are_parsed_as_in_the_file() {
        for (text, millis) in [
            ("100ms", 100),
            ("30s", 30_000),
            ("1m30s", 90_000),
            ("1s500ms", 1_500),
            ("10m", 600_000),
        ] {
            assert_eq!(handshake(text), Ok(Duration::from_millis(millis)), "{text}");
            let file = format!("port: 1\npem: x\ntimeouts: {{handshake: {text}}}\n");
            let file = Config::parse(&file).unwrap();
            assert_eq!(handshake(text), Ok(file.timeouts.handshake), "{text}");
        }
        for text in [
            "",
            "30",
            "99ms",
            "10m1ms",
            "1.5s",
            "-1s",
            "1d",
            "1m 30s",
            "1min",
            "2minutes",
            "500000us",
            "30 s",
            "s",
            "\u{1b}[1m",
        ] {
            let said = handshake(text).unwrap_err();
            assert!(said.starts_with("spec.timeouts.handshake is "), "{said}");
            assert!(
                said.ends_with("a duration such as 30s or 1m30s, from 100ms to 10m"),
                "{said}"
            );
            assert!(!said.contains('\u{1b}'), "{said}");
        }
    }

    #[test]
    fn counts_have_the_files_bounds() {
        let spec = crd::Limits {
            connections: Some(10_000_001),
            ..crd::Limits::default()
        };
        assert_eq!(
            section::<Limits>(&spec),
            Err(
                "spec.limits.connections is 10000001; it must be a whole number from 1 to 10000000"
                    .to_owned()
            )
        );
        let spec = crd::Limits {
            connections: Some(1),
            handshakes: Some(1_000_000),
            ..crd::Limits::default()
        };
        let limits: Result<Limits, _> = section(&spec);
        assert_eq!(limits.map(|limits| limits.handshakes), Ok(1_000_000));
    }

    #[test]
    fn suites_and_groups_are_those_of_the_file() {
        let list = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
        let spec = crd::Tls {
            suites: list(&["TLS_CHACHA20_POLY1305_SHA256"]),
            groups: list(&["secp256r1", "x25519"]),
            min_version: Some(crd::TlsVersion::Tls13),
            ..crd::Tls::default()
        };
        let tls: Tls = section(&spec).unwrap();
        assert_eq!(tls.suites, [Suite::ChaCha20]);
        assert_eq!(tls.groups, [Group::P256, Group::X25519]);
        assert_eq!(tls.conflict(), None);
        let spec = crd::Tls {
            groups: list(&["secp256r1", "P-521\n"]),
            ..crd::Tls::default()
        };
        let said = section::<Tls>(&spec).unwrap_err();
        assert!(
            said.starts_with(
                "spec.tls.groups is [secp256r1, P-521\\n]; it must be a list of key exchange groups"
            ),
            "{said}"
        );
    }

    /// As `kubectl explain` and the reference show them.
    #[test]
    fn descriptions_have_the_files_bounds_and_defaults() {
        let definition = serde_json::to_value(crd::definition()).unwrap();
        let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
        let spec = definition.pointer(spec).unwrap();
        let mut fields = 0;
        for row in reference::rows() {
            let Some((section, key)) = row.key.split_once('.') else {
                continue;
            };
            // A protocol's backend is another object in the resource.
            let is_other = key.starts_with("alpn");
            if !["timeouts", "limits", "tls"].contains(&section) || is_other {
                continue;
            }
            fields += 1;
            assert!(spec[section]["required"].is_null(), "{section}");
            let field = &spec[section]["properties"][key];
            assert!(
                field["default"].is_null(),
                "the API server would write it into each listener"
            );
            let text = field["description"].as_str().unwrap();
            let default = format!("Default: {}.", row.default.unwrap());
            assert!(text.contains(&default), "{default} {text}");
            if let Some((_, bounds)) = row.values.split_once(" from ") {
                let bounds = bounds.split(',').next().unwrap();
                assert!(text.contains(bounds), "{bounds}: {text}");
            }
        }
        assert!(fields >= 7, "{fields}");
    }

    #[test]
    fn tickets_match_the_file() {
        for (ours, files) in [
            (crd::Tickets::None, Tickets::None),
            (crd::Tickets::Tls12, Tickets::Tls12),
            (crd::Tickets::All, Tickets::All),
        ] {
            let spec = crd::Tls {
                tickets: Some(ours),
                ..crd::Tls::default()
            };
            let expected = Tls {
                tickets: files,
                ..Tls::default()
            };
            assert_eq!(section(&spec), Ok(expected));
        }
    }
}
