//! The resource definition: the operator's behaviour while it is missing, and `crd --apply`, which installs it with
//! few permissions and never removes a stored version.

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use mqtt_tls_operator::crd;
use serde_json::{Value, json};
use tests::apiserver::ApiServer;
use tests::process::{Finished, Process, run};
use tests::programs;
use tests::wait::eventually_async;
use tokio::sync::{Mutex, MutexGuard};

use crate::fixture::{SOON, ask, spawn_operator};

const NAME: &str = "mqtttlslisteners.mqtt.smartboot.tech";

/// The definition's annotation with the release that made it.
const RELEASE: &str = "mqtt.smartboot.tech/release";

/// Allows for the backoff of a watch that has failed several times.
const NOTICED: Duration = Duration::from_secs(90);

/// The role of Helm's hook, with these verbs.
fn role(verbs: &str) -> String {
    format!(
        "apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: installer}}
rules:
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  resourceNames: [{NAME}]
  verbs: [{verbs}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: installer}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: installer}}
subjects: [{{kind: User, name: installer, apiGroup: rbac.authorization.k8s.io}}]
"
    )
}

/// An API server without the definition, for one test at a time: there is one definition in a cluster.
async fn without_definition() -> MutexGuard<'static, ApiServer> {
    static SERVER: LazyLock<Mutex<ApiServer>> = LazyLock::new(|| Mutex::new(ApiServer::start()));
    let server = SERVER.lock().await;
    let delete = ["delete", "crd", NAME, "--ignore-not-found"];
    server.kubectl(&delete).expect_success();
    server
}

fn command(kubeconfig: &Path) -> Command {
    let mut command = Command::new(programs::operator());
    command
        .env("KUBECONFIG", kubeconfig)
        .args(["crd", "--apply"]);
    command
}

fn crd_apply(kubeconfig: &Path) -> Finished {
    run(command(kubeconfig), b"", 3 * SOON)
}

fn with(change: impl FnOnce(&mut Value)) -> String {
    let crd = mqtt_tls_config::yaml::value(&crd::yaml()).unwrap();
    let mut crd: Value = mqtt_tls_config::yaml::from_value(crd).unwrap();
    change(&mut crd);
    crd.to_string()
}

fn with_versions(change: impl FnOnce(&mut Value)) -> String {
    with(|crd| change(&mut crd["spec"]["versions"]))
}

