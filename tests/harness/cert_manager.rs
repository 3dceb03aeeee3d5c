//! cert-manager's controllers and its webhook, as programs on this machine for any API server. It must not create issuers or
//! certificates.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::apiserver::ApiServer;
use crate::assets;
use crate::pki::Ca;
use crate::ports::free_port;
use crate::process::Process;

/// Its namespace, for leader election and for Secrets of ClusterIssuers.
const NAMESPACE: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: cert-manager}\n";

/// Time limit of the webhook's start.
const START: Duration = Duration::from_secs(30);

/// Starts cert-manager's controllers on this machine for a cluster, with its resource definitions, and without its webhook.
///
/// # Panics
///
/// If the cluster rejects its resource definitions.
pub fn start(server: &ApiServer) -> Process {
    let apply = ["apply", "-f", "-"];
    let namespace = server.kubectl_with_input(&apply, NAMESPACE);
    namespace.expect_success();
    let crds = assets::cert_manager_crds();
    let crds = crds.to_str().expect("the cache's path is plain text");
    for args in [
        &["apply", "--server-side", "-f", crds][..],
        &[
            "wait",
            "--for=condition=Established",
            "--timeout=60s",
            "-f",
            crds,
        ],
    ] {
        server.kubectl(args).expect_success();
    }
    let mut command = Command::new(assets::cert_manager("controller"));
    command.arg("--kubeconfig").arg(kubeconfig(server));
    Process::spawn("cert-manager", command)
}

/// Starts cert-manager's webhook on this machine, and has the cluster ask it for each of cert-manager's resources from then on, as
/// its chart does. After it ends, the cluster refuses them all.
///
/// # Panics
///
/// If it does not start, or the cluster rejects its configuration.
pub fn start_webhook(server: &ApiServer) -> Process {
    let ca = Ca::new("cert-manager's webhook");
    let leaf = ca.leaf().ip(&Ipv4Addr::LOCALHOST.to_string()).issue();
    let (chain, key) = leaf.files();
    let (port, healthz) = (free_port(), free_port());
    let mut command = Command::new(assets::cert_manager("webhook"));
    command.arg("--kubeconfig").arg(kubeconfig(server));
    command.arg("--tls-cert-file").arg(chain);
    command.arg("--tls-private-key-file").arg(key);
    command.arg(format!("--secure-port={port}"));
    command.arg(format!("--healthz-port={healthz}"));
    command.arg("--metrics-listen-address=0");
    let webhook = Process::spawn("cert-manager-webhook", command);
    webhook.wait_for_port(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), START);
    for (kind, path, rule) in [
        (
            "ValidatingWebhookConfiguration",
            "validate",
            rule(
                &["cert-manager.io", "acme.cert-manager.io"],
                &["CREATE", "UPDATE"],
                "*/*",
            ),
        ),
        (
            "MutatingWebhookConfiguration",
            "mutate",
            rule(&["cert-manager.io"], &["CREATE"], "certificaterequests"),
        ),
    ] {
        let configuration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": "cert-manager-webhook"},
            "webhooks": [{
                "name": "webhook.cert-manager.io",
                "rules": [rule],
                "admissionReviewVersions": ["v1"],
                "failurePolicy": "Fail",
                "sideEffects": "None",
                "clientConfig": {
                    "url": format!("https://{}:{port}/{path}", Ipv4Addr::LOCALHOST),
                    "caBundle": STANDARD.encode(ca.cert_pem()),
                },
            }],
        });
        let apply = ["apply", "-f", "-"];
        let applied = server.kubectl_with_input(&apply, &configuration.to_string());
        applied.expect_success();
    }
    webhook
}

fn rule(groups: &[&str], operations: &[&str], resources: &str) -> Value {
    json!({
        "apiGroups": groups,
        "apiVersions": ["v1"],
        "operations": operations,
        "resources": [resources],
    })
}

fn kubeconfig(server: &ApiServer) -> PathBuf {
    server.kubeconfig_for("cert-manager", &["system:masters"])
}
