//! The container images as users build them: their content and labels, and that builds are reproducible. Whether they
//! work in a pod is tested on a whole node.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tests::images::{ImageArchive, Images, build_command};
use tests::process::{Process, run};
use tests::{broker, ports, workdir};

/// Maximum size of an image in bytes.
const MAX_SIZE: u64 = 18_000_000;
/// Upper bound for a build on a busy machine.
const BUILD: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_secs(60);

/// An unpacked image archive.
struct Unpacked {
    /// The root file system.
    root: PathBuf,
    /// Sorted paths in it; folders end with a slash.
    files: Vec<String>,
    /// The image's configuration.
    config: Value,
    tags: Value,
}

fn unpack(archive: &Path) -> Unpacked {
    let folder = workdir::scratch("image");
    let tar = |from: &Path, to: &Path| {
        let mut command = Command::new("tar");
        command.arg("-xf").arg(from).arg("-C").arg(to);
        run(command, b"", SOON).expect_success();
    };
    tar(archive, &folder);
    let json = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(folder.join(name)).unwrap()).unwrap()
    };
    let manifest = &json("manifest.json")[0];
    let layers = manifest["Layers"].as_array().unwrap();
    assert_eq!(layers.len(), 1, "one layer with each tool");
    let layer = folder.join(layers[0].as_str().unwrap());
    let root = folder.join("root");
    fs::create_dir(&root).unwrap();
    tar(&layer, &root);
    let mut list = Command::new("tar");
    list.arg("-tf").arg(&layer);
    let listed = run(list, b"", SOON).expect_success().stdout;
    let mut files: Vec<_> = listed.lines().map(str::to_owned).collect();
    files.sort();
    Unpacked {
        root,
        files,
        config: json(manifest["Config"].as_str().unwrap()),
        tags: manifest["RepoTags"].clone(),
    }
}

/// The project's two images, each with the name of its program.
fn ours() -> [(&'static str, &'static ImageArchive); 2] {
    let images = Images::built();
    [
        ("mqtt-tls-operator", &images.operator),
        ("mqtt-tls-terminator", &images.terminator),
    ]
}

fn all() -> [&'static ImageArchive; 4] {
    let images = Images::built();
    [
        &images.operator,
        &images.terminator,
        &images.smart_mqtt,
        &images.mosquitto,
    ]
}

/// Runs a program with an image as its root file system.
fn inside(root: &Path, program: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    // A user namespace, so that it works without root.
    command.arg("--map-root-user").arg("--root").arg(root);
    command.args(program);
    command
}

fn build(arguments: &[&str]) -> PathBuf {
    let out = workdir::scratch("built");
    let mut command = build_command();
    command.arg("--out").arg(&out).args(arguments);
    run(command, b"", BUILD).expect_success();
    out
}

#[test]
fn an_image_contains_only_the_program_and_its_sbom() {
    for (program, image) in ours() {
        let unpacked = unpack(&image.file);
        assert_eq!(unpacked.files, [program, "sbom.cdx.json"]);
        let mode = |file: &str| {
            let metadata = fs::metadata(unpacked.root.join(file)).unwrap();
            metadata.permissions().mode() & 0o7777
        };
        assert_eq!(mode(program), 0o755);
        assert_eq!(mode("sbom.cdx.json"), 0o644);
    }
}

#[test]
fn an_image_is_small() {
    for (program, image) in ours() {
        let unpacked = unpack(&image.file);
        let size = |path: &Path| fs::metadata(path).unwrap().len();
        let files = unpacked.files.iter();
        let within: u64 = files.map(|file| size(&unpacked.root.join(file))).sum();
        assert!(within <= MAX_SIZE, "{program}: {within} bytes");
        let archive = size(&image.file);
        assert!(
            archive <= MAX_SIZE,
            "{program}: an archive of {archive} bytes"
        );
    }
}

#[test]
fn no_image_has_a_shell() {
    for image in all() {
        for file in unpack(&image.file).files {
            let name = file.rsplit('/').next().unwrap_or_default();
            assert!(
                !["sh", "bash", "dash", "ash", "busybox", "toybox", "env"].contains(&name),
                "{}: {file}",
                image.name
            );
        }
    }
}

