//! The sources of certificates, CA bundles and revocation lists, recorded in an annotation of the config Secret. It must not contain a
//! hash of any content, which would be an oracle for that content.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::names::{CERTIFICATE_SECRETS, CLIENT_CA, Name, SOURCES};
use crate::crd::{CaKind, CaRef, CrlRef, SecretRef};

/// Version of the annotation's format. An annotation of another version is ignored.
const VERSION: u32 = 1;

/// The source of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(from = "Recorded", into = "Recorded")]
pub enum Source {
    /// A Secret in the listener's namespace.
    Secret(Name),
    /// A Secret in another namespace.
    Foreign(Name),
    /// A Certificate that cert-manager issues, and its Secret of the same name.
    Issued(Name),
}

/// A source as it is recorded. Whether it is in another namespace is known from the listener's.
#[derive(Deserialize, Serialize)]
#[serde(tag = "kind")]
enum Recorded {
    Secret(Name),
    Issued(Name),
}

impl From<Source> for Recorded {
    fn from(source: Source) -> Self {
        match source {
            Source::Secret(name) | Source::Foreign(name) => Self::Secret(name),
            Source::Issued(name) => Self::Issued(name),
        }
    }
}

impl From<Recorded> for Source {
    fn from(recorded: Recorded) -> Self {
        match recorded {
            Recorded::Secret(name) => Self::Secret(name),
            Recorded::Issued(name) => Self::Issued(name),
        }
    }
}

impl Source {
    /// Returns the source of a listener in this namespace that is a Secret.
    pub fn of_secret(secret: &SecretRef, namespace: &str) -> Self {
        let place = secret.namespace.as_deref().unwrap_or(namespace);
        Self::Secret(Name::new(place, &secret.name)).seen_from(namespace)
    }

    /// Distinguishes whether it is in the namespace of the listener.
    pub(super) fn seen_from(self, namespace: &str) -> Self {
        match self {
            Self::Secret(name) | Self::Foreign(name) if name.namespace == namespace => {
                Self::Secret(name)
            }
            Self::Secret(name) | Self::Foreign(name) => Self::Foreign(name),
            Self::Issued(name) => Self::Issued(name),
        }
    }

    /// Returns the object's name, for the status.
    pub fn name(&self) -> &str {
        &self.secret().name
    }

    /// Returns its Secret's name, for the status: with the namespace if that is another one.
    pub fn shown(&self) -> String {
        let Name { namespace, name } = self.secret();
        match self {
            Self::Foreign(_) => format!("{namespace}/{name}"),
            Self::Secret(_) | Self::Issued(_) => name.clone(),
        }
    }

    /// Returns its Secret.
    pub fn secret(&self) -> &Name {
        match self {
            Self::Secret(name) | Self::Foreign(name) | Self::Issued(name) => name,
        }
    }
}

/// Omits the namespace if it is the listener's.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(name) => write!(f, "Secret {}", name.name),
            Self::Foreign(name) => write!(f, "Secret {}/{}", name.namespace, name.name),
            Self::Issued(name) => write!(f, "Certificate {}", name.name),
        }
    }
}

/// A key of a Secret or ConfigMap: the source of CA certificates, or of revocation lists.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct DataKey {
    /// Secret or ConfigMap.
    pub kind: CaKind,
    /// The object.
    #[serde(flatten)]
    pub object: Name,
    /// The key in the object.
    pub key: String,
    /// Whether the object is in another namespace than the listener.
    #[serde(skip)]
    pub is_foreign: bool,
}

impl DataKey {
    /// Distinguishes whether it is in the namespace of the listener.
    pub(super) fn seen_from(self, namespace: &str) -> Self {
        let is_foreign = self.object.namespace != namespace;
        Self { is_foreign, ..self }
    }

    /// Describes the object, without the key.
    pub fn object(&self) -> String {
        let (kind, Name { namespace, name }) = (self.kind.name(), &self.object);
        if self.is_foreign {
            format!("{kind} {namespace}/{name}")
        } else {
            format!("{kind} {name}")
        }
    }

    /// Returns the source that a listener in this namespace references.
    pub fn of(ca: &CaRef, namespace: &str) -> Self {
        Self {
            kind: ca.kind,
            object: Name::new(ca.namespace.as_deref().unwrap_or(namespace), &ca.name),
            key: ca.key.clone(),
            is_foreign: false,
        }
        .seen_from(namespace)
    }

    /// Returns the source of revocation lists that a listener in this namespace references.
    pub fn of_crl(crl: &CrlRef, namespace: &str) -> Self {
        Self {
            kind: crl.kind,
            object: Name::new(crl.namespace.as_deref().unwrap_or(namespace), &crl.name),
            key: crl.key.clone(),
            is_foreign: false,
        }
        .seen_from(namespace)
    }

