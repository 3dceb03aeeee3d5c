//! Paths of what `tests/setup` builds. It builds nothing itself; if something is missing, it names the command to run.

use std::path::{Path, PathBuf};
use std::process::Command;

/// NAME=VERSION lines, which `tests/setup` reads too.
const VERSIONS: &str = include_str!("../assets/versions");
// `tests/setup` names each folder after a hash of its sources.
const GO_CLIENT: &str = include_str!("../assets/go-client/main.go");
const DEVICES: [&str; 6] = [
    include_str!("../assets/devices/device.h"),
    include_str!("../assets/devices/device.c"),
    include_str!("../assets/devices/gnutls.c"),
    include_str!("../assets/devices/mbedtls.c"),
    include_str!("../assets/devices/openssl.c"),
    include_str!("../assets/devices/wolfssl.c"),
];
const PAHO: [&str; 2] = [
    include_str!("../assets/paho/requirements.txt"),
    include_str!("../assets/paho/device.py"),
];
const ENVOY: &str = include_str!("../assets/envoy/requirements.txt");
const MQTT_JS: [&str; 3] = [
    include_str!("../assets/mqtt-js/package.json"),
    include_str!("../assets/mqtt-js/package-lock.json"),
    include_str!("../assets/mqtt-js/device.js"),
];
const PROGRAMS: &str = include_str!("../assets/programs/go.mod");
const COREDNS: &str = include_str!("../assets/programs/coredns/main.go");
const CERT_MANAGER: [(&str, &str); 2] = [
    (
        "controller",
        include_str!("../assets/programs/cert-manager/controller/main.go"),
    ),
    (
        "webhook",
        include_str!("../assets/programs/cert-manager/webhook/main.go"),
    ),
];
const KUBE_SCORE: &str = include_str!("../assets/kube-score/go.mod");
const PROMETHEUS_OPERATOR: &str = include_str!("../assets/prometheus-operator");
const UNITTEST: &str = include_str!("../assets/helm-plugins/unittest/plugin.yaml");
const PAUSE: &str = include_str!("../assets/pause/pause.c");
const CHECKOV: &str = include_str!("../assets/checkov/requirements.txt");

/// A program of Kubernetes, or etcd. kube-apiserver, etcd and kubectl come from `KUBEBUILDER_ASSETS` if it is set;
/// the programs of a node are never there.
pub fn kubernetes(program: &str) -> PathBuf {
    let built = || {
        let (kubernetes, etcd) = (kubernetes_version(), version("ETCD"));
        cache().join(format!("kubernetes-{kubernetes}-etcd-{etcd}"))
    };
    if let "kube-apiserver" | "etcd" | "kubectl" = program {
        let folder = variable("KUBEBUILDER_ASSETS").unwrap_or_else(built);
        existing(folder.join(program), "kubernetes")
    } else {
        existing(built().join(program), "node")
    }
}

/// The version of Kubernetes to test on, such as `1.37.2`: the variable `KUBERNETES`, or the default.
pub fn kubernetes_version() -> String {
    let wanted = std::env::var("KUBERNETES").ok();
    wanted
        .filter(|wanted| !wanted.is_empty())
        .unwrap_or_else(|| version("KUBERNETES").to_owned())
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
    named_after(&[GO_CLIENT], "go-client", "go-client", "go-client")
}

/// The device in C on a TLS library: `gnutls`, `mbedtls`, `openssl` or `wolfssl`.
pub fn device(library: &str) -> PathBuf {
    named_after(&DEVICES, "devices", library, "devices")
}

/// A file in the folder of paho-mqtt's device: `bin/python`, `device.py`.
pub fn paho(file: &str) -> PathBuf {
    named_after(&PAHO, "paho", file, "paho")
}

/// The device on MQTT.js, for `node`.
pub fn mqtt_js_device() -> PathBuf {
    named_after(&MQTT_JS, "mqtt-js", "device.js", "mqtt-js")
}

/// Envoy.
pub fn envoy() -> PathBuf {
    named_after(&[ENVOY], "envoy", "envoy", "envoy")
}

/// CoreDNS.
pub fn coredns() -> PathBuf {
    named_after(&[PROGRAMS, COREDNS], "coredns", "coredns", "node")
}

/// A program of cert-manager: `controller` or `webhook`.
pub fn cert_manager(program: &str) -> PathBuf {
    let source = CERT_MANAGER.iter().find(|(name, _)| *name == program);
    let sources = [PROGRAMS, source.expect("a program of cert-manager").1];
    named_after(&sources, "cert-manager", program, "cert-manager")
}

/// cert-manager's resource definitions, in one file.
pub fn cert_manager_crds() -> PathBuf {
    tool("crds/cert-manager.yaml")
}

