//! Guarantees of the manifests' documentation: the operator can run in another namespace, and uninstalling it removes
//! nothing of the user's.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::render::{Rendered, edited, kustomizations, root};

/// As described in `deploy/overlays/namespaced/kustomization.yaml`.
#[test]
fn the_operator_of_one_namespace_can_run_in_any() {
    let rendered = edited("elsewhere", "deploy/overlays/namespaced", |text| {
        text.replace("\nnamespace: smart-mqtt-tls\n", "\nnamespace: iot\n")
    });
    assert!(
        !rendered.text.contains("namespace: smart-mqtt-tls"),
        "{}",
        rendered.text
    );
    let objects = rendered.objects();
    let accounts: BTreeSet<String> = of_kind(&objects, "ServiceAccount")
        .map(in_namespace)
        .collect();
    let bindings: Vec<&Value> = of_kind(&objects, "RoleBinding").collect();
    assert_eq!(bindings.len(), 2);
    for subject in bindings
        .iter()
        .flat_map(|binding| binding["subjects"].as_array().unwrap())
    {
        let named = format!("{}/{}", subject["namespace"], subject["name"]);
        assert!(accounts.contains(&named), "{named}: {accounts:?}");
    }
    let namespaces: Vec<&Value> = of_kind(&objects, "Namespace").collect();
    assert_eq!(namespaces.len(), 1);
    assert_eq!(namespaces[0]["metadata"]["name"], "iot");
}

/// The README uninstalls by a label. Deleting the namespace would delete everything in it, and deleting the resource
/// definition all listeners.
#[test]
fn uninstalling_by_label_keeps_namespace_and_definition() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let commands = readme
        .lines()
        .filter_map(|line| line.split_once("--selector "));
    let selectors: Vec<&str> = commands.map(|(_, selector)| selector.trim()).collect();
    assert!(!selectors.is_empty());
    for selector in selectors {
        let (label, value) = selector.split_once('=').unwrap();
        for Rendered { name, text } in kustomizations() {
            let objects = Rendered {
                name: name.clone(),
                text,
            }
            .objects();
            let (gone, kept): (Vec<&Value>, Vec<&Value>) = objects
                .iter()
                .partition(|object| object["metadata"]["labels"][label] == value);
            let kinds: BTreeSet<&str> = kept.iter().filter_map(|it| it["kind"].as_str()).collect();
            let wanted = BTreeSet::from(["CustomResourceDefinition", "Namespace"]);
            assert_eq!(kinds, wanted, "{name}");
            assert!(gone.len() > 7, "{name}");
        }
    }
}

/// Argo CD and Flux prune what they have applied, whatever its labels are.
#[test]
fn pruning_keeps_namespace_and_definition() {
    for Rendered { name, text } in kustomizations() {
        let objects = Rendered {
            name: name.clone(),
            text,
        }
        .objects();
        for kind in ["CustomResourceDefinition", "Namespace"] {
            let kept = of_kind(&objects, kind).next().unwrap();
            let annotations = &kept["metadata"]["annotations"];
            let argo = &annotations["argocd.argoproj.io/sync-options"];
            assert_eq!(argo, "Prune=false,Delete=false", "{name}: {kind}");
            let flux = &annotations["kustomize.toolkit.fluxcd.io/prune"];
            assert_eq!(flux, "disabled", "{name}: {kind}");
        }
    }
}

fn of_kind<'o>(objects: &'o [Value], kind: &'o str) -> impl Iterator<Item = &'o Value> {
    objects.iter().filter(move |object| object["kind"] == kind)
}

fn in_namespace(object: &Value) -> String {
    let metadata = &object["metadata"];
    format!("{}/{}", metadata["namespace"], metadata["name"])
}
