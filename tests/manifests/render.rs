//! Manifests as the tools render them: the chart with each of its `ci` values, kustomize's folders, the samples. It must
//! not judge them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use mqtt_tls_config::yaml;
use serde_json::Value;
use tests::process::{Finished, run};
use tests::{assets, workdir};

/// Upper bound for a tool on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(300);

/// The chart's namespace, which is that of kustomize's base.
pub(crate) const NAMESPACE: &str = "smart-mqtt-tls";

/// The release's name in all documents.
pub(crate) const RELEASE: &str = "smart-mqtt-tls";

/// The workspace's folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The chart's folder.
pub(crate) fn chart() -> PathBuf {
    root().join("charts/smart-mqtt-tls")
}

/// Rendered manifests.
#[derive(Clone, Debug)]
pub(crate) struct Rendered {
    /// Its name in messages and file names.
    pub(crate) name: String,
    /// The manifests.
    pub(crate) text: String,
}

impl Rendered {
    /// Parses the objects.
    pub(crate) fn objects(&self) -> Vec<Value> {
        objects(&self.text)
    }
}

/// Parses the objects in manifests.
pub(crate) fn objects(text: &str) -> Vec<Value> {
    let documents = yaml::documents(text).unwrap();
    documents
        .into_iter()
        .map(|document| serde_json::to_value(document).unwrap())
        .collect()
}

/// A `helm` command that does not use the home folder.
pub(crate) fn helm() -> Command {
    let mut command = Command::new(assets::tool("helm"));
    let home = workdir::scratch("helm");
    for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        command.env(variable, &home);
    }
    command.env("HELM_PLUGINS", assets::helm_plugins());
    command.current_dir(root());
    command
}

/// The chart's `ci` values, one file for each case.
pub(crate) fn ci_values() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(chart().join("ci"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() > 3, "{files:?}");
    files
}

/// The name of a case: `full` for `ci/full-values.yaml`.
pub(crate) fn case(values: &Path) -> String {
    let stem = values.file_stem().unwrap().to_str().unwrap();
    stem.trim_end_matches("-values").to_owned()
}

/// Renders the chart with additional arguments, including its resource definition.
pub(crate) fn template(name: &str, args: &[&str]) -> Rendered {
    let finished = try_template(args).expect_success();
    Rendered {
        name: format!("chart-{name}"),
        text: finished.stdout,
    }
}

/// Like [`template`], but it may fail. Sets the Kubernetes version, because helm's default is too old.
pub(crate) fn try_template(args: &[&str]) -> Finished {
    try_template_of(&chart(), args)
}

/// Like [`try_template`], for another chart.
pub(crate) fn try_template_of(chart: &Path, args: &[&str]) -> Finished {
    let mut command = helm();
    command
        .args(["template", RELEASE])
        .arg(chart)
        .args(["--namespace", NAMESPACE, "--include-crds"])
        .args(["--kube-version", &assets::kubernetes_version()])
        .args(args);
    run(command, b"", LONG)
}

/// Renders the chart with each of its `ci` values.
pub(crate) fn charts() -> Vec<Rendered> {
    let render =
        |values: PathBuf| template(&case(&values), &["--values", values.to_str().unwrap()]);
    ci_values().into_iter().map(render).collect()
}

/// Renders a folder of the checkout with kustomize.
pub(crate) fn kustomize(folder: &str) -> Rendered {
    kustomization(&folder.replace('/', "-"), &root().join(folder))
}

/// Renders any folder with kustomize.
fn kustomization(name: &str, folder: &Path) -> Rendered {
    let mut command = Command::new(assets::kubernetes("kubectl"));
    command.arg("kustomize").arg(folder);
    Rendered {
        name: name.to_owned(),
        text: run(command, b"", LONG).expect_success().stdout,
    }
}

/// Renders a copy of a kustomize folder with an edit of its kustomization.
pub(crate) fn edited(name: &str, folder: &str, edit: impl FnOnce(&str) -> String) -> Rendered {
    let copy = workdir::scratch("edited");
    let mut command = Command::new("cp");
    command.arg("-rL").arg(root().join("deploy")).arg(&copy);
    run(command, b"", LONG).expect_success();
    let folder = copy.join(folder);
    let file = folder.join("kustomization.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let changed = edit(&text);
    assert_ne!(changed, text, "{name}: the edit changes nothing");
    std::fs::write(file, changed).unwrap();
    kustomization(name, &folder)
}

/// Renders all kustomizations.
pub(crate) fn kustomizations() -> Vec<Rendered> {
    [
        "deploy/base",
        "deploy/overlays/namespaced",
        "deploy/overlays/kind",
        "deploy/overlays/registry",
    ]
    .map(kustomize)
    .into()
}

/// Returns the samples as with `kubectl apply --namespace`; those for cert-manager are a separate rendering.
pub(crate) fn samples(namespace: &str) -> Vec<Rendered> {
    let path = root().join("deploy/samples/cert-manager.yaml");
    let cert_manager = Rendered {
        name: "deploy-samples-cert-manager".to_owned(),
        text: std::fs::read_to_string(path).unwrap(),
    };
    let mut samples = vec![kustomize("deploy/samples"), cert_manager];
    for sample in &mut samples {
        let documents = sample.objects().into_iter().map(|mut object| {
            object["metadata"]["namespace"] = namespace.into();
            yaml::to_string(&object)
        });
        sample.text = documents.collect::<Vec<_>>().join("---\n");
    }
    samples
}

/// Reports whether an object is a Helm hook, which exists only during an installation.
pub(crate) fn is_hook(object: &Value) -> bool {
    object["metadata"]["annotations"]["helm.sh/hook"].is_string()
}
