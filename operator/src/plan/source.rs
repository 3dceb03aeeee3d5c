//! Where certificates and CA bundles come from, as it is remembered with what was made of them: in an annotation of the
//! configuration Secret. It must not hold a hash of any content, which would be an oracle for it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::names::{CERTIFICATE_SECRETS, CLIENT_CA, Name, SOURCES};
use crate::crd::{CaKind, CaRef};

/// The version of what is written. What has another one is as if it were not there.
const VERSION: u32 = 1;

/// Where a certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(tag = "kind")]
pub enum Source {
    /// A Secret.
    Secret(Name),
}

impl Source {
    /// The object's name, for the status, which has no other place for it.
    pub fn name(&self) -> &str {
        match self {
            Self::Secret(name) => &name.name,
        }
    }
}

/// In words. All are in the listener's namespace, so that is left out.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(name) => write!(f, "Secret {}", name.name),
        }
    }
}

/// Where a CA bundle comes from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct CaSource {
    /// Whether a Secret or a ConfigMap holds it.
    pub kind: CaKind,
    /// Which one.
    #[serde(flatten)]
    pub object: Name,
    /// The key in it.
    pub key: String,
}

impl CaSource {
    /// What a listener of this namespace names.
    pub fn of(ca: &CaRef, namespace: &str) -> Self {
        Self {
            kind: ca.kind,
            object: Name::new(namespace, &ca.name),
            key: ca.key.clone(),
        }
    }
}

/// In words. All are in the listener's namespace, so that is left out.
impl fmt::Display for CaSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, name) = (self.kind.name(), &self.object.name);
        write!(f, "{kind} {name}, key {}", self.key)
    }
}

/// The objects behind a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// Behind its certificates, the default first.
    pub certificates: Vec<Source>,
    /// Behind its CA bundle.
    pub client_ca: Option<CaSource>,
}

/// The sources as they are written.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    version: u32,
    certificates: Vec<Source>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_ca: Option<CaSource>,
}

impl Sources {
    /// The annotations that remember them.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        let Self {
            certificates,
            client_ca,
        } = self.clone();
        let record = Record {
            version: VERSION,
            certificates,
            client_ca,
        };
        // Names and numbers have a form in JSON, always.
        let text = serde_json::to_string(&record).unwrap_or_default();
        BTreeMap::from([(SOURCES.to_owned(), text)])
    }

    /// Reads them back, also as the first release wrote them, for a listener of this namespace. What was edited since is
    /// as if it were not there.
    pub fn read(annotations: &BTreeMap<String, String>, namespace: &str) -> Self {
        let Some(text) = annotations.get(SOURCES) else {
            return Self::of_first_release(annotations, namespace);
        };
        let record: Option<Record> = serde_json::from_str(text).ok();
        record
            .filter(|record| record.version == VERSION)
            .map_or_else(Self::default, |record| Self {
                certificates: record.certificates,
                client_ca: record.client_ca,
            })
    }

    fn of_first_release(annotations: &BTreeMap<String, String>, namespace: &str) -> Self {
        let secrets = annotations.get(CERTIFICATE_SECRETS).into_iter();
        let secrets = secrets.flat_map(|names| names.split(','));
        let ca = annotations.get(CLIENT_CA);
        Self {
            certificates: secrets
                .map(|name| Source::Secret(Name::new(namespace, name)))
                .collect(),
            client_ca: ca.and_then(|ca| ca_of_first_release(ca, namespace)),
        }
    }
}

/// From `Kind/name/key`.
fn ca_of_first_release(text: &str, namespace: &str) -> Option<CaSource> {
    let mut parts = text.splitn(3, '/');
    let kinds = [CaKind::Secret, CaKind::ConfigMap];
    let (kind, name, key) = (parts.next()?, parts.next()?, parts.next()?);
    Some(CaSource {
        kind: kinds.into_iter().find(|one| one.name() == kind)?,
        object: Name::new(namespace, name),
        key: key.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{CaKind, CaRef, CaSource, Name, Source, Sources};

    fn sources(names: &[&str], ca: Option<(CaKind, &str, &str)>) -> Sources {
        let certificates = names.iter();
        let ca = ca.map(|(kind, name, key)| CaRef {
            kind,
            name: name.to_owned(),
            key: key.to_owned(),
        });
        Sources {
            certificates: certificates
                .map(|name| Source::Secret(Name::new("iot", name)))
                .collect(),
            client_ca: ca.map(|ca| CaSource::of(&ca, "iot")),
        }
    }

    fn annotations(annotations: &[(&str, &str)]) -> BTreeMap<String, String> {
        let annotations = annotations.iter();
        annotations
            .map(|(name, value)| (format!("mqtt.smartboot.tech/{name}"), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let written =
            sources(&["a", "b.c"], Some((CaKind::ConfigMap, "ca", "ca.crt"))).annotations();
        let text = r#"{"version":1,"certificates":[{"kind":"Secret","namespace":"iot","name":"a"},{"kind":"Secret","namespace":"iot","name":"b.c"}],"clientCa":{"kind":"ConfigMap","namespace":"iot","name":"ca","key":"ca.crt"}}"#;
        assert_eq!(written, annotations(&[("sources", text)]));
        let read = Sources::read(&written, "other");
        assert_eq!(
            read,
            sources(&["a", "b.c"], Some((CaKind::ConfigMap, "ca", "ca.crt")))
        );
        let plain = sources(&["a"], None);
        assert_eq!(Sources::read(&plain.annotations(), "iot"), plain);
    }

    #[test]
    fn what_the_first_release_wrote_is_read() {
        let old = annotations(&[
            ("certificate-secrets", "a,b.c"),
            ("client-ca", "Secret/device-ca/bundle"),
        ]);
        let wanted = sources(&["a", "b.c"], Some((CaKind::Secret, "device-ca", "bundle")));
        assert_eq!(Sources::read(&old, "iot"), wanted);
        let old = annotations(&[("certificate-secrets", "a")]);
        assert_eq!(Sources::read(&old, "iot"), sources(&["a"], None));
        // Where it was not known where the bundle came from, the Secret itself stood there.
        let old = annotations(&[("certificate-secrets", "a"), ("client-ca", "edge-mqtts")]);
        assert_eq!(Sources::read(&old, "iot"), sources(&["a"], None));
    }

    #[test]
    fn what_does_not_read_is_not_there() {
        for text in ["", "a,b", "{}", r#"{"version":2,"certificates":[]}"#] {
            let edited = annotations(&[("sources", text), ("certificate-secrets", "a")]);
            assert_eq!(Sources::read(&edited, "iot"), Sources::default(), "{text}");
        }
    }
}
