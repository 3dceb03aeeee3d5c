//! checkov and kube-score check everything that is rendered. The skipped checks are listed here with their reasons.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;
use tests::process::run;
use tests::{assets, workdir};

use crate::render::{LONG, Rendered, charts, kustomizations, samples};

/// A skipped check, and a predicate for the renderings that it applies to. The reason is above each.
struct Skip(&'static str, fn(&str) -> bool);

const CHECKOV_SKIPS: [Skip; 3] = [
    // Tokens only where necessary: operator and Job need one for the API server.
    Skip("CKV_K8S_38", |name| name != "samples"),
    // Images by digest: the digest is known after a push, and is set by `image.digest`.
    Skip("CKV_K8S_43", without_a_registry),
    // The pull policy Always: an image that was loaded into a node without a registry could not start. The project's
    // tags are immutable.
    Skip("CKV_K8S_15", without_a_registry),
];

const KUBE_SCORE_SKIPS: [Skip; 2] = [
    // As CKV_K8S_15.
    Skip("container-image-pull-policy", without_a_registry),
    // smart-mqtt has only its MQTT port to probe; the liveness probe tolerates more failures.
    Skip("pod-probes-identical", |name| name == "samples"),
];

/// All renderings except the case with a registry.
fn without_a_registry(name: &str) -> bool {
    name != "chart-full"
}

/// Returns the checks to skip for a rendering.
fn skips<'a>(skips: &'a [Skip], rendered: &Rendered) -> Vec<&'a str> {
    let here = skips.iter().filter(|skip| (skip.1)(&rendered.name));
    here.map(|skip| skip.0).collect()
}

/// The pod of `helm test`, which ends by itself: probes say nothing about it. checkov knows that of Jobs only.
const ONCE: &str = "Pod.smart-mqtt-tls.mqtt-tls-operator-test";
const PROBES: [&str; 2] = ["CKV_K8S_8", "CKV_K8S_9"];

/// Returns kustomize's renderings, and all samples as one, because the linters do not know some of their kinds.
fn kustomize() -> Vec<Rendered> {
    let samples = samples("samples").into_iter().map(|sample| sample.text);
    let samples = Rendered {
        name: "samples".to_owned(),
        text: samples.collect::<Vec<_>>().join("---\n"),
    };
    [kustomizations(), vec![samples]].concat()
}

// Two tests, which run in parallel.
#[test]
fn checkov_accepts_the_chart() {
    assert_checkov_passes(&charts());
}

#[test]
fn checkov_accepts_kustomize_and_the_samples() {
    assert_checkov_passes(&kustomize());
}

/// Runs checkov once for all renderings with the same skips, because its start is slow. It may count a NetworkPolicy for
/// another rendering; kube-score has the same check and runs for each rendering.
fn assert_checkov_passes(all: &[Rendered]) {
    let mut groups: BTreeMap<String, Vec<&Rendered>> = BTreeMap::new();
    for rendered in all {
        let skips = skips(&CHECKOV_SKIPS, rendered).join(",");
        groups.entry(skips).or_default().push(rendered);
    }
    let mut faults = Vec::new();
    for (skips, group) in groups {
        faults.extend(checkov(&skips, &group));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn checkov(skips: &str, group: &[&Rendered]) -> Vec<String> {
    let folder = workdir::scratch("checkov");
    for rendered in group {
        std::fs::write(
            folder.join(format!("{}.yaml", rendered.name)),
            &rendered.text,
        )
        .unwrap();
    }
    let mut command = Command::new(assets::checkov());
    command
        .args(["--framework", "kubernetes", "--skip-download", "--compact"])
        .args(["--quiet", "--output", "json", "--skip-check", skips])
        .arg("--directory")
        .arg(&folder)
        // Otherwise it ignores files below hidden folders, such as .cache.
        .env("CKV_IGNORE_HIDDEN_DIRECTORIES", "False");
    let output = run(command, b"", LONG);
    let report: Value = serde_json::from_str(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}\n{}", output.stdout, output.stderr));
    let passed = report["summary"]["passed"].as_u64().unwrap_or(0);
    let wanted = 50 * group.len() as u64;
    assert!(
        passed > wanted,
        "only {passed} checks passed: something was not checked"
    );
    let failed = report["results"]["failed_checks"].as_array();
    let failed = failed.into_iter().flatten().filter(|check| {
        let is_once = check["resource"].as_str() == Some(ONCE);
        !is_once || !PROBES.iter().any(|probe| check["check_id"] == *probe)
    });
    let failed = failed.map(|check| {
        let (file, name) = (&check["file_path"], &check["check_name"]);
        format!("{file}: {} {name} {}", check["check_id"], check["resource"])
    });
    failed.collect()
}

#[test]
fn kube_score_finds_nothing_critical() {
    let mut faults = Vec::new();
    for rendered in [charts(), kustomize()].concat() {
        faults.extend(kube_score(&rendered));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn kube_score(rendered: &Rendered) -> Vec<String> {
    let mut command = Command::new(assets::tool("kube-score"));
    command.args(["score", "--output-format", "json"]);
    for check in skips(&KUBE_SCORE_SKIPS, rendered) {
        command.args(["--ignore-test", check]);
    }
    command.arg("-");
    let output = run(command, rendered.text.as_bytes(), LONG);
    let report: Value = serde_json::from_str(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}\n{}", output.stdout, output.stderr));
    let objects = report.as_array().unwrap();
    assert!(
        !objects.is_empty(),
        "{}: nothing was checked",
        rendered.name
    );
    let mut found = Vec::new();
    for object in objects {
        for check in object["checks"].as_array().into_iter().flatten() {
            // 1 is critical, 5 a warning, 7 and 10 are good.
            let is_critical = check["grade"] == 1 && check["skipped"] != true;
            if is_critical {
                let (id, comments) = (&check["check"]["id"], &check["comments"]);
                found.push(format!(
                    "{}: {} {id} {comments}",
                    rendered.name, object["object_name"]
                ));
            }
        }
    }
    found
}
