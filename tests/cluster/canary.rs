//! Key material is in Secrets and in the pods that mount them, and nowhere else: not in logs, events, objects,
//! metrics, the audit log, etcd outside of Secrets, or files of the node.
//!
//! [`remember`] records every key that the journeys make, [`remember_secrets`] those in existing Secrets. The last
//! journey searches for all of them, in each encoding that a key may have.

mod etcd;
mod needles;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::{Pod, Secret};
use serde_json::Value;

use needles::Needles;

use crate::cluster::Cluster;
use crate::install;
use crate::listener::Edge;
use crate::place::Owner;

/// Private keys: the base64 of a PEM block without line breaks, or the hexadecimal digits of a session ticket key.
static KEYS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Records the private keys in a PEM text.
pub(crate) fn remember(pem: &str) {
    let mut keys = KEYS.lock().expect("no holder of the lock panics");
    for block in pem.split("-----BEGIN ").skip(1) {
        let Some((label, rest)) = block.split_once("-----") else {
            continue;
        };
        let body = rest.split_once("-----END ").map(|(body, _)| body);
        // An encrypted key is no secret without its password.
        if let Some(body) =
            body.filter(|_| label.ends_with("PRIVATE KEY") && !label.starts_with("ENC"))
        {
            keys.insert(body.split_whitespace().collect());
        }
    }
}

/// Records the private keys and session ticket keys in a Secret.
pub(crate) fn remember_secret(secret: &Secret) {
    for value in secret.data.iter().flat_map(|data| data.values()) {
        let text = String::from_utf8_lossy(&value.0);
        remember(&text);
        if text.starts_with("mqtt-tls session ticket keys") {
            let secrets = text.lines().skip(1).filter_map(|line| line.split_once(' '));
            let mut keys = KEYS.lock().expect("no holder of the lock panics");
            // Hexadecimal digits are base64, too.
            keys.extend(secrets.map(|(_, secret)| secret.to_owned()));
        }
    }
}

/// Runs after each journey, because the logs are lost with its pods.
pub(crate) fn no_key_is_logged(cluster: &Cluster) {
    remember_secrets(cluster);
    let keys = KEYS.lock().expect("no holder of the lock panics").clone();
    // After a journey that removed everything that it installed, there may be none yet.
    if keys.is_empty() {
        return;
    }
    let needles = Needles::of(&keys);
    logs(cluster, &mut |place, bytes| {
        assert!(!needles.are_in(bytes), "a private key is in {place}");
    });
}

pub(crate) fn keys_are_in_secrets_only(cluster: &'static Cluster) {
    install::ensure(cluster);
    // A current listener, so that there are keys in the allowed places.
    let edge = Edge::start(cluster, "canary");
    let secrets = remember_secrets(cluster);
    let needles = Needles::of(&KEYS.lock().expect("no holder of the lock panics"));

    // The search must be able to find keys: in Secrets, both as the API server returns them and decoded.
    let shown = serde_json::to_vec(&secrets).expect("JSON can be written");
    assert!(
        needles.are_in(&shown),
        "finds keys in Secrets as base64 of PEM"
    );
    let parsed: Vec<Secret> = secrets.into_iter().map(parse).collect();
    let mut values = parsed
        .iter()
        .flat_map(|secret| secret.data.iter().flat_map(|data| data.values()));
    assert!(
        values.any(|value| needles.are_in(&value.0)),
        "finds keys in Secrets as PEM"
    );

    let places = Cell::new(0);
    let mut look = |place: &str, bytes: &[u8]| {
        places.set(places.get() + 1);
        assert!(!needles.are_in(bytes), "a private key is in {place}");
    };
    objects(cluster, &mut look);
    admin_ports(cluster, &mut look);
    let enough = |least| {
        let places = places.get();
        assert!(places > least, "only {places} places were searched");
    };
    enough(50);
    if let Owner::Local(node) = &cluster.place.owner {
        let server = node.server();
        etcd::outside_of_secrets(server.etcd_addr(), &mut look);
        let etcd = server.folder().join("etcd");
        for folder in [
            node.folder(),
            Path::new("/run"),
            Path::new("/var/log"),
            Path::new("/var/lib/cni"),
        ] {
            files(folder, &etcd, &mut look);
        }
        enough(500);
        // The audit log is one of those files; it must contain request bodies, where a key could be.
        let audit = std::fs::read_to_string(server.audit_log()).expect("there is an audit log");
        let written = ["requestObject", "mqtttlslisteners", "deployments"];
        assert!(written.iter().all(|word| audit.contains(word)));
    }
    drop(edge);
}

