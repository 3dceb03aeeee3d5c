//! What the words beside the manifests promise: another namespace for the operator, and an end that takes away
//! nothing of the user's.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;
use tests::process::run;
use tests::workdir;

use crate::render::{LONG, Rendered, kustomization, kustomizations, root};

/// As `deploy/overlays/namespaced/kustomization.yaml` tells how.
#[test]
fn the_operator_of_one_namespace_goes_into_any() {
    let copy = workdir::scratch("elsewhere");
    let mut command = Command::new("cp");
    command.arg("-rL").arg(root().join("deploy")).arg(&copy);
    run(command, b"", LONG).expect_success();
    let overlay = copy.join("deploy/overlays/namespaced");
    let file = overlay.join("kustomization.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let changed = text.replace("\nnamespace: smart-mqtt-tls\n", "\nnamespace: iot\n");
    assert_ne!(changed, text);
    std::fs::write(file, changed).unwrap();
    let rendered = kustomization("elsewhere", &overlay);
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

/// The README takes an installation away by a label. A namespace would go with all that is in it, and the
/// resource definition with all listeners.
#[test]
fn the_end_of_an_installation_spares_what_others_made() {
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

fn of_kind<'o>(objects: &'o [Value], kind: &'o str) -> impl Iterator<Item = &'o Value> {
    objects.iter().filter(move |object| object["kind"] == kind)
}

fn in_namespace(object: &Value) -> String {
    let metadata = &object["metadata"];
    format!("{}/{}", metadata["namespace"], metadata["name"])
}