#[test]
fn an_image_runs_as_a_numeric_user_above_ten_thousand() {
    for image in all() {
        let config = unpack(&image.file).config;
        let user = config["config"]["User"].as_str().unwrap();
        let (user, group) = user.split_once(':').expect("a group, too");
        for id in [user, group] {
            let id: u32 = id
                .parse()
                .expect("a number, because runAsNonRoot cannot check names");
            assert!(id > 10_000, "{}: {id}", image.name);
        }
    }
}

#[test]
fn an_archive_has_the_name_in_the_manifests() {
    for image in all() {
        let tags = unpack(&image.file).tags;
        let tag = tags[0].as_str().unwrap();
        // Engines add this prefix to a name without a host, and the kubelet expects it.
        let name = tag.strip_prefix("docker.io/library/").unwrap_or(tag);
        assert_eq!(name, image.name);
    }
}

#[test]
fn an_image_has_descriptive_labels() {
    for (program, image) in ours() {
        let Unpacked { config, .. } = unpack(&image.file);
        let labels = &config["config"]["Labels"];
        let label = |key: &str| labels[format!("org.opencontainers.image.{key}")].as_str();
        assert_eq!(label("title"), Some(program));
        assert_eq!(label("version"), Some(env!("CARGO_PKG_VERSION")));
        assert_eq!(label("licenses"), Some("Apache-2.0"));
        assert!(label("description").is_some_and(|text| text.contains("smart-mqtt")));
        // Not given to this build.
        assert_eq!(label("revision"), None);
        assert_eq!(label("source"), None);
        assert_eq!(config["os"], "linux");
        let arch = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        assert_eq!(config["architecture"], arch);
        assert_eq!(config["config"]["Entrypoint"][0], format!("/{program}"));
        assert_eq!(config["created"], "1970-01-01T00:00:00Z");
    }
}

#[test]
fn the_sbom_matches_the_program() {
    for (program, image) in ours() {
        let text = fs::read_to_string(unpack(&image.file).root.join("sbom.cdx.json")).unwrap();
        let list: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(list["bomFormat"], "CycloneDX");
        assert_eq!(list["metadata"]["component"]["name"], program);
        let components = list["components"].as_array().unwrap();
        let has = |name: &str| components.iter().any(|component| component["name"] == name);
        let absent = |name: &str| assert!(!has(name), "{program} does not have {name}");
        assert!(has("rustls") && has("aws-lc-rs") && has("tokio"));
        if program == "mqtt-tls-operator" {
            assert!(has("kube") && has("mqtt-tls-terminator"));
        } else {
            absent("kube");
        }
        // The demo's broker, another crypto provider, and build-time dependencies.
        for name in ["rumqttd", "ring", "serde_derive", "cc"] {
            absent(name);
        }
        for component in components {
            let name = &component["name"];
            assert!(
                component["version"].is_string() && component["purl"].is_string(),
                "{name}"
            );
            assert!(component["licenses"][0]["expression"].is_string(), "{name}");
        }
        names_no_path_of_the_machine(program, text.as_bytes());
    }
}

#[test]
fn a_program_contains_no_path_of_the_build_machine() {
    for (program, image) in ours() {
        let bytes = fs::read(unpack(&image.file).root.join(program)).unwrap();
        names_no_path_of_the_machine(program, &bytes);
    }
}

fn names_no_path_of_the_machine(what: &str, bytes: &[u8]) {
    let exe = std::env::current_exe().unwrap();
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    // The cargo home is in it, or in a variable.
    let homes = ["HOME", "CARGO_HOME", "RUSTUP_HOME"].map(std::env::var_os);
    let mut places: Vec<_> = homes.into_iter().flatten().map(PathBuf::from).collect();
    places.push(repository.to_owned());
    places.push(exe.ancestors().nth(3).unwrap().to_owned());
    for place in places {
        let place = format!("{}/", place.to_str().unwrap().trim_end_matches('/'));
        // Every path contains a home of "/".
        if place == "/" {
            continue;
        }
        let found = bytes
            .windows(place.len())
            .position(|at| at == place.as_bytes());
        if let Some(at) = found {
            let around = &bytes[at.saturating_sub(40)..bytes.len().min(at + 120)];
            panic!("{what} names {place}: {}", String::from_utf8_lossy(around));
        }
    }
}

