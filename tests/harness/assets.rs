//! Where the things are that `tests/setup` makes. It makes nothing, and says what to run when one is missing.

use std::path::{Path, PathBuf};
use std::process::Command;

/// NAME=VERSION lines, which `tests/setup` reads too.
const VERSIONS: &str = include_str!("../assets/versions");
/// `tests/setup` names the client's folder after its source.
const GO_CLIENT: &[u8] = include_bytes!("../assets/go-client/main.go");

/// kube-apiserver, etcd or kubectl: from `KUBEBUILDER_ASSETS` if that is set, else from the cache.
pub fn kubernetes(program: &str) -> PathBuf {
    let folder = variable("KUBEBUILDER_ASSETS").unwrap_or_else(|| {
        cache().join(format!(
            "kubernetes-{}-etcd-{}",
            version("KUBERNETES"),
            version("ETCD")
        ))
    });
    existing(folder.join(program), "kubernetes")
}

/// The folder of smart-mqtt's jars.
pub fn smart_mqtt_jars() -> PathBuf {
    existing(
        cache().join(format!("smart-mqtt-{}/lib", version("SMART_MQTT"))),
        "smart-mqtt",
    )
}

/// The TLS client written in Go.
pub fn go_client() -> PathBuf {
    let hash = crate::pki::fingerprint(GO_CLIENT);
    existing(
        cache().join(format!("go-client-{}/go-client", &hash[..12])),
        "go-client",
    )
}

/// A command for mosquitto, its clients, openssl or java: what is installed as a package. Debian keeps
/// servers in `/usr/sbin`, which is not on everyone's path.
pub fn installed(program: &str) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = folders
        .map(|folder| folder.join(program))
        .find(|file| file.is_file());
    Command::new(
        found.unwrap_or_else(|| panic!("{program} is not installed: {}", advice(part_of(program)))),
    )
}

/// The part of `tests/setup` that installs a program.
fn part_of(program: &str) -> &'static str {
    match program {
        "openssl" => "openssl",
        "java" => "smart-mqtt",
        _ => "mosquitto",
    }
}

fn cache() -> PathBuf {
    variable("SMART_MQTT_TLS_CACHE").unwrap_or_else(|| {
        variable("XDG_CACHE_HOME")
            .or_else(|| variable("HOME").map(|home| home.join(".cache")))
            .expect("HOME, XDG_CACHE_HOME or SMART_MQTT_TLS_CACHE is set")
            .join("smart-mqtt-tls")
    })
}

/// An empty variable counts as none, as in a shell's `${NAME:-…}`.
fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

fn version(name: &str) -> &'static str {
    VERSIONS
        .lines()
        .filter_map(|line| line.split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
        .unwrap_or_else(|| panic!("tests/assets/versions has no {name}"))
}

fn existing(path: PathBuf, part: &str) -> PathBuf {
    assert!(
        path.exists(),
        "{} is missing: {}",
        path.display(),
        advice(part)
    );
    path
}

fn advice(part: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ lies in the checkout");
    format!("run `tests/setup {part}` in {}", root.display())
}