/// The definition of the Gateway API's ReferenceGrant.
pub fn reference_grant_crd() -> PathBuf {
    named_after(
        &[PROGRAMS],
        "gateway-api",
        "referencegrants.yaml",
        "gateway-api",
    )
}

/// The first process of a pod's sandbox, the only file in its folder.
pub fn pause() -> PathBuf {
    named_after(&[PAUSE], "pause", "pause", "node")
}

/// helm, helm-docs or kube-score.
pub fn tool(program: &str) -> PathBuf {
    let sources = [PROGRAMS, KUBE_SCORE, UNITTEST, PROMETHEUS_OPERATOR];
    named_after(&sources, "tools", program, "tools")
}

/// The value of `HELM_PLUGINS` for `helm unittest`.
pub fn helm_plugins() -> PathBuf {
    tool("helm-plugins")
}

/// The resource definitions of `PodMonitor`, `ServiceMonitor` and `PrometheusRule`, in one file.
pub fn prometheus_operator_crds() -> PathBuf {
    tool("crds/prometheus-operator.yaml")
}

/// checkov, in its own Python environment.
pub fn checkov() -> PathBuf {
    named_after(&[CHECKOV], "checkov", "bin/checkov", "tools")
}

/// The library that changes a program's clock.
pub fn faketime() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib")
        .into_iter()
        .flatten()
        .flatten();
    let found = folders
        .map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"))
        .find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("libfaketime is not installed: {}", advice("faketime")))
}

/// A command for a program from a package, such as mosquitto, containerd or java. Debian installs servers in
/// `/usr/sbin`, which may not be on the path.
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
        "node" => "mqtt-js",
        "haproxy" => "haproxy",
        "hitch" => "hitch",
        "nginx" => "nginx",
        "java" | "javac" | "jlink" | "mvn" => "smart-mqtt",
        "containerd" | "ctr" | "runc" | "nft" | "iptables" | "ip" | "sysctl" => "node",
        "prometheus" | "promtool" | "buildah" | "podman" | "jq" => "tools",
        _ => "mosquitto",
    }
}

pub(crate) fn cache() -> PathBuf {
    variable("SMART_MQTT_TLS_CACHE").unwrap_or_else(|| {
        variable("XDG_CACHE_HOME")
            .or_else(|| variable("HOME").map(|home| home.join(".cache")))
            .expect("HOME, XDG_CACHE_HOME or SMART_MQTT_TLS_CACHE is set")
            .join("smart-mqtt-tls")
    })
}

/// An empty variable counts as unset, as in a shell's `${NAME:-…}`.
fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

pub(crate) fn version(name: &str) -> &'static str {
    VERSIONS
        .lines()
        .filter_map(|line| line.split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
        .unwrap_or_else(|| panic!("tests/assets/versions has no {name}"))
}

/// A file in the cache's folder NAME-HASH, where HASH is the hash of the concatenated sources.
fn named_after(sources: &[&str], name: &str, file: &str, part: &str) -> PathBuf {
    let hash = crate::pki::fingerprint(sources.concat().as_bytes());
    existing(
        cache().join(format!("{name}-{}", &hash[..12])).join(file),
        part,
    )
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
        .expect("tests/ is in the checkout");
    let version = match part {
        "kubernetes" | "node" => format!("KUBERNETES={} ", kubernetes_version()),
        _ => String::new(),
    };
    format!("run `{version}tests/setup {part}` in {}", root.display())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    use crate::workdir;

    /// A Go command that reports 500 downloads, and builds an empty program.
    const GO: &str = "#!/bin/sh\nfor i in $(seq 500); do echo \"go: downloading a/$i v1\" >&2; done\n\
                      [ -z \"$FAILS\" ] || exit 1\n\
                      while [ $# -gt 0 ]; do if [ \"$1\" = -o ]; then : >\"$2\"; chmod +x \"$2\"; fi; shift; done\n";

    /// Returns whether the set-up worked, and what it printed.
    fn set_up(fails: &str) -> (bool, String) {
        let folder = workdir::scratch("setup");
        let go = folder.join("go");
        fs::write(&go, GO).unwrap();
        fs::set_permissions(&go, fs::Permissions::from_mode(0o755)).unwrap();
        let path = std::env::var("PATH").unwrap();
        let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/setup"))
            .arg("go-client")
            .env("PATH", format!("{}:{path}", folder.display()))
            .env("SMART_MQTT_TLS_CACHE", folder.join("cache"))
            .env("FAILS", fails)
            .output()
            .unwrap();
        let printed = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(printed).unwrap())
    }

    #[test]
    fn the_set_up_prints_downloads_only_if_it_fails() {
        let (is_done, printed) = set_up("");
        assert!(is_done, "{printed}");
        assert_eq!(printed.lines().count(), 1, "{printed}");
        let (is_done, printed) = set_up("yes");
        assert!(!is_done && printed.contains("go: downloading"), "{printed}");
    }
}
