//! The command `verify`, which `helm test` runs: with the operator's permissions it passes if an installation works, and
//! otherwise says what is wrong.

use std::process::Command;

use k8s_openapi::api::core::v1::Secret;
use kube::api::DeleteParams;
use tests::process::{Finished, run};
use tests::programs;

use crate::account::Account;
use crate::fixture::{Fixture, SOON, spawn_operator};

fn verify(cluster: &Fixture, account: &Account, patience: &str) -> Finished {
    let namespace = cluster.namespace.as_str();
    let mut command = Command::new(programs::operator());
    command
        .env("KUBECONFIG", &account.kubeconfig)
        .env_remove("KUBERNETES_SERVICE_HOST")
        .args(["verify", "--patience", patience, "--namespace", namespace])
        .args(["--lease-namespace", namespace]);
    run(command, b"", 2 * SOON)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_is_verified_with_the_operators_permissions() {
    let cluster = Fixture::without_operator("verify").await;
    let account = Account::operator(cluster.server, &cluster.namespace, "operator").await;
    cluster.put_tls("edge-tls", &cluster.leaf("edge")).await;
    cluster.apply_listener("edge", "");
    let finished = verify(&cluster, &account, "1s");
    assert_eq!(finished.status.code(), Some(1), "{}", finished.stderr);
    let behind = format!(
        "FAILED: listener {}/edge has been changed, and no operator has looked at it",
        cluster.namespace
    );
    let said = &finished.stdout;
    assert!(said.contains("FAILED: no operator works"), "{said}");
    assert!(said.contains(&behind), "{said}");

    let namespace = cluster.namespace.as_str();
    let args = ["--namespace", namespace, "--lease-namespace", namespace];
    let operator = spawn_operator(&account.kubeconfig, &args);
    cluster.run_pods("edge").await;
    cluster.wait_for("edge", "Ready", "True", "Ready").await;
    let finished = verify(&cluster, &account, "30s").expect_success();
    let said = finished.stdout;
    assert!(said.contains(" leads\nthe listener is ready\n"), "{said}");

    let secrets = cluster.api::<Secret>();
    let params = DeleteParams::default();
    secrets.delete("edge-tls", &params).await.unwrap();
    cluster
        .wait_for("edge", "Ready", "False", "SecretNotFound")
        .await;
    // Its Lease is held, and not renewed.
    operator.kill();
    let finished = verify(&cluster, &account, "3s");
    let said = &finished.stdout;
    assert_eq!(finished.status.code(), Some(1), "{said}");
    assert!(
        said.contains("holds the Lease and does not renew it"),
        "{said}"
    );
    assert!(said.contains("is not ready (SecretNotFound): "), "{said}");

    let none = Account::new(cluster.server, &cluster.namespace, "none");
    let finished = verify(&cluster, &none, "1s");
    assert_eq!(finished.status.code(), Some(69), "{}", finished.stdout);
    let said = &finished.stderr;
    assert!(
        said.contains("the installation could not be verified"),
        "{said}"
    );
    assert!(
        said.contains("get Lease mqtt-tls-operator was refused (Forbidden)"),
        "{said}"
    );
}
