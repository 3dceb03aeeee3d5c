//! When an object cannot be read, the conditions say which and why, and serving goes on; when it can be read again,
//! the operator recovers.

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt;
use kube::api::ListParams;
use tests::wait::eventually_async;

use crate::account::{Account, without, working_rules};
use crate::fixture::{Fixture, SOON, spawn_operator};

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_is_a_condition_until_it_is_granted() {
    let cluster = Fixture::without_operator("unread").await;
    let account = Account::operator(cluster.server, &cluster.namespace, "operator").await;
    let all = working_rules(cluster.server).await;
    cluster.put_tls("edge-tls", &cluster.leaf("edge")).await;
    cluster.apply_listener("edge", "");
    let operator = spawn_operator(&account.kubeconfig, &["--namespace", &cluster.namespace]);
    cluster.wait_until_programmed("edge").await;
    cluster.run_pods("edge").await;
    cluster.wait_for("edge", "Ready", "True", "Ready").await;
    let served = cluster.child::<Secret>("edge").await.resource_version();

    for (verb, resource, condition) in [
        ("get", "secrets", "ResolvedRefs"),
        ("list", "pods", "Programmed"),
        ("get", "deployments", "Programmed"),
    ] {
        account.grant(without(&all, verb, resource)).await;
        // Triggers a reconciliation.
        let touch = [
            "annotate",
            "mtl/edge",
            "--overwrite",
            "-n",
            &cluster.namespace,
        ];
        let touched = format!("touched={verb}-{resource}");
        cluster
            .server
            .kubectl(&[&touch[..], &[&touched]].concat())
            .expect_success();
        let found = cluster
            .wait_for("edge", condition, "False", "Forbidden")
            .await;
        let wanted = format!("the verb `{verb}` on `{resource}`");
        assert!(found.message.contains(&wanted), "{}", found.message);
        let ready = cluster
            .wait_for("edge", "Ready", "False", "Forbidden")
            .await;
        assert!(ready.message.starts_with(condition), "{}", ready.message);
        cluster
            .wait_for("edge", "Available", "True", "PodsAvailable")
            .await;
        let status = cluster.listener("edge").await.status.unwrap();
        assert_eq!(
            status.certificates.len(),
            1,
            "the status keeps what is served"
        );
        nothing_new_is_written(&cluster, &account).await;
        account.grant(all.clone()).await;
        cluster.wait_for("edge", "Ready", "True", "Ready").await;
    }
    assert_eq!(
        cluster.child::<Secret>("edge").await.resource_version(),
        served
    );
    let events = cluster.api::<Event>();
    let look = || async {
        let events = events.list(&ListParams::default()).await.unwrap().items;
        let is_warning = |event: &Event| {
            event.reason.as_deref() == Some("Forbidden")
                && event.type_.as_deref() == Some("Warning")
        };
        events.iter().any(is_warning).then_some(())
    };
    eventually_async(SOON, "there is an event", look).await;
    assert!(operator.is_running());
}

/// Checks that retries write nothing while the status stays the same.
async fn nothing_new_is_written(cluster: &Fixture, account: &Account) {
    let writes = || {
        let requests = account.requests();
        requests.iter().filter(|one| one.is_write()).count()
    };
    // The event is written after the status.
    cluster.settle().await;
    let before = writes();
    cluster.settle().await;
    assert_eq!(writes(), before);
}

/// A listener that was never reconciled before.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_listener_reports_it_too() {
    let cluster = Fixture::without_operator("unread-new").await;
    let account = Account::new(cluster.server, &cluster.namespace, "operator");
    let all = working_rules(cluster.server).await;
    account.grant(without(&all, "get", "secrets")).await;
    let _operator = spawn_operator(&account.kubeconfig, &["--namespace", &cluster.namespace]);
    cluster.put_tls("edge-tls", &cluster.leaf("edge")).await;
    cluster.apply_listener("edge", "");
    cluster
        .wait_for("edge", "ResolvedRefs", "False", "Forbidden")
        .await;
    cluster
        .wait_for("edge", "Accepted", "True", "Accepted")
        .await;
    cluster
        .wait_for("edge", "Programmed", "Unknown", "NotRead")
        .await;
    account.grant(all).await;
    cluster.wait_until_programmed("edge").await;
}
