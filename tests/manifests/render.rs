//! Manifests as the tools make them: the chart with each of its `ci` values, kustomize's folders, the samples.
//! It judges nothing.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use mqtt_tls_config::yaml;
use serde_json::Value;
use tests::process::{Finished, run};
use tests::{assets, workdir};

/// How long a tool may take on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(300);

/// The namespace that the chart is rendered for: that of kustomize's base.
pub(crate) const NAMESPACE: &str = "smart-mqtt-tls";

/// What a release is called in all documents.
pub(crate) const RELEASE: &str = "smart-mqtt-tls";

/// The workspace's folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The chart's folder.
pub(crate) fn chart() -> PathBuf {
    root().join("charts/smart-mqtt-tls")
}

/// Text that is rendered, and from what.
#[derive(Clone, Debug)]
pub(crate) struct Rendered {
    /// What to call it in messages and file names.
    pub(crate) name: String,
    /// The manifests.
    pub(crate) text: String,
}

impl Rendered {
    /// The objects in it.
    pub(crate) fn objects(&self) -> Vec<Value> {
        objects(&self.text)
    }
}

/// The objects in a text of manifests.
pub(crate) fn objects(text: &str) -> Vec<Value> {
    let documents = yaml::documents(text).unwrap();
    documents
        .into_iter()
        .map(|document| serde_json::to_value(document).unwrap())
        .collect()
}

/// A `helm` command that leaves the home folder alone.
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

/// The chart's value files for tests, each a case of its own.
pub(crate) fn ci_values() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(chart().join("ci"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() > 3, "{files:?}");
    files
}

/// What a value file is called: `full` for `ci/full-values.yaml`.
pub(crate) fn case(values: &Path) -> String {
    let stem = values.file_stem().unwrap().to_str().unwrap();
    stem.trim_end_matches("-values").to_owned()
}

/// The chart with more arguments, its resource definition included.
pub(crate) fn template(name: &str, args: &[&str]) -> Rendered {
    let finished = try_template(args).expect_success();
    Rendered {
        name: format!("chart-{name}"),
        text: finished.stdout,
    }
}

/// The same, where it may be refused. By itself helm would take an old Kubernetes to be there.
pub(crate) fn try_template(args: &[&str]) -> Finished {
    try_template_of(&chart(), args)
}

/// The same for another chart.
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

/// The chart with each of its `ci` values.
pub(crate) fn charts() -> Vec<Rendered> {
    let render =
        |values: PathBuf| template(&case(&values), &["--values", values.to_str().unwrap()]);
    ci_values().into_iter().map(render).collect()
}

/// A folder of the checkout by kustomize.
pub(crate) fn kustomize(folder: &str) -> Rendered {
    kustomization(&folder.replace('/', "-"), &root().join(folder))
}

/// Any folder by kustomize.
fn kustomization(name: &str, folder: &Path) -> Rendered {
    let mut command = Command::new(assets::kubernetes("kubectl"));
    command.arg("kustomize").arg(folder);
    Rendered {
        name: name.to_owned(),
        text: run(command, b"", LONG).expect_success().stdout,
    }
}

/// A folder of kustomize's after a user has changed something in it, in a copy.
pub(crate) fn edited(name: &str, folder: &str, edit: impl FnOnce(&str) -> String) -> Rendered {
    let copy = workdir::scratch("edited");
    let mut command = Command::new("cp");
    command.arg("-rL").arg(root().join("deploy")).arg(&copy);
    run(command, b"", LONG).expect_success();
    let folder = copy.join(folder);
    let file = folder.join("kustomization.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let changed = edit(&text);
    assert_ne!(changed, text, "{name}: nothing was changed");
    std::fs::write(file, changed).unwrap();
    kustomization(name, &folder)
}

/// All that kustomize installs.
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

/// The samples, as `kubectl apply --namespace` takes them; those for cert-manager are a rendering of their own.
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

/// Whether an object is one of Helm's hooks, which come and go around an installation.
pub(crate) fn is_hook(object: &Value) -> bool {
    object["metadata"]["annotations"]["helm.sh/hook"].is_string()
}
