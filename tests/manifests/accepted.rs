//! A real API server accepts everything that is rendered, with strict validation, and without a warning about unknown
//! fields or restricted pod security.

use std::sync::Once;

use mqtt_tls_operator::crd;
use tests::apiserver::ApiServer;
use tests::{assets, workdir};

use crate::render::{Rendered, charts, kustomizations, root, samples};

/// The target namespaces, except the operator's, which comes from kustomize.
const NAMESPACES: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: iot, labels: {pod-security.kubernetes.io/enforce: restricted, pod-security.kubernetes.io/warn: restricted}}
---
apiVersion: v1
kind: Namespace
metadata: {name: samples, labels: {pod-security.kubernetes.io/enforce: restricted, pod-security.kubernetes.io/warn: restricted}}
";

const DRY: [&str; 5] = [
    "apply",
    "--server-side",
    "--dry-run=server",
    "--validate=strict",
    "--force-conflicts",
];

/// An API server with only the resource definitions and namespaces.
async fn server() -> &'static ApiServer {
    static PREPARED: Once = Once::new();
    let server = ApiServer::shared();
    server.install_crd_yaml(&crd::yaml()).await;
    PREPARED.call_once(|| {
        let apply = ["apply", "--server-side", "-f"];
        let namespace = root().join("deploy/base/namespace.yaml");
        for file in [
            assets::prometheus_operator_crds(),
            assets::cert_manager_crds(),
            namespace,
        ] {
            let file = file.to_str().unwrap();
            server
                .kubectl(&[&apply[..], &[file]].concat())
                .expect_success();
        }
        server
            .kubectl_with_input(&[&apply[..], &["-"]].concat(), NAMESPACES)
            .expect_success();
        let established = ["wait", "--for=condition=Established", "crd", "--all"];
        server.kubectl(&established).expect_success();
    });
    server
}

/// Returns the server's errors and warnings about a rendering, or None.
fn faults(server: &ApiServer, rendered: &Rendered) -> Option<String> {
    let file = workdir::scratch("manifests").join(&rendered.name);
    std::fs::write(&file, &rendered.text).unwrap();
    let file = file.to_string_lossy();
    let output = server.kubectl(&[&DRY[..], &["-f", &file]].concat());
    let is_good = output.status.success() && output.stderr.is_empty() && !output.stdout.is_empty();
    (!is_good).then(|| format!("{}: {}", rendered.name, output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_apiserver_accepts_the_chart_with_all_values_and_every_kustomization() {
    let server = server().await;
    let all = charts().into_iter().chain(kustomizations());
    let found: Vec<String> = all
        .filter_map(|rendered| faults(server, &rendered))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_apiserver_accepts_the_samples() {
    let server = server().await;
    let found: Vec<String> = samples("samples")
        .iter()
        .filter_map(|rendered| faults(server, rendered))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Checks that the tests above can fail.
#[tokio::test(flavor = "multi_thread")]
async fn the_apiserver_finds_faults() {
    let server = server().await;
    let deployment = root().join("deploy/base/operator.yaml");
    let good = std::fs::read_to_string(deployment).unwrap();
    let faulty = |from: &str, to: &str| {
        let text = good.replace(from, to);
        assert_ne!(text, good, "{from} is in it");
        let rendered = Rendered {
            name: "faulty".to_owned(),
            text: text.replace("metadata:\n  name", "metadata:\n  namespace: iot\n  name"),
        };
        faults(server, &rendered).unwrap_or_default()
    };
    let insecure = faulty("runAsNonRoot: true", "runAsNonRoot: false");
    assert!(insecure.contains("would violate PodSecurity"), "{insecure}");
    let misspelt = faulty("readinessProbe:", "readynessProbe:");
    assert!(misspelt.contains("readynessProbe"), "{misspelt}");
}
