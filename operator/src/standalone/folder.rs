//! A folder of manifests, read as if it were a cluster.
//!
//! A file that does not read changes nothing: what it held before stays. No message may quote a Secret.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use mqtt_tls_config::yaml::{self, Value};
use serde::de::DeserializeOwned;
use tracing::warn;
use zeroize::Zeroizing;

use crate::crd::MqttTlsListener;
use crate::error::without_values;

/// How many files are read.
const FILES_MAX: usize = 1000;

/// How large a file may be, in bytes.
const FILE_SIZE_MAX: u64 = 4 * 1024 * 1024;

/// The namespace of an object that names none.
const NAMESPACE: &str = "default";

/// Namespace and name.
pub type Key = (String, String);

/// What the files of a folder hold.
#[derive(Default)]
pub struct Folder {
    /// What each file held when it was read last without fault.
    files: BTreeMap<PathBuf, Vec<Object>>,
    /// What was complained about, so that it is told once.
    told: BTreeSet<String>,
}

/// One object of a file.
enum Object {
    Listener(Box<MqttTlsListener>),
    Secret(Box<Secret>),
    ConfigMap(Box<ConfigMap>),
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system does not give it.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is larger than [`FILE_SIZE_MAX`].
    #[error("it has more than {FILE_SIZE_MAX} bytes")]
    TooLarge,
    /// It is not YAML.
    #[error("it is not YAML{}: {}", at(.0.line), .0.message)]
    Syntax(yaml::Error),
    /// An object in it is not what it says it is.
    #[error("document {document} does not read as a {kind}{why}")]
    Object {
        /// Its number in the file, counted from 1.
        document: usize,
        /// What it says it is.
        kind: &'static str,
        /// The reason, if it can be told.
        why: String,
    },
}

fn at(line: Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!(" (line {line})"))
}

impl Folder {
    /// Reads the folder again.
    pub fn read(&mut self, folder: &Path) {
        let mut told = BTreeSet::new();
        let mut files = BTreeMap::new();
        match manifests(folder) {
            Ok(paths) => {
                for path in paths {
                    let before = self.files.remove(&path);
                    let objects = objects(&path, &mut told).unwrap_or_else(|error| {
                        let path = path.display();
                        told.insert(format!("{path}: {error}; what it held before stays"));
                        before.unwrap_or_default()
                    });
                    files.insert(path, objects);
                }
                self.files = files;
            }
            Err(error) => {
                let folder = folder.display();
                told.insert(format!(
                    "{folder}: it cannot be read: {error}; what it held before stays"
                ));
            }
        }
        for complaint in told.difference(&self.told) {
            warn!("{complaint}");
        }
        self.told = told;
    }

    /// The listeners, by namespace and name.
    pub fn listeners(&self) -> BTreeMap<Key, &MqttTlsListener> {
        self.objects()
            .filter_map(|object| match object {
                Object::Listener(listener) => Some((key(&listener.metadata), &**listener)),
                Object::Secret(_) | Object::ConfigMap(_) => None,
            })
            .collect()
    }

    /// The Secrets of a namespace, by name.
    pub fn secrets(&self, namespace: &str) -> BTreeMap<String, Secret> {
        self.objects()
            .filter_map(|object| match object {
                Object::Secret(secret) => Some((key(&secret.metadata), &**secret)),
                Object::Listener(_) | Object::ConfigMap(_) => None,
            })
            .filter(|((found, _), _)| found == namespace)
            .map(|((_, name), secret)| (name, secret.clone()))
            .collect()
    }

    /// The ConfigMaps of a namespace, by name.
    pub fn config_maps(&self, namespace: &str) -> BTreeMap<String, ConfigMap> {
        self.objects()
            .filter_map(|object| match object {
                Object::ConfigMap(map) => Some((key(&map.metadata), &**map)),
                Object::Listener(_) | Object::Secret(_) => None,
            })
            .filter(|((found, _), _)| found == namespace)
            .map(|((_, name), map)| (name, map.clone()))
            .collect()
    }