fn with_release(release: &str) -> String {
    with(|crd| crd["metadata"]["annotations"][RELEASE] = json!(release))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_definition_is_reported_and_awaited() {
    let server = without_definition().await;
    let admin = server.kubeconfig();
    let operator = spawn_operator(&admin, &[]);
    let line = operator.wait_for_line("watch failed; retrying", SOON);
    assert!(
        line.contains("is not installed; install it with `mqtt-tls-operator crd --apply`"),
        "{line}"
    );
    let is_missing = || async {
        let ready = ask(&operator, "/readyz");
        let names_it =
            ready.contains("waiting for the list of listeners: CustomResourceDefinition");
        (ready.starts_with("HTTP/1.1 503") && names_it).then_some(())
    };
    let is_ready = || async {
        ask(&operator, "/readyz")
            .starts_with("HTTP/1.1 200")
            .then_some(())
    };
    eventually_async(SOON, "it is not ready", is_missing).await;
    crd_apply(&admin).expect_success();
    eventually_async(NOTICED, "it is ready when it is installed", is_ready).await;
    server.kubectl(&["delete", "crd", NAME]).expect_success();
    eventually_async(NOTICED, "it is not ready when it is gone", is_missing).await;
    crd_apply(&admin).expect_success();
    eventually_async(NOTICED, "it is ready when it is back", is_ready).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_created_updated_and_left_alone() {
    let server = without_definition().await;
    let installer = server.kubeconfig_for("installer", &[]);
    let refused = crd_apply(&installer);
    assert_eq!(refused.status.code(), Some(69));
    assert!(refused.stderr.contains("Forbidden"), "{}", refused.stderr);

    let allow = |verbs| {
        let apply = ["apply", "-f", "-"];
        server
            .kubectl_with_input(&apply, &role(verbs))
            .expect_success();
    };
    // Applying one that does not exist needs the verb `create`, too.
    allow("get, patch");
    let refused = crd_apply(&installer);
    assert_eq!(refused.status.code(), Some(69), "{}", refused.stdout);
    allow("get, patch, create");
    let prints = |word: &str| {
        let stdout = crd_apply(&installer).expect_success().stdout;
        assert_eq!(stdout, format!("customresourcedefinition {NAME} {word}\n"));
    };
    prints("created");
    prints("unchanged");
    // As an earlier release would have installed it with kubectl.
    let earlier = with_versions(|versions| versions[0]["additionalPrinterColumns"] = json!([]));
    let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    server.kubectl_with_input(&apply, &earlier).expect_success();
    prints("updated");
    let crd = server
        .kubectl(&["get", "crd", NAME, "-o", "json"])
        .expect_success();
    let crd: Value = serde_json::from_str(&crd.stdout).unwrap();
    let columns = crd["spec"]["versions"][0]["additionalPrinterColumns"].as_array();
    assert!(
        columns.is_some_and(|columns| columns.len() > 4),
        "{columns:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_version_is_not_removed() {
    let server = without_definition().await;
    let later = with_versions(|versions| {
        let mut v1 = versions[0].clone();
        v1["name"] = json!("v1");
        versions[0]["storage"] = json!(false);
        versions.as_array_mut().unwrap().push(v1);
    });
    server.install_crd_yaml(&later).await;
    let refused = crd_apply(&server.kubeconfig());
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        refused
            .stderr
            .contains("listeners are stored in version v1, which"),
        "{}",
        refused.stderr
    );
    let versions = [
        "get",
        "crd",
        NAME,
        "-o",
        "jsonpath={.spec.versions[*].name}",
    ];
    let versions = server.kubectl(&versions).expect_success().stdout;
    assert_eq!(versions, "v1alpha1 v1");
}

/// An older release may be installed after a newer one.
#[tokio::test(flavor = "multi_thread")]
async fn a_definition_of_a_later_release_is_left_unchanged() {
    let server = without_definition().await;
    let later = with_release("999.0.0");
    server.install_crd_yaml(&later).await;
    let version = || {
        let version = [
            "get",
            "crd",
            NAME,
            "-o",
            "jsonpath={.metadata.resourceVersion}",
        ];
        server.kubectl(&version).expect_success().stdout
    };
    let before = version();
    let stdout = crd_apply(&server.kubeconfig()).expect_success().stdout;
    assert!(
        stdout.contains("left unchanged") && stdout.contains("999.0.0"),
        "{stdout}"
    );
    assert_eq!(version(), before);
    // A definition of an earlier or an unreadable release is updated.
    for release in ["0.0.1", "of mine"] {
        let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        let other = with_release(release);
        server.kubectl_with_input(&apply, &other).expect_success();
        let stdout = crd_apply(&server.kubeconfig()).expect_success().stdout;
        assert!(stdout.ends_with(" updated\n"), "{release}: {stdout}");
    }
    let crd = server
        .kubectl(&["get", "crd", NAME, "-o", "json"])
        .expect_success();
    let crd: Value = serde_json::from_str(&crd.stdout).unwrap();
    let annotations = &crd["metadata"]["annotations"];
    assert_eq!(annotations[RELEASE], env!("CARGO_PKG_VERSION"));
    // GitOps tools that prune must keep it, and with it the listeners.
    assert_eq!(annotations["kustomize.toolkit.fluxcd.io/prune"], "disabled");
    let argo = &annotations["argocd.argoproj.io/sync-options"];
    assert_eq!(argo, "Prune=false,Delete=false");
}

/// As after `kubectl delete crd`, while a finalizer still holds it.
#[tokio::test(flavor = "multi_thread")]
async fn it_waits_for_a_definition_that_is_being_deleted() {
    let server = without_definition().await;
    let admin = server.kubeconfig();
    crd_apply(&admin).expect_success();
    let uid = || {
        let uid = ["get", "crd", NAME, "-o", "jsonpath={.metadata.uid}"];
        server.kubectl(&uid).expect_success().stdout
    };
    let before = uid();
    let hold = |finalizers: &str| {
        let patch = format!("{{\"metadata\":{{\"finalizers\":{finalizers}}}}}");
        let patch = ["patch", "crd", NAME, "--type=merge", "-p", &patch];
        server.kubectl(&patch).expect_success();
    };
    hold("[\"example.com/hold\"]");
    let delete = ["delete", "crd", NAME, "--wait=false"];
    server.kubectl(&delete).expect_success();
    let installer = Process::spawn("installer", command(&admin));
    installer.wait_for_line("is being deleted", SOON);
    hold("[]");
    let status = installer.wait_exit(2 * SOON);
    assert!(status.success(), "{status}\n{}", installer.log());
    assert_ne!(uid(), before, "it is a new object");
}
