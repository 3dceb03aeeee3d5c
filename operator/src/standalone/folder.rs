//! A folder of manifests, read as if it were a cluster.
//!
//! A manifest that cannot be parsed must not change anything: the previous object stays. No message may quote a Secret.

mod base64;
mod manifest;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use tracing::warn;
use zeroize::Zeroizing;

use crate::crd::MqttTlsListener;
use crate::plan::names::Name;
use manifest::{Object, Reading};

/// Maximum number of files.
const FILES_MAX: usize = 1000;

/// Maximum size of a file, in bytes.
const FILE_SIZE_MAX: u64 = 4 * 1024 * 1024;

/// The objects in the files of a folder.
#[derive(Default)]
pub struct Folder {
    /// The objects in each file, including previous ones whose manifest cannot be parsed now.
    files: BTreeMap<PathBuf, Vec<Object>>,
    /// Current warnings, so that each is logged once.
    warnings: BTreeSet<String>,
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("failed to read the file: {0}")]
    Io(#[from] io::Error),
    #[error("the file is larger than {FILE_SIZE_MAX} bytes")]
    TooLarge,
    #[error("{0}")]
    Text(#[from] text::Error),
}

impl Folder {
    /// Reads the folder again.
    pub fn read(&mut self, folder: &Path) {
        let mut warnings = BTreeSet::new();
        match manifests(folder) {
            Ok(paths) => {
                if let Some(beyond) = paths.get(FILES_MAX) {
                    let beyond = beyond.display();
                    warnings.insert(format!(
                        "{beyond}: this file and the following ones are ignored, because there are more than {FILES_MAX}"
                    ));
                }
                let mut files = BTreeMap::new();
                for path in paths.into_iter().take(FILES_MAX) {
                    let before = self.files.remove(&path).unwrap_or_default();
                    let objects = objects(&path, before, &mut warnings);
                    files.insert(path, objects);
                }
                self.files = files;
                warnings.extend(self.repeated());
                if self.listeners().is_empty() {
                    let folder = folder.display();
                    warnings.insert(format!(
                        "{folder}: the folder contains no MqttTlsListener; nothing is served"
                    ));
                }
            }
            Err(error) => {
                let folder = folder.display();
                warnings.insert(format!(
                    "{folder}: failed to read the folder: {error}; keeping its previous objects"
                ));
            }
        }
        for warning in warnings.difference(&self.warnings) {
            warn!("{warning}");
        }
        self.warnings = warnings;
    }

    /// Returns the listeners, by namespace and name.
    pub fn listeners(&self) -> BTreeMap<Name, &MqttTlsListener> {
        self.objects()
            .filter_map(|object| match object {
                Object::Listener(listener) => Some((object.key(), &**listener)),
                Object::Secret(_) | Object::ConfigMap(_) => None,
            })
            .collect()
    }

    /// Returns the Secrets in a namespace, by name.
    pub fn secrets(&self, namespace: &str) -> BTreeMap<String, Secret> {
        self.objects()
            .filter_map(|object| match object {
                Object::Secret(secret) => Some((object.key(), &**secret)),
                Object::Listener(_) | Object::ConfigMap(_) => None,
            })
            .filter(|(key, _)| key.namespace == namespace)
            .map(|(key, secret)| (key.name, secret.clone()))
            .collect()
    }

    /// Returns the ConfigMaps in a namespace, by name.
    pub fn config_maps(&self, namespace: &str) -> BTreeMap<String, ConfigMap> {
        self.objects()
            .filter_map(|object| match object {
                Object::ConfigMap(map) => Some((object.key(), &**map)),
                Object::Listener(_) | Object::Secret(_) => None,
            })
            .filter(|(key, _)| key.namespace == namespace)
            .map(|(key, map)| (key.name, map.clone()))
            .collect()
    }

    fn objects(&self) -> impl Iterator<Item = &Object> {
        self.files.values().flatten()
    }

    /// Returns warnings about duplicate objects; as with kubectl, the last one is used.
    fn repeated(&self) -> Vec<String> {
        let mut seen: BTreeMap<(&str, Name), &Path> = BTreeMap::new();
        let mut warnings = Vec::new();
        for (path, object) in self
            .files
            .iter()
            .flat_map(|(path, objects)| objects.iter().map(move |object| (path, object)))
        {
            let (kind, key) = (object.kind(), object.key());
            let id = manifest::named(kind, &key.namespace, &key.name);
            if let Some(first) = seen.insert((kind, key), path) {
                let (path, first) = (path.display(), first.display());
                warnings.push(format!(
                    "{path}: {id} is also defined in {first}; using this one. Remove one of them"
                ));
            }
        }
        warnings
    }
}

/// Returns the files that may contain manifests, sorted by name.
fn manifests(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let extension = path.extension().and_then(|extension| extension.to_str());
            extension.is_some_and(|one| ["yaml", "yml", "json"].contains(&one)) && path.is_file()
        })
        .collect();
    paths.sort();
    Ok(paths)
}

