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
                    let objects = objects(&path).unwrap_or_else(|error| {
                        told.insert(format!("{}: {error}", path.display()));
                        before.unwrap_or_default()
                    });
                    files.insert(path, objects);
                }
                self.files = files;
            }
            Err(error) => {
                told.insert(format!("{}: it cannot be read: {error}", folder.display()));
            }
        }
        for complaint in told.difference(&self.told) {
            warn!("{complaint}; what it held before stays");
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

/// The objects of one file.
fn objects(path: &Path) -> Result<Vec<Object>, Error> {
    let mut text = Zeroizing::new(String::new());
    File::open(path)?
        .take(FILE_SIZE_MAX + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > FILE_SIZE_MAX {
        return Err(Error::TooLarge);
    }
    let documents = yaml::documents(&text).map_err(Error::Syntax)?;
    let numbered = documents.into_iter().enumerate();
    let objects = numbered.map(|(index, document)| object(index + 1, document));
    Ok(objects
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .flatten()
        .collect())
}

/// One object, if it is of a kind that matters here.
fn object(document: usize, value: Value) -> Result<Option<Object>, Error> {
    let field = |name: &str| {
        value
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (kind, group) = (field("kind"), field("apiVersion"));
    match (kind.as_str(), group.as_str()) {
        ("MqttTlsListener", group) if group.starts_with("mqtt.smartboot.tech/") => {
            let listener = read(value).map_err(|error: yaml::Error| Error::Object {
                document,
                kind: "MqttTlsListener",
                why: format!(": {}", error.message),
            })?;
            Ok(Some(Object::Listener(Box::new(listener))))
        }
        ("Secret", "v1") => {
            // The parser's message may quote the Secret.
            let unreadable = |_| Error::Object {
                document,
                kind: "Secret",
                why: String::new(),
            };
            let secret = read(value).map_err(unreadable)?;
            Ok(Some(Object::Secret(Box::new(merged(secret)))))
        }
        ("ConfigMap", "v1") => {
            let unreadable = |_| Error::Object {
                document,
                kind: "ConfigMap",
                why: String::new(),
            };
            Ok(Some(Object::ConfigMap(Box::new(
                read(value).map_err(unreadable)?,
            ))))
        }
        _ => Ok(None),
    }
}

fn read<T: DeserializeOwned>(value: Value) -> Result<T, yaml::Error> {
    yaml::from_value(value)
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