    fn objects(&self) -> impl Iterator<Item = &Object> {
        self.files.values().flatten()
    }
}

fn key(metadata: &ObjectMeta) -> Key {
    let namespace = metadata
        .namespace
        .clone()
        .unwrap_or_else(|| NAMESPACE.to_owned());
    (namespace, metadata.name.clone().unwrap_or_default())
}

/// The files that may hold manifests, in the order of their names.
fn manifests(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let extension = path.extension().and_then(|extension| extension.to_str());
            extension.is_some_and(|one| ["yaml", "yml", "json"].contains(&one)) && path.is_file()
        })
        .collect();
    paths.sort();
    paths.truncate(FILES_MAX);
    Ok(paths)
}

/// The objects of one file, and what in them has no effect.
fn objects(path: &Path, told: &mut BTreeSet<String>) -> Result<Vec<Object>, Error> {
    let mut text = Zeroizing::new(String::new());
    File::open(path)?
        .take(FILE_SIZE_MAX + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > FILE_SIZE_MAX {
        return Err(Error::TooLarge);
    }
    let documents = yaml::documents(&text).map_err(Error::Syntax)?;
    let (mut objects, mut unknown) = (Vec::new(), Vec::new());
    for (index, document) in documents.into_iter().enumerate() {
        objects.extend(object(index + 1, document, &mut unknown)?);
    }
    let unknown = unknown.into_iter().map(|what| {
        let path = path.display();
        format!("{path}: {what} is not known here and has no effect; correct it, or remove it")
    });
    told.extend(unknown);
    Ok(objects)
}

/// One object, if it is of a kind that matters here.
fn object(
    document: usize,
    value: Value,
    unknown: &mut Vec<String>,
) -> Result<Option<Object>, Error> {
    let field = |name: &str| {
        value
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (kind, version) = (field("kind"), field("apiVersion"));
    let ours = version.starts_with("mqtt.smartboot.tech/");
    let mut reading = Reading { document, unknown };
    Ok(match (kind.as_str(), version.as_str()) {
        ("MqttTlsListener", _) if ours => {
            let listener = reading.read("MqttTlsListener", value)?;
            Some(Object::Listener(Box::new(listener)))
        }
        ("Secret", "v1") => {
            let secret = reading.read("Secret", value)?;
            Some(Object::Secret(Box::new(merged(secret))))
        }
        ("ConfigMap", "v1") => Some(Object::ConfigMap(Box::new(
            reading.read("ConfigMap", value)?,
        ))),
        _ => {
            // Manifests of other things may lie beside ours.
            if ours {
                unknown.push(format!("document {document}, kind {kind}"));
            }
            None
        }
    })
}

/// The reading of one document.
struct Reading<'r> {
    /// Its number in the file, counted from 1.
    document: usize,
    /// Fields that have no effect.
    unknown: &'r mut Vec<String>,
}

impl Reading<'_> {
    fn read<T: DeserializeOwned>(&mut self, kind: &'static str, value: Value) -> Result<T, Error> {
        let document = self.document;
        let note = |path: serde_ignored::Path<'_>| {
            // A step into an optional field is a question mark.
            let path = path.to_string().replace(".?", "");
            if path == "apiVersion" || path == "kind" {
                return;
            }
            self.unknown
                .push(format!("document {document}, {kind}: {path}"));
        };
        serde_ignored::deserialize(value, note).map_err(|error| Error::Object {
            document,
            kind,
            why: if kind == "MqttTlsListener" {
                format!(": {}", without_values(&error.to_string()))
            } else {
                // The parser's message may quote the content.
                String::new()
            },
        })
    }
}