/// Reads the objects of one file, and keeps the previous ones whose manifests cannot be parsed. Warns about those and
/// about unknown fields.
fn objects(path: &Path, before: Vec<Object>, warnings: &mut BTreeSet<String>) -> Vec<Object> {
    let path_shown = path.display();
    let text = match text(path) {
        Ok(text) => text,
        Err(error) => {
            warnings.insert(format!(
                "{path_shown}: {error}; keeping its previous objects"
            ));
            return before;
        }
    };
    let Reading {
        mut objects,
        faults,
        unknown,
    } = manifest::read(&text);
    for fault in &faults {
        warnings.insert(format!(
            "{path_shown}: {fault}; keeping its previous version, and using the rest of the file"
        ));
    }
    for what in unknown {
        warnings.insert(format!(
            "{path_shown}: {what} is unknown and has no effect; correct or remove it"
        ));
    }
    let stays = |old: &Object| {
        let is_new = objects
            .iter()
            .any(|new: &Object| (new.kind(), new.key()) == (old.kind(), old.key()));
        !is_new && faults.iter().any(|fault| fault.may_be(old))
    };
    let kept: Vec<Object> = before.into_iter().filter(stays).collect();
    objects.extend(kept);
    objects
}

fn text(path: &Path) -> Result<Zeroizing<String>, Error> {
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path)?
        .take(FILE_SIZE_MAX + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_SIZE_MAX {
        return Err(Error::TooLarge);
    }
    Ok(text::decode(&bytes)?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

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

    /// Reads a folder with one file.
    fn folder(name: &str, text: impl AsRef<[u8]>) -> (TempDir, Folder) {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(name), text).unwrap();
        let mut folder = Folder::default();
        folder.read(directory.path());
        (directory, folder)
    }

    /// Returns the warnings without file and remedy.
    fn warnings(folder: &Folder) -> Vec<&str> {
        let mut warnings: Vec<&str> = folder.warnings.iter().map(String::as_str).collect();
        warnings.retain(|one| !one.contains("contains no MqttTlsListener"));
        warnings
            .into_iter()
            .map(|one| {
                let (_, what) = one.split_once(".yaml: ").unwrap();
                what.split("; keeping").next().unwrap()
            })
            .map(|one| one.split(" is unknown and").next().unwrap())
            .collect()
    }

    #[test]
    fn objects_are_found_and_a_bad_file_changes_nothing() {
        let (directory, mut folder) = folder("all.yaml", LISTENER);
        assert_eq!(folder.listeners().len(), 1);
        let secrets = folder.secrets("default");
        assert_eq!(secrets["edge-tls"].data.as_ref().unwrap()["pem"].0, b"text");
        let file = directory.path().join("all.yaml");
        fs::write(&file, "kind: [").unwrap();
        folder.read(directory.path());
        assert_eq!(folder.listeners().len(), 1);
        assert_eq!(folder.warnings.len(), 1);
        fs::remove_file(&file).unwrap();
        folder.read(directory.path());
        assert_eq!(folder.listeners().len(), 0);
        let warning = folder.warnings.first().unwrap();
        assert!(warning.contains("nothing is served"), "{warning}");
    }

    #[test]
    fn unknown_fields_and_kinds_are_warned_about() {
        let auth =
            "  clientAuth: {mode: Require, caRef: {kind: Secret, name: a, kye: b}}\n  porrt: 1\n";
        let listener = LISTENER.replacen("---\n", &format!("{auth}---\n"), 1);
        let secret = listener.replacen("stringData", "typ: Opaque\nstringData", 1);
        let typo = "---\napiVersion: mqtt.smartboot.tech/v1alpha1\nkind: MqttTlsListner\n";
        let (_directory, folder) = folder("a.yaml", secret + typo);
        assert_eq!(folder.listeners().len(), 1);
        assert_eq!(
            warnings(&folder),
            [
                "document 1 (line 1), MqttTlsListener edge: spec.clientAuth.caRef.kye",
                "document 1 (line 1), MqttTlsListener edge: spec.porrt",
                "document 2 (line 9), Secret edge-tls: typ",
                "document 4 (line 19), kind MqttTlsListner",
            ]
        );
    }

    /// A forgotten or misspelt mode must not accept every device.
    #[test]
    fn client_authentication_without_a_mode_is_refused() {
        for (auth, because) in [
            (
                "{mdoe: Require, caRef: {kind: Secret, name: a}}",
                "spec.clientAuth: missing field `mode`",
            ),
            ("{}", "spec.clientAuth: missing field `mode`"),
            (
                "",
                "spec.clientAuth: clientAuth must not be empty: set clientAuth.mode to Require",
            ),
            ("~", "spec.clientAuth: clientAuth must not be empty"),
        ] {
            let text = LISTENER.replacen("---\n", &format!("  clientAuth: {auth}\n---\n"), 1);
            let (_directory, folder) = folder("a.yaml", text);
            assert_eq!(folder.listeners().len(), 0, "{auth}");
            assert_eq!(folder.secrets("default").len(), 1, "the others are used");
            let warnings = warnings(&folder);
            let place = "invalid document 1 (line 1), MqttTlsListener edge: ";
            let why = warnings.iter().find_map(|one| one.strip_prefix(place));
            assert!(
                why.is_some_and(|why| why.starts_with(because)),
                "{auth}: {warnings:?}"
            );
        }
    }

    #[test]
    fn an_invalid_document_keeps_its_previous_version_and_the_others_are_used() {
        let (directory, mut folder) = folder("a.yaml", LISTENER);
        let bad = LISTENER.replace("stringData: {pem: text}", "data: {pem: MIIEsecret-}");
        let renamed = bad.replace("name: smart-mqtt", "name: other");
        fs::write(directory.path().join("a.yaml"), renamed).unwrap();
        folder.read(directory.path());
        let listeners = folder.listeners();
        let backend = &listeners.values().next().unwrap().spec.backend;
        assert_eq!(backend.service.as_ref().unwrap().name, "other");
        let secrets = folder.secrets("default");
        assert_eq!(secrets["edge-tls"].data.as_ref().unwrap()["pem"].0, b"text");
        assert_eq!(
            warnings(&folder),
            [
                "invalid document 2 (line 7), Secret edge-tls: data.pem: not base64; put plain text under \
                 `stringData`, or encode it with `base64`"
            ]
        );
        // The object of a document that is not YAML is unknown.
        let torn = LISTENER.replace("stringData: {pem: text}", "stringData: {pem: ");
        fs::write(directory.path().join("a.yaml"), torn).unwrap();
        folder.read(directory.path());
        assert_eq!(folder.listeners().len(), 1);
        assert_eq!(folder.secrets("default").len(), 1);
        let warnings = warnings(&folder);
        assert!(
            warnings[0].starts_with("invalid document 2 (line 12): not YAML: "),
            "{warnings:?}"
        );
        // An object that is removed from a valid file is removed.
        fs::write(
            directory.path().join("a.yaml"),
            LISTENER.split("---").next().unwrap(),
        )
        .unwrap();
        folder.read(directory.path());
        assert_eq!(folder.secrets("default").len(), 0);
    }

    /// As `kubectl get -o yaml` writes them.
    #[test]
    fn lists_are_split_into_items() {
        let indented = |text: &str| text.trim_end().replace('\n', "\n  ");
        let items: Vec<String> = LISTENER
            .split("---\n")
            .map(|item| format!("- {}\n", indented(item)))
            .collect();
        let items = items.concat();
        let list = format!(
            "apiVersion: v1\nkind: List\nmetadata: {{resourceVersion: ''}}\nitems:\n{items}"
        );
        let typed = "apiVersion: v1\nkind: SecretList\nitems:\n- metadata: {name: other}\n  data: {pem: dGV4dA==}\n\
                     - metadata: {name: bad, namespace: iot}\n  data: {pem: 5}\n";
        let nested = format!(
            "kind: List\napiVersion: v1\nitems:\n- {}\n",
            indented(typed)
        );
        for text in [
            format!("{list}---\n{typed}"),
            format!("{list}---\n{nested}"),
        ] {
            let (_directory, folder) = folder("a.yaml", &text);
            assert_eq!(folder.listeners().len(), 1, "{text}");
            let secrets = folder.secrets("default");
            assert_eq!(secrets.keys().collect::<Vec<_>>(), ["edge-tls", "other"]);
            assert_eq!(secrets["other"].data.as_ref().unwrap()["pem"].0, b"text");
            let warnings = warnings(&folder);
            assert_eq!(warnings.len(), 1, "{warnings:?}");
            assert!(
                warnings[0].starts_with("invalid document 2 (line "),
                "{warnings:?}"
            );
            assert!(
                warnings[0].ends_with("item 2, Secret iot/bad: data.pem: expected a base64 string"),
                "{warnings:?}"
            );
        }
    }

    #[test]
    fn byte_order_marks_and_wrapped_base64_are_accepted() {
        let wrapped = LISTENER.replace(
            "stringData: {pem: text}",
            "data:\n  pem: |\n    dGV4\n    dA==",
        );
        for bytes in [
            format!("\u{feff}{wrapped}").into_bytes(),
            [0xff, 0xfe]
                .into_iter()
                .chain(wrapped.encode_utf16().flat_map(u16::to_le_bytes))
                .collect(),
        ] {
            let (_directory, folder) = folder("a.yaml", bytes);
            assert_eq!(folder.listeners().len(), 1);
            let secrets = folder.secrets("default");
            assert_eq!(secrets["edge-tls"].data.as_ref().unwrap()["pem"].0, b"text");
            assert_eq!(warnings(&folder), Vec::<&str>::new());
        }
    }

    #[test]
    fn duplicates_in_two_files_are_warned_about() {
        let (directory, mut folder) = folder("a.yaml", LISTENER);
        fs::write(
            directory.path().join("b.yaml"),
            LISTENER.replace("smart-mqtt", "other"),
        )
        .unwrap();
        folder.read(directory.path());
        let listeners = folder.listeners();
        let backend = &listeners.values().next().unwrap().spec.backend;
        assert_eq!(
            backend.service.as_ref().unwrap().name,
            "other",
            "the last one"
        );
        let warnings = warnings(&folder);
        assert_eq!(warnings.len(), 2);
        assert!(
            warnings[0].starts_with("MqttTlsListener edge is also defined in "),
            "{warnings:?}"
        );
        assert!(
            warnings[1].starts_with("Secret edge-tls is also defined in "),
            "{warnings:?}"
        );
    }

    #[test]
    fn too_deep_nesting_is_warned_about() {
        let deep = format!("{LISTENER}---\n{}", "[".repeat(100_000));
        let (_directory, folder) = folder("a.yaml", deep);
        assert_eq!(folder.listeners().len(), 1);
        let warnings = warnings(&folder);
        assert!(warnings[0].contains("nested deeper than"), "{warnings:?}");
    }

    #[test]
    fn no_message_quotes_a_secret() {
        for text in [
            LISTENER.replace("{name: edge-tls}", "MIIEsecret"),
            LISTENER.replace("stringData: {pem: text}", "data: {pem: MIIEsecret-}"),
            LISTENER.replace("stringData: {pem: text}", "data: MIIEsecret"),
            LISTENER.replace("stringData: {pem: text}", "stringData: [MIIEsecret]"),
            LISTENER.replace(
                "stringData: {pem: text}",
                "stringData: {pem: {MIIEsecret+/: MIIEsecret}}",
            ),
            LISTENER.replace("stringData: {pem: text}", "data: {MIIEsecret+/: 1}"),
            LISTENER.replace("stringData: {pem: text}", "MIIEsecret+/: 1"),
            LISTENER.replace(
                "metadata: {name: edge-tls}",
                "metadata: {name: MIIEsecret+/}\ntyp: x",
            ),
        ] {
            let (_directory, folder) = folder("a.yaml", &text);
            let warnings: Vec<&String> = folder.warnings.iter().collect();
            assert!(!warnings.is_empty(), "{text}");
            assert!(
                warnings.iter().all(|warning| !warning.contains("MIIE")),
                "{warnings:?}"
            );
        }
    }
}