#[test]
fn a_program_runs_without_other_files() {
    for (program, image) in ours() {
        let unpacked = unpack(&image.file);
        let started = inside(&unpacked.root, &[&format!("/{program}"), "--version"]);
        let version = run(started, b"", SOON).expect_success().stdout;
        assert_eq!(
            version.trim(),
            format!("{program} {}", env!("CARGO_PKG_VERSION"))
        );
    }
}

#[test]
fn the_operator_has_no_demo() {
    let unpacked = unpack(&Images::built().operator.file);
    let started = inside(&unpacked.root, &["/mqtt-tls-operator", "demo", "--once"]);
    let finished = run(started, b"", SOON);
    assert_eq!(finished.status.code(), Some(2), "{}", finished.stderr);
}

#[test]
fn buildah_and_podman_build_identical_images() {
    for tool in ["buildah", "podman"] {
        let out = build(&["--tool", tool, "operator", "terminator"]);
        for ((_, image), file) in ours().iter().zip(["operator.tar", "terminator.tar"]) {
            let (once, again) = (
                fs::read(&image.file).unwrap(),
                fs::read(out.join(file)).unwrap(),
            );
            // Not `assert_eq`, which would print the bytes.
            assert!(once == again, "{tool} builds a different {}", image.name);
        }
    }
}

#[test]
fn given_revision_and_source_become_labels() {
    let source = "https://example.com/mqtt-tls";
    let out = build(&["--revision", "0123abc", "--source", source, "terminator"]);
    let config = unpack(&out.join("terminator.tar")).config;
    let labels = &config["config"]["Labels"];
    assert_eq!(labels["org.opencontainers.image.revision"], "0123abc");
    assert_eq!(labels["org.opencontainers.image.source"], source);
    assert_eq!(
        labels["org.opencontainers.image.title"],
        "mqtt-tls-terminator"
    );
}

#[test]
fn invalid_arguments_are_reported() {
    for (arguments, expected) in [
        (
            &["--platform", "linux/s390x"][..],
            "use linux/amd64 or linux/arm64",
        ),
        (&["--tool", "no-such-tool"], "no-such-tool is not installed"),
        (&["--registry", "example.com"], "unknown option --registry"),
        (&["--out"], "--out needs a value"),
        (&["no-such-image"], "no-such-image.Containerfile"),
    ] {
        let mut command = build_command();
        command.args(arguments);
        let finished = run(command, b"", SOON);
        assert_eq!(finished.status.code(), Some(1), "{arguments:?}");
        assert!(
            finished.stderr.contains(expected),
            "{arguments:?}: {}",
            finished.stderr
        );
    }
}

#[test]
fn smart_mqtt_listens_at_its_configured_address_with_a_read_only_root() {
    let Unpacked { root, config, .. } = unpack(&Images::built().smart_mqtt.file);
    let words = |list: &Value| -> Vec<String> {
        let list = list.as_array().unwrap().iter();
        list.map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    assert!(words(&config["config"]["Env"]).contains(&"BROKER_PORT=1883".to_owned()));
    let addr = ports::free_addr();
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", READ_ONLY, "sh"]);
    command
        .arg(&root)
        .args(words(&config["config"]["Entrypoint"]));
    command.env("BROKER_HOST", addr.ip().to_string());
    command.env("BROKER_PORT", addr.port().to_string());
    let process = Process::spawn("smart-mqtt-image", command);
    process.wait_until("a CONNECT is answered", SOON, || broker::ping(addr).ok());
}

/// Starts the image as in a pod with a read-only root, with the usual mounts of /proc and /dev.
const READ_ONLY: &str = "root=$1; shift; mkdir \"$root/proc\" \"$root/dev\"; \
    mount --bind \"$root\" \"$root\"; mount --rbind /proc \"$root/proc\"; mount --rbind /dev \"$root/dev\"; \
    mount -o remount,bind,ro \"$root\"; exec chroot \"$root\" \"$@\"";