    /// Names sources in a message.
    pub fn all(sources: &[Self]) -> String {
        match sources {
            [] => "the CA certificates".to_owned(),
            [one] => one.to_string(),
            [first, others @ ..] => format!("{first}, and {} more", others.len()),
        }
    }
}

/// Omits the namespace if it is the listener's.
impl fmt::Display for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, key {}", self.object(), self.key)
    }
}

/// The sources of the listener itself, or of one of its hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HostSources {
    /// Sources of the certificates, the default first.
    pub certificates: Vec<Source>,
    /// Those of them whose ReferenceGrant was withdrawn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withdrawn: Vec<Withdrawn>,
    /// Source of the CA bundle, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<DataKey>,
    /// Sources of the CA bundle, if it has several. An earlier operator takes them for unknown, and keeps the bundle.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub client_cas: Vec<DataKey>,
    /// Sources of revocation lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub crls: Vec<DataKey>,
    /// The revocation lists that the pods fetch for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<UrlSource>,
}

/// A certificate that is still in use although its ReferenceGrant was withdrawn.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Withdrawn {
    /// Its source.
    #[serde(flatten)]
    pub source: Source,
    /// Since when.
    pub since: Timestamp,
}

/// A revocation list that the pods fetch.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct UrlSource {
    /// Its place in the configuration's `crls`.
    pub place: usize,
    /// Source of the CA certificates of its server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<DataKey>,
}

impl HostSources {
    /// Distinguishes which are in the namespace of the listener.
    fn seen_from(self, namespace: &str) -> Self {
        let key = |key: DataKey| key.seen_from(namespace);
        let certificates = self.certificates.into_iter();
        let urls = self.urls.into_iter().map(|url| UrlSource {
            ca: url.ca.map(key),
            ..url
        });
        Self {
            certificates: certificates.map(|one| one.seen_from(namespace)).collect(),
            withdrawn: self
                .withdrawn
                .into_iter()
                .map(|one| Withdrawn {
                    source: one.source.seen_from(namespace),
                    ..one
                })
                .collect(),
            client_ca: self.client_ca.map(key),
            client_cas: self.client_cas.into_iter().map(key).collect(),
            crls: self.crls.into_iter().map(key).collect(),
            urls: urls.collect(),
        }
    }

    /// Returns the sources of the CA bundle; none if they are unknown.
    pub fn all_client_cas(&self) -> Vec<DataKey> {
        let one = self.client_ca.iter();
        one.chain(&self.client_cas).cloned().collect()
    }

    /// Sets the sources of the CA bundle.
    #[must_use]
    pub fn with_client_cas(self, sources: &[DataKey]) -> Self {
        match sources {
            [one] => Self {
                client_ca: Some(one.clone()),
                ..self
            },
            several => Self {
                client_cas: several.to_vec(),
                ..self
            },
        }
    }
}

/// The sources of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// Those of the listener itself.
    pub listener: HostSources,
    /// Those of its hosts, in the order of the configuration.
    pub hosts: Vec<HostSources>,
}

/// The annotation's format.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    version: u32,
    #[serde(flatten)]
    listener: HostSources,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    hosts: Vec<HostSources>,
}

impl Sources {
    /// Returns the annotations that record the sources.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        let Self { listener, hosts } = self.clone();
        let record = Record {
            version: VERSION,
            listener,
            hosts,
        };
        // Strings and numbers always serialize.
        let text = serde_json::to_string(&record).unwrap_or_default();
        BTreeMap::from([(SOURCES.to_owned(), text)])
    }

    /// Reports whether a certificate is that of a Certificate of cert-manager.
    pub fn has_issued(&self, name: &str) -> bool {
        let all = std::iter::once(&self.listener).chain(&self.hosts);
        let mut sources = all.flat_map(|host| &host.certificates);
        sources.any(|one| matches!(one, Source::Issued(issued) if issued.name == name))
    }

    /// Parses the annotations, including those of the first release, for a listener in this namespace. Malformed
    /// ones are ignored.
    pub fn read(annotations: &BTreeMap<String, String>, namespace: &str) -> Self {
        let Some(text) = annotations.get(SOURCES) else {
            return Self::of_first_release(annotations, namespace);
        };
        let record: Option<Record> = serde_json::from_str(text).ok();
        record
            .filter(|record| record.version == VERSION)
            .map_or_else(Self::default, |record| {
                let hosts = record.hosts.into_iter();
                Self {
                    listener: record.listener.seen_from(namespace),
                    hosts: hosts.map(|host| host.seen_from(namespace)).collect(),
                }
            })
    }

    fn of_first_release(annotations: &BTreeMap<String, String>, namespace: &str) -> Self {
        let secrets = annotations.get(CERTIFICATE_SECRETS).into_iter();
        let secrets = secrets.flat_map(|names| names.split(','));
        let ca = annotations.get(CLIENT_CA);
        let listener = HostSources {
            certificates: secrets
                .map(|name| Source::Secret(Name::new(namespace, name)))
                .collect(),
            client_ca: ca.and_then(|ca| ca_of_first_release(ca, namespace)),
            ..HostSources::default()
        };
        Self {
            listener,
            hosts: Vec::new(),
        }
    }
}

