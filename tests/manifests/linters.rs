//! checkov and kube-score judge all that is rendered. What they are told to leave out is here, with the reason.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;
use tests::process::run;
use tests::{assets, workdir};

use crate::render::{LONG, Rendered, charts, kustomizations, samples};

/// A check that cannot hold, and whether a rendering is one for which that is so. The reason stands above each.
struct Skip(&'static str, fn(&str) -> bool);

const CHECKOV_SKIPS: [Skip; 3] = [
    // A token only where necessary: operator and Job talk to the API server, so there it is.
    Skip("CKV_K8S_38", |name| name != "samples"),
    // Images by digest: whoever pushes an image knows it, and says it as `image.digest`.
    Skip("CKV_K8S_43", without_a_registry),
    // The pull policy Always: an image that was loaded into a node without a registry could not be started.
    // A tag of ours never moves.
    Skip("CKV_K8S_15", without_a_registry),
];

const KUBE_SCORE_SKIPS: [Skip; 2] = [
    // As CKV_K8S_15.
    Skip("container-image-pull-policy", without_a_registry),
    // smart-mqtt has nothing but its MQTT port to ask; liveness is the more patient of the two.
    Skip("pod-probes-identical", |name| name == "samples"),
];

/// All but the case that names a registry.
fn without_a_registry(name: &str) -> bool {
    name != "chart-full"
}

/// The checks to leave out for a rendering.
fn skips<'a>(skips: &'a [Skip], rendered: &Rendered) -> Vec<&'a str> {
    let here = skips.iter().filter(|skip| (skip.1)(&rendered.name));
    here.map(|skip| skip.0).collect()
}

/// What kustomize makes, and all samples as one, for of some of their kinds the linters know nothing.
fn kustomize() -> Vec<Rendered> {
    let samples = samples("samples").into_iter().map(|sample| sample.text);
    let samples = Rendered {
        name: "samples".to_owned(),
        text: samples.collect::<Vec<_>>().join("---\n"),
    };
    [kustomizations(), vec![samples]].concat()
}

/// Two tests, for a machine has more than one core.
#[test]
fn checkov_finds_no_fault_with_the_chart() {
    assert_checkov_is_content(&charts());
}

#[test]
fn checkov_finds_no_fault_with_kustomize_and_the_samples() {
    assert_checkov_is_content(&kustomize());
}

/// One call for all renderings with the same skips: starting is what takes checkov its time. It may take one's
/// NetworkPolicy for another's; kube-score, which looks for the same, sees each by itself.
fn assert_checkov_is_content(all: &[Rendered]) {
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
        // Else it sees nothing where the target folder lies below one such as .cache.
        .env("CKV_IGNORE_HIDDEN_DIRECTORIES", "False");
    let said = run(command, b"", LONG);
    let report: Value = serde_json::from_str(&said.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}\n{}", said.stdout, said.stderr));
    let passed = report["summary"]["passed"].as_u64().unwrap_or(0);
    let wanted = 50 * group.len() as u64;
    assert!(
        passed > wanted,
        "{passed} checks passed: something was not judged"
    );
    let failed = report["results"]["failed_checks"].as_array();
    let failed = failed.into_iter().flatten().map(|check| {
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
    let said = run(command, rendered.text.as_bytes(), LONG);
    let report: Value = serde_json::from_str(&said.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}\n{}", said.stdout, said.stderr));
    let objects = report.as_array().unwrap();
    assert!(!objects.is_empty(), "{}: nothing was judged", rendered.name);
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
