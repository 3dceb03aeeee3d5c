//! A folder of manifests, read as if it were a cluster.
//!
//! What does not read changes nothing: what was there before stays. No message may quote a Secret.

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

/// How many files are read.
const FILES_MAX: usize = 1000;

/// How large a file may be, in bytes.
const FILE_SIZE_MAX: u64 = 4 * 1024 * 1024;

/// What the files of a folder hold.
#[derive(Default)]
pub struct Folder {
    /// What each file holds, and of what does not read, what it held before.
    files: BTreeMap<PathBuf, Vec<Object>>,
    /// What was complained about, so that it is told once.
    told: BTreeSet<String>,
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("it has more than {FILE_SIZE_MAX} bytes")]
    TooLarge,
    #[error("{0}")]
    Text(#[from] text::Error),
}

impl Folder {
    /// Reads the folder again.
    pub fn read(&mut self, folder: &Path) {
        let mut told = BTreeSet::new();
        match manifests(folder) {
            Ok(paths) => {
                if let Some(beyond) = paths.get(FILES_MAX) {
                    let beyond = beyond.display();
                    told.insert(format!(
                        "{beyond}: it and the files after it are left out: there are more than {FILES_MAX}"
                    ));
                }
                let mut files = BTreeMap::new();
                for path in paths.into_iter().take(FILES_MAX) {
                    let before = self.files.remove(&path).unwrap_or_default();
                    let objects = objects(&path, before, &mut told);
                    files.insert(path, objects);
                }
                self.files = files;
                told.extend(self.repeated());
                if self.listeners().is_empty() {
                    let folder = folder.display();
                    told.insert(format!(
                        "{folder}: there is no MqttTlsListener in it, so that nothing is served"
                    ));
                }
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
    pub fn listeners(&self) -> BTreeMap<Name, &MqttTlsListener> {
        self.objects()
            .filter_map(|object| match object {
                Object::Listener(listener) => Some((object.key(), &**listener)),
                Object::Secret(_) | Object::ConfigMap(_) => None,
            })
            .collect()
    }

    /// The Secrets of a namespace, by name.
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

    /// The ConfigMaps of a namespace, by name.
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

    /// What stands in the folder more than once; as with kubectl, the last one is used.
    fn repeated(&self) -> Vec<String> {
        let mut seen: BTreeMap<(&str, Name), &Path> = BTreeMap::new();
        let mut told = Vec::new();
        for (path, object) in self
            .files
            .iter()
            .flat_map(|(path, objects)| objects.iter().map(move |object| (path, object)))
        {
            let (kind, key) = (object.kind(), object.key());
            let id = manifest::named(kind, &key.namespace, &key.name);
            if let Some(first) = seen.insert((kind, key), path) {
                let (path, first) = (path.display(), first.display());
                told.push(format!(
                    "{path}: {id} stands in {first} already, and this one is used; remove one of them"
                ));
            }
        }
        told
    }
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
    Ok(paths)
}

/// The objects of one file. Of what does not read, what was there before stays; that is told, and what has
/// no effect.
fn objects(path: &Path, before: Vec<Object>, told: &mut BTreeSet<String>) -> Vec<Object> {
    let path_shown = path.display();
    let text = match text(path) {
        Ok(text) => text,
        Err(error) => {
            told.insert(format!("{path_shown}: {error}; what it held before stays"));
            return before;
        }
    };
    let Reading {
        mut objects,
        faults,
        unknown,
    } = manifest::read(&text);
    for fault in &faults {
        told.insert(format!(
            "{path_shown}: {fault}; what it was before stays, and the rest of the file is used"
        ));
    }
    for what in unknown {
        told.insert(format!(
            "{path_shown}: {what} is not known here and has no effect; correct it, or remove it"
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

    /// A folder with one file, read.
    fn folder(name: &str, text: impl AsRef<[u8]>) -> (TempDir, Folder) {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(name), text).unwrap();
        let mut folder = Folder::default();
        folder.read(directory.path());
        (directory, folder)
    }

    /// What is told, without the file and what to do.
    fn told(folder: &Folder) -> Vec<&str> {
        let mut told: Vec<&str> = folder.told.iter().map(String::as_str).collect();
        told.retain(|one| !one.contains("there is no MqttTlsListener"));
        told.into_iter()
            .map(|one| {
                let (_, what) = one.split_once(".yaml: ").unwrap();
                what.split("; what it was").next().unwrap()
            })
            .map(|one| one.split(" is not known here").next().unwrap())
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
        assert_eq!(folder.told.len(), 1);
        fs::remove_file(&file).unwrap();
        folder.read(directory.path());
        assert_eq!(folder.listeners().len(), 0);
        let told = folder.told.first().unwrap();
        assert!(told.contains("nothing is served"), "{told}");
    }

    #[test]
    fn what_has_no_effect_is_told() {
        let auth =
            "  clientAuth: {mode: Require, caRef: {kind: Secret, name: a, kye: b}}\n  porrt: 1\n";
        let listener = LISTENER.replacen("---\n", &format!("{auth}---\n"), 1);
        let secret = listener.replacen("stringData", "typ: Opaque\nstringData", 1);
        let typo = "---\napiVersion: mqtt.smartboot.tech/v1alpha1\nkind: MqttTlsListner\n";
        let (_directory, folder) = folder("a.yaml", secret + typo);
        assert_eq!(folder.listeners().len(), 1);
        assert_eq!(
            told(&folder),
            [
                "document 1 (line 1), MqttTlsListener edge: spec.clientAuth.caRef.kye",
                "document 1 (line 1), MqttTlsListener edge: spec.porrt",
                "document 2 (line 9), Secret edge-tls: typ",
                "document 4 (line 19), kind MqttTlsListner",
            ]
        );
    }

    /// One that is forgotten or misspelt must not let everyone in.
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
                "spec.clientAuth: clientAuth is there and says nothing: set clientAuth.mode to Require",
            ),
            ("~", "spec.clientAuth: clientAuth is there and says nothing"),
        ] {
            let text = LISTENER.replacen("---\n", &format!("  clientAuth: {auth}\n---\n"), 1);
            let (_directory, folder) = folder("a.yaml", text);
            assert_eq!(folder.listeners().len(), 0, "{auth}");
            assert_eq!(folder.secrets("default").len(), 1, "the others are used");
            let told = told(&folder);
            let place = "document 1 (line 1), MqttTlsListener edge does not read: ";
            let why = told[0].strip_prefix(place);
            assert!(
                why.is_some_and(|why| why.starts_with(because)),
                "{auth}: {told:?}"
            );
        }
    }

    #[test]
    fn one_bad_document_spoils_no_other_and_what_it_was_stays() {
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
            told(&folder),
            [
                "document 2 (line 7), Secret edge-tls does not read: data.pem: it is not base64; write the text \
              itself under `stringData`, or what `base64` makes of it here"
            ]
        );
        // Of a document that is not YAML nobody knows what it was.
        let torn = LISTENER.replace("stringData: {pem: text}", "stringData: {pem: ");
        fs::write(directory.path().join("a.yaml"), torn).unwrap();
        folder.read(directory.path());
        assert_eq!(folder.listeners().len(), 1);
        assert_eq!(folder.secrets("default").len(), 1);
        let told = told(&folder);
        assert!(
            told[0].starts_with("document 2 (line 12) does not read: it is not YAML: "),
            "{told:?}"
        );
        // What is gone from a file that reads is gone.
        fs::write(
            directory.path().join("a.yaml"),
            LISTENER.split("---").next().unwrap(),
        )
        .unwrap();
        folder.read(directory.path());
        assert_eq!(folder.secrets("default").len(), 0);
    }

    /// What `kubectl get -o yaml` writes.
    #[test]
    fn lists_are_taken_apart() {
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
            let told = told(&folder);
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].starts_with("document 2 (line "), "{told:?}");
            assert!(
                told[0].ends_with(
                    "item 2, Secret iot/bad does not read: data.pem: expected a text in base64"
                ),
                "{told:?}"
            );
        }
    }

    #[test]
    fn byte_order_marks_and_wrapped_base64_are_taken() {
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
            assert_eq!(told(&folder), Vec::<&str>::new());
        }
    }

    #[test]
    fn what_stands_in_two_files_is_told() {
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
        let told = told(&folder);
        assert_eq!(told.len(), 2);
        assert!(
            told[0].starts_with("MqttTlsListener edge stands in "),
            "{told:?}"
        );
        assert!(
            told[1].starts_with("Secret edge-tls stands in "),
            "{told:?}"
        );
    }

    #[test]
    fn what_is_nested_too_deep_is_told() {
        let deep = format!("{LISTENER}---\n{}", "[".repeat(100_000));
        let (_directory, folder) = folder("a.yaml", deep);
        assert_eq!(folder.listeners().len(), 1);
        let told = told(&folder);
        assert!(told[0].contains("nested deeper than"), "{told:?}");
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
            let told: Vec<&String> = folder.told.iter().collect();
            assert!(!told.is_empty(), "{text}");
            assert!(told.iter().all(|told| !told.contains("MIIE")), "{told:?}");
        }
    }
}