/// Parses `Kind/name/key`.
fn ca_of_first_release(text: &str, namespace: &str) -> Option<DataKey> {
    let mut parts = text.splitn(3, '/');
    let kinds = [CaKind::Secret, CaKind::ConfigMap];
    let (kind, name, key) = (parts.next()?, parts.next()?, parts.next()?);
    Some(DataKey {
        kind: kinds.into_iter().find(|one| one.name() == kind)?,
        object: Name::new(namespace, name),
        key: key.to_owned(),
        is_foreign: false,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{CaKind, CaRef, DataKey, HostSources, Name, Source, Sources};

    fn sources(names: &[&str], ca: Option<(CaKind, &str, &str)>) -> Sources {
        let certificates = names.iter();
        let ca = ca.map(|(kind, name, key)| CaRef {
            kind,
            namespace: None,
            name: name.to_owned(),
            key: key.to_owned(),
        });
        let listener = HostSources {
            certificates: certificates
                .map(|name| Source::Secret(Name::new("iot", name)))
                .collect(),
            client_ca: ca.map(|ca| DataKey::of(&ca, "iot")),
            ..HostSources::default()
        };
        Sources {
            listener,
            hosts: Vec::new(),
        }
    }

    fn annotations(annotations: &[(&str, &str)]) -> BTreeMap<String, String> {
        let annotations = annotations.iter();
        annotations
            .map(|(name, value)| (format!("mqtt.smartboot.tech/{name}"), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn written_annotations_are_read_back() {
        let written =
            sources(&["a", "b.c"], Some((CaKind::ConfigMap, "ca", "ca.crt"))).annotations();
        let text = r#"{"version":1,"certificates":[{"kind":"Secret","namespace":"iot","name":"a"},{"kind":"Secret","namespace":"iot","name":"b.c"}],"clientCa":{"kind":"ConfigMap","namespace":"iot","name":"ca","key":"ca.crt"}}"#;
        assert_eq!(written, annotations(&[("sources", text)]));
        let read = Sources::read(&written, "iot");
        assert_eq!(
            read,
            sources(&["a", "b.c"], Some((CaKind::ConfigMap, "ca", "ca.crt")))
        );
        let elsewhere = Sources::read(&written, "other").listener;
        assert_eq!(elsewhere.certificates[0].to_string(), "Secret iot/a");
        let ca = elsewhere.client_ca.unwrap().to_string();
        assert_eq!(ca, "ConfigMap iot/ca, key ca.crt");
        let plain = sources(&["a"], None);
        assert_eq!(Sources::read(&plain.annotations(), "iot"), plain);
        let with_hosts = Sources {
            hosts: vec![
                sources(&["b"], Some((CaKind::Secret, "ca", "ca.crt"))).listener,
                HostSources::default(),
            ],
            ..plain
        };
        assert_eq!(Sources::read(&with_hosts.annotations(), "iot"), with_hosts);
    }

    #[test]
    fn annotations_of_the_first_release_are_read() {
        let old = annotations(&[
            ("certificate-secrets", "a,b.c"),
            ("client-ca", "Secret/device-ca/bundle"),
        ]);
        let wanted = sources(&["a", "b.c"], Some((CaKind::Secret, "device-ca", "bundle")));
        assert_eq!(Sources::read(&old, "iot"), wanted);
        let old = annotations(&[("certificate-secrets", "a")]);
        assert_eq!(Sources::read(&old, "iot"), sources(&["a"], None));
        // The first release wrote the config Secret's own name if it did not know the bundle's source.
        let old = annotations(&[("certificate-secrets", "a"), ("client-ca", "edge-mqtts")]);
        assert_eq!(Sources::read(&old, "iot"), sources(&["a"], None));
    }

    #[test]
    fn malformed_annotations_are_ignored() {
        for text in ["", "a,b", "{}", r#"{"version":2,"certificates":[]}"#] {
            let edited = annotations(&[("sources", text), ("certificate-secrets", "a")]);
            assert_eq!(Sources::read(&edited, "iot"), Sources::default(), "{text}");
        }
    }
}