/// What the API server does with `stringData`.
fn merged(mut secret: Secret) -> Secret {
    let data = secret.data.get_or_insert_default();
    for (key, text) in secret.string_data.take().unwrap_or_default() {
        data.insert(key, ByteString(text.into_bytes()));
    }
    secret
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::Folder;

    const LISTENER: &str = "\
apiVersion: mqtt.smartboot.tech/v1alpha1
kind: MqttTlsListener
metadata: {name: edge}
spec:
  certificates: [{secretRef: {name: edge-tls}}]
  backend: {service: {name: smart-mqtt}}
---
apiVersion: v1
kind: Secret
metadata: {name: edge-tls}
stringData: {pem: text}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: other}
";

    #[test]
    fn objects_are_found_and_a_bad_file_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("all.yaml");
        fs::write(&file, LISTENER).unwrap();
        let mut folder = Folder::default();
        folder.read(directory.path());
        assert_eq!(folder.listeners().len(), 1);
        let secrets = folder.secrets("default");
        assert_eq!(secrets["edge-tls"].data.as_ref().unwrap()["pem"].0, b"text");
        fs::write(&file, "kind: [").unwrap();
        folder.read(directory.path());
        assert_eq!(folder.listeners().len(), 1);
        assert_eq!(folder.told.len(), 1);
        fs::remove_file(&file).unwrap();
        folder.read(directory.path());
        assert_eq!(folder.listeners().len(), 0);
    }

    #[test]
    fn what_has_no_effect_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let auth =
            "  clientAuth: {mode: Require, caRef: {kind: Secret, name: a, kye: b}}\n  porrt: 1\n";
        let listener = LISTENER.replacen("---\n", &format!("{auth}---\n"), 1);
        let secret = listener.replacen("stringData", "typ: Opaque\nstringData", 1);
        let typo = "---\napiVersion: mqtt.smartboot.tech/v1alpha1\nkind: MqttTlsListner\n";
        fs::write(directory.path().join("a.yaml"), secret + typo).unwrap();
        let mut folder = Folder::default();
        folder.read(directory.path());
        assert_eq!(folder.listeners().len(), 1);
        let told: Vec<&str> = folder
            .told
            .iter()
            .map(|one| {
                one.split_once(": ")
                    .unwrap()
                    .1
                    .split(" is not")
                    .next()
                    .unwrap()
            })
            .collect();
        assert_eq!(
            told,
            [
                "document 1, MqttTlsListener: spec.clientAuth.caRef.kye",
                "document 1, MqttTlsListener: spec.porrt",
                "document 2, Secret: typ",
                "document 4, kind MqttTlsListner",
            ]
        );
    }

    #[test]
    fn no_mode_is_no_reason_to_let_everyone_in() {
        let directory = tempfile::tempdir().unwrap();
        let auth = "  clientAuth: {mdoe: Require, caRef: {kind: Secret, name: a}}\n";
        let text = LISTENER.replacen("---\n", &format!("{auth}---\n"), 1);
        fs::write(directory.path().join("a.yaml"), text).unwrap();
        let mut folder = Folder::default();
        folder.read(directory.path());
        assert_eq!(folder.listeners().len(), 0);
        let told = folder.told.first().unwrap();
        assert!(told.contains("missing field `mode`"), "{told}");
    }

    #[test]
    fn no_message_quotes_a_key_in_the_wrong_place() {
        let directory = tempfile::tempdir().unwrap();
        let text = LISTENER.replace("{name: edge-tls}", "MIIEsecret");
        fs::write(directory.path().join("a.yaml"), text).unwrap();
        let mut folder = Folder::default();
        folder.read(directory.path());
        assert_eq!(folder.told.len(), 1);
        let told = folder.told.first().unwrap();
        assert!(!told.contains("MIIE"), "{told}");
    }

    #[test]
    fn no_message_quotes_a_secret() {
        let directory = tempfile::tempdir().unwrap();
        let text = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {pem: MIIEsecret-}\n";
        fs::write(directory.path().join("a.yaml"), text).unwrap();
        let mut folder = Folder::default();
        folder.read(directory.path());
        let told: Vec<&String> = folder.told.iter().collect();
        assert_eq!(told.len(), 1);
        assert!(!told[0].contains("MIIE"), "{told:?}");
    }
}