/// Records the keys of all Secrets, those of cert-manager included, and returns the Secrets.
#[track_caller]
pub(crate) fn remember_secrets(cluster: &Cluster) -> Vec<Value> {
    let secrets: Vec<Value> = cluster.list_all("secrets");
    for secret in &secrets {
        remember_secret(&parse(secret.clone()));
    }
    secrets
}

fn parse(secret: Value) -> Secret {
    serde_json::from_value(secret).expect("a Secret")
}

/// Shows every object that can be listed, except Secrets, and every container's log.
fn objects(cluster: &Cluster, look: &mut impl FnMut(&str, &[u8])) {
    let kinds = cluster.kubectl(&["api-resources", "--verbs=list", "-o", "name"]);
    let scopes = cluster.scopes();
    let kinds = kinds.lines().filter(|kind| *kind != "secrets");
    for (kind, scope) in kinds.flat_map(|kind| scopes.iter().map(move |scope| (kind, scope))) {
        let args = [
            "get",
            kind,
            scope,
            "-o",
            "yaml",
            "--show-managed-fields",
            "--ignore-not-found",
        ];
        let what = format!("{kind} of {scope}");
        look(&what, cluster.kubectl(&args).as_bytes());
    }
    logs(cluster, look);
}

/// Shows every container's log.
fn logs(cluster: &Cluster, look: &mut impl FnMut(&str, &[u8])) {
    for (namespace, name, log) in cluster.logs(-1) {
        look(&format!("the log of {namespace}/{name}"), log.as_bytes());
    }
}

/// Shows the responses of both programs' admin ports, through the API server.
fn admin_ports(cluster: &Cluster, look: &mut impl FnMut(&str, &[u8])) {
    let mut asked = 0;
    for pod in cluster.pods() {
        let (namespace, name) = name_of(&pod);
        let label = pod
            .metadata
            .labels
            .as_ref()
            .and_then(|labels| labels.get("app.kubernetes.io/name"));
        let (port, paths): (_, &[_]) = match label.map(String::as_str) {
            Some("mqtt-tls-terminator") => (9883, &["metrics", "status", "readyz"]),
            Some("mqtt-tls-operator") => (9884, &["metrics", "readyz"]),
            _ => continue,
        };
        for path in paths {
            let url = format!("/api/v1/namespaces/{namespace}/pods/{name}:{port}/proxy/{path}");
            let answer = cluster.try_kubectl(&["get", "--raw", &url]);
            asked += usize::from(answer.status.success());
            look(
                &format!("{path} of {namespace}/{name}"),
                answer.stdout.as_bytes(),
            );
        }
    }
    assert!(asked > 4, "only {asked} responses from admin ports");
}

fn name_of(pod: &Pod) -> (String, String) {
    let metadata = pod.metadata.clone();
    (
        metadata.namespace.unwrap_or_default(),
        metadata.name.unwrap_or_default(),
    )
}

/// Shows every file below a folder on the same file system: mounts are the volumes of pods, in memory.
fn files(folder: &Path, but: &Path, look: &mut impl FnMut(&str, &[u8])) {
    let Ok(here) = folder.metadata() else { return };
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            // It may be gone already. Links are not followed: their targets are searched where they are.
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            if metadata.dev() != here.dev() || path == but {
                continue;
            }
            if metadata.is_dir() {
                folders.push(path);
            } else if metadata.is_file()
                && let Ok(bytes) = std::fs::read(&path)
            {
                look(&path.display().to_string(), &bytes);
            }
        }
    }
}

/// Decodes standard base64, which Secrets and etcd's gateway use.
fn from_base64(text: &str) -> Vec<u8> {
    STANDARD.decode(text).expect("it is base64")
}
