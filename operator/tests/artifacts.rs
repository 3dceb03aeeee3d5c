//! Conventions as tests: the generated CRD matches the types, files and functions are short, and certain
//! dependencies are limited to one module.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

#[path = "support/generated.rs"]
mod generated;

use std::fs;
use std::path::PathBuf;

use generated::{assert_current, root};
use mqtt_tls_operator::crd;
use mqtt_tls_operator::plan::reason::Reason;

/// Maximum number of lines of a file before its tests.
const FILE_LINES_MAX: usize = 400;

/// Maximum number of lines of a function.
const FUNCTION_LINES_MAX: usize = 70;

/// Returns all Rust files below the folders, with their text.
fn sources(folders: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).unwrap().display().to_string();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    assert!(found.len() > 5, "the folders are empty");
    found
}

/// Returns the sources of the programs without their tests.
fn programs() -> Vec<(String, String)> {
    let before_tests = |text: String| {
        text.split("#[cfg(test)]\nmod tests")
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let folders = [
        "operator/src",
        "terminator/src",
        "terminator/config/src",
        "terminator/judge/src",
        "terminator/mqtt/src",
        "terminator/program/src",
    ];
    sources(&folders)
        .into_iter()
        .filter(|(name, _)| !name.ends_with("tests.rs"))
        .map(|(name, text)| (name, before_tests(text)))
        .collect()
}

/// kustomize and Helm read it only from their own folders; `deploy/crd.yaml` is a link to the first.
#[test]
fn the_crd_matches_the_types() {
    let wanted = crd::yaml();
    for path in [
        "deploy/base/crd.yaml",
        "charts/smart-mqtt-tls/crds/mqtttlslisteners.yaml",
        "deploy/crd.yaml",
    ] {
        assert_current(path, &wanted);
    }
}

/// Of others it warns, at each installation.
#[test]
fn the_crd_has_formats_that_the_api_server_knows() {
    let lines = crd::yaml();
    let formats = lines
        .lines()
        .filter_map(|line| line.trim().strip_prefix("format: "));
    let unknown: Vec<&str> = formats
        .filter(|format| !["int32", "int64", "date-time"].contains(format))
        .collect();
    assert_eq!(unknown, [""; 0]);
}

#[test]
fn files_are_short_and_documented() {
    let mut faults = Vec::new();
    for (name, text) in programs() {
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            faults.push(format!(
                "{name} has {lines} lines before its tests; the limit is {FILE_LINES_MAX}"
            ));
        }
        if !text.starts_with("//! ") {
            faults.push(format!("{name} does not start with `//!`"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn functions_are_short() {
    let mut faults = Vec::new();
    for (name, text) in sources(&["operator", "terminator", "tests"]) {
        let lines: Vec<&str> = text.lines().collect();
        for (start, line) in lines.iter().enumerate() {
            let indentation = line.len() - line.trim_start().len();
            let words: Vec<&str> = line.split_whitespace().collect();
            if !words.contains(&"fn") || line.trim_start().starts_with("//") || line.ends_with(';')
            {
                continue;
            }
            // rustfmt ends a function at its own indentation.
            let end = format!("{}}}", " ".repeat(indentation));
            let length = lines[start..]
                .iter()
                .position(|line| *line == end)
                .unwrap_or(0);
            if length > FUNCTION_LINES_MAX {
                faults.push(format!("{name}:{}: {length} lines", start + 1));
            }
        }
    }
    assert!(
        faults.is_empty(),
        "longer than {FUNCTION_LINES_MAX} lines:\n{}",
        faults.join("\n")
    );
}

#[test]
fn certain_apis_are_used_in_one_module_only() {
    for (what, only) in [
        ("serde_yaml::", &["terminator/config/src/yaml.rs"][..]),
        ("rustls_pemfile::", &["terminator/judge/src/pem.rs"]),
        // Of servers, and of clients.
        (
            "EndEntityCert::",
            &[
                "terminator/judge/src/chain.rs",
                "terminator/judge/src/client.rs",
            ],
        ),
        (
            "any_supported_type(",
            &["terminator/judge/src/certificate.rs"],
        ),
        // rustls 0.24 replaces this API.
        ("unbuffered::", &["terminator/src/tls/session.rs"]),
    ] {
        let found: Vec<String> = programs()
            .into_iter()
            .filter(|(_, text)| text.contains(what))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(found, only, "{what}");
    }
}

/// The reference documents every reason, so the code must use each.
#[test]
fn every_reason_is_used() {
    let vocabulary = "operator/src/plan/reason";
    let programs = programs();
    let users: Vec<&String> = programs
        .iter()
        .filter(|(name, _)| !name.starts_with(vocabulary) || name.ends_with("/judged.rs"))
        .map(|(_, text)| text)
        .collect();
    for reason in Reason::ALL {
        let patterns = [
            format!("Reason::{reason:?}"),
            format!("=> Self::{reason:?},"),
        ];
        let is_used = |text: &&String| patterns.iter().any(|words| text.contains(words));
        assert!(users.iter().any(is_used), "{reason:?} is unused");
    }
}

#[test]
fn pure_modules_have_no_effects() {
    let text = fs::read_to_string(root().join("operator/src/plan.rs")).unwrap();
    assert!(text.contains("#![deny(clippy::disallowed_methods, clippy::disallowed_types)]"));
    for (name, text) in programs() {
        let is_pure = name.starts_with("operator/src/plan/");
        assert!(!is_pure || !text.contains("async "), "{name} is async");
    }
}

/// A port to another release of rustls must change one folder only.
#[test]
fn the_terminator_uses_rustls_in_one_folder_only() {
    for (name, text) in programs() {
        let is_allowed =
            !name.starts_with("terminator/src/") || name.starts_with("terminator/src/tls");
        assert!(
            is_allowed || !text.contains("rustls::"),
            "{name} uses rustls"
        );
    }
}

/// Enforces purity by dependencies: the judge and the reader of CONNECTs have neither a runtime nor a cluster, and the crate
/// that both programs share has no TLS.
#[test]
fn crates_lack_forbidden_dependencies() {
    for (manifest, forbidden) in [
        (
            "terminator/config/Cargo.toml",
            &["tokio", "kube", "rustls"][..],
        ),
        ("terminator/judge/Cargo.toml", &["tokio", "kube"]),
        (
            "terminator/mqtt/Cargo.toml",
            &["tokio", "kube", "rustls", "jiff"],
        ),
        ("terminator/program/Cargo.toml", &["kube", "rustls"]),
        ("terminator/Cargo.toml", &["kube", "k8s-openapi"]),
    ] {
        let text = fs::read_to_string(root().join(manifest)).unwrap();
        for name in forbidden {
            let dependency = format!("\n{name}.workspace");
            assert!(!text.contains(&dependency), "{manifest} depends on {name}");
        }
    }
}

#[test]
fn the_environment_is_read_in_one_place() {
    for (name, text) in programs() {
        let reads = text.contains("env::var") || text.contains("env = \"");
        assert!(
            !reads || name.ends_with("src/args.rs"),
            "{name} reads the environment"
        );
    }
}
