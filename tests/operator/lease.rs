//! Only the leader works. A standby takes over when the leader ends, is killed, or does not renew in time; an
//! operator that has lost the Lease writes nothing.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use rustix::process::Signal;
use serde_json::json;
use tests::apiserver::{ApiServer, AuditEvent};
use tests::process::Process;
use tests::wait::eventually_async;

use crate::account::Account;
use crate::fixture::{Fixture, NAMESPACE, SOON, ask, listener, root, spawn_operator};

/// Allows for a Lease of the default duration to expire and to be taken over.
const EXPIRY: Duration = Duration::from_secs(60);

/// The log line of an operator that has become the leader.
const LEADS: &str = "acquired the Lease";

/// The exit code of an operator that has lost the Lease.
const LOST: Option<i32> = Some(75);

/// An operator for the fixture's namespace, with its Lease there too.
fn candidate(cluster: &Fixture, account: &Account, more: &[&str]) -> Process {
    let namespace = cluster.namespace.as_str();
    let args = ["--namespace", namespace, "--lease-namespace", namespace];
    spawn_operator(&account.kubeconfig, &[&args[..], more].concat())
}

async fn lease(cluster: &Fixture) -> LeaseSpec {
    let lease = cluster.api::<Lease>().get("mqtt-tls-operator").await;
    lease.unwrap().spec.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_takes_over_when_the_leader_is_killed() {
    let cluster = Fixture::without_operator("lease-kill").await;
    let one = Account::operator(cluster.server, &cluster.namespace, "one").await;
    let other = Account::operator(cluster.server, &cluster.namespace, "other").await;
    let leader = candidate(&cluster, &one, &[]);
    leader.wait_for_line(LEADS, SOON);
    let standby = candidate(&cluster, &other, &[]);
    standby.wait_for_line("standing by", SOON);
    let holder = lease(&cluster).await.holder_identity.unwrap();
    let ready = ask(&standby, "/readyz");
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    assert!(
        ready.contains(&format!("standing by; {holder} leads")),
        "{ready}"
    );
    assert!(ask(&standby, "/metrics").contains("mqtt_tls_operator_leader 0\n"));
    assert!(ask(&leader, "/metrics").contains("mqtt_tls_operator_leader 1\n"));
    leader.kill();

    cluster.put_tls("edge-tls", &cluster.leaf("edge")).await;
    cluster.apply_listener("edge", "");
    standby.wait_for_line(LEADS, EXPIRY);
    cluster.wait_until_programmed("edge").await;
    let after = lease(&cluster).await;
    assert_ne!(after.holder_identity.unwrap(), holder);
    assert_eq!(after.lease_transitions, Some(1));
    assert!(ask(&standby, "/metrics").contains("mqtt_tls_operator_leader 1\n"));
    // Before it led, it read nothing but the Lease.
    let requests = other.requests();
    let begin = requests.iter().position(AuditEvent::is_write).unwrap();
    for request in &requests[..begin] {
        let about = request.object_ref.as_ref().unwrap();
        assert_eq!(about.resource, "leases", "{}", request.request_uri);
    }
}

/// With the permissions and the name that it has in a cluster, and a Lease too long to wait for.
#[tokio::test(flavor = "multi_thread")]
async fn sigterm_hands_the_lease_over() {
    let cluster = Fixture::without_operator("lease-term").await;
    let account = cluster
        .server
        .kubeconfig_for_service_account(NAMESPACE, "mqtt-tls-operator");
    let args = [
        "--namespace",
        &cluster.namespace,
        "--lease-namespace",
        NAMESPACE,
        "--lease-duration",
        "10m",
    ];
    let leader = spawn_operator(&account, &args);
    leader.wait_for_line(LEADS, SOON);
    let standby = spawn_operator(&account, &args);
    standby.wait_for_line("standing by", SOON);
    leader.signal(Signal::TERM);
    let status = leader.wait_exit(SOON);
    assert!(status.success(), "{status}\n{}", leader.log());
    leader.wait_for_line("released the Lease", SOON);
    standby.wait_for_line(LEADS, SOON);
    standby.wait_for_line("listed all listeners", SOON);
    // A standby ends at once: it has nothing to release.
    let third = spawn_operator(&account, &args);
    third.wait_for_line("standing by", SOON);
    third.signal(Signal::TERM);
    assert_eq!(third.wait_exit(SOON).code(), Some(0));
    standby.signal(Signal::TERM);
    assert_eq!(standby.wait_exit(SOON).code(), Some(0));
    let leases: Api<Lease> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    let spec = leases.get("mqtt-tls-operator").await.unwrap().spec.unwrap();
    assert_eq!(spec.holder_identity, None);
}

/// The two configure different images, which shows who wrote last, and gives the old leader something to write.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_paused_past_its_lease_writes_nothing() {
    let cluster = Fixture::without_operator("lease-stop").await;
    let old = Account::operator(cluster.server, &cluster.namespace, "old").await;
    let new = Account::operator(cluster.server, &cluster.namespace, "new").await;
    cluster.put_tls("edge-tls", &cluster.leaf("edge")).await;
    cluster.apply_listener("edge", "");
    let leader = candidate(&cluster, &old, &["--terminator-image", "old"]);
    leader.wait_for_line(LEADS, SOON);
    cluster.wait_until_programmed("edge").await;
    let standby = candidate(&cluster, &new, &["--terminator-image", "new"]);
    standby.wait_for_line("standing by", SOON);
    leader.signal(Signal::STOP);
    standby.wait_for_line(LEADS, EXPIRY);
    let look = || async {
        let spec = cluster.child::<Deployment>("edge").await.spec.unwrap();
        let container = spec.template.spec.unwrap().containers.remove(0);
        (container.image.as_deref() == Some("new")).then_some(())
    };
    eventually_async(SOON, "the new leader's image is there", look).await;
    // An attempt to acquire the Lease would be one of them.
    let writes = || {
        let mut requests = old.requests();
        requests.retain(AuditEvent::is_write);
        requests
    };
    let before = writes().len();
    leader.signal(Signal::CONT);
    let status = leader.wait_exit(SOON);
    assert_eq!(status.code(), LOST, "{}", leader.log());
    leader.wait_for_line("another operator may work now", SOON);
    cluster.settle().await;
    let after = writes().split_off(before);
    assert!(after.is_empty(), "{after:#?}");
    look().await.expect("the new image is still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_taken_or_deleted_by_others_is_lost() {
    let cluster = Fixture::without_operator("lease-lost").await;
    let account = Account::operator(cluster.server, &cluster.namespace, "one").await;
    let leases = cluster.api::<Lease>();
    let name = "mqtt-tls-operator";
    // A long one, so that it does not expire.
    let leader = candidate(&cluster, &account, &["--lease-duration", "10m"]);
    leader.wait_for_line(LEADS, SOON);
    let label = json!({"metadata": {"labels": {"theirs": "yes"}}});
    let patch = |patch| async {
        let (leases, params) = (leases.clone(), PatchParams::default());
        leases
            .patch(name, &params, &Patch::Merge(patch))
            .await
            .unwrap()
    };
    patch(label).await;
    leader.wait_for_line("the Lease was modified and is still held", SOON);
    patch(json!({"spec": {"holderIdentity": "someone", "leaseDurationSeconds": 1}})).await;
    assert_eq!(leader.wait_exit(SOON).code(), LOST, "{}", leader.log());
    leader.wait_for_line("the Lease is now held by someone", SOON);

    let leader = candidate(&cluster, &account, &["--lease-duration", "10m"]);
    leader.wait_for_line(LEADS, SOON);
    leases.delete(name, &DeleteParams::default()).await.unwrap();
    assert_eq!(leader.wait_exit(SOON).code(), LOST, "{}", leader.log());
    leader.wait_for_line("the Lease was deleted", SOON);
    let left = leases.get_opt(name).await.unwrap();
    assert!(left.is_none(), "a deleted Lease must not be created again");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_permission_for_the_lease_it_is_not_ready_and_says_why() {
    let cluster = Fixture::without_operator("lease-right").await;
    let account = Account::new(cluster.server, &cluster.namespace, "none");
    let operator = candidate(&cluster, &account, &[]);
    let line = operator.wait_for_line("failed to acquire the Lease; retrying", SOON);
    assert!(line.contains("Forbidden"), "{line}");
    let ready = ask(&operator, "/readyz");
    assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");
    assert!(
        ready.contains("waiting for the Lease: get Lease mqtt-tls-operator was refused"),
        "{ready}"
    );
    operator.signal(Signal::TERM);
    assert_eq!(operator.wait_exit(SOON).code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_lease_namespace_makes_it_not_ready() {
    let cluster = Fixture::without_operator("lease-nowhere").await;
    let args = ["--namespace", &cluster.namespace, "--lease-namespace"];
    let args = [&args[..], &["not-there"]].concat();
    let operator = spawn_operator(&cluster.server.kubeconfig(), &args);
    let line = operator.wait_for_line("failed to acquire the Lease; retrying", SOON);
    assert!(
        line.contains("namespaces \\\"not-there\\\" not found"),
        "{line}"
    );
    let ready = ask(&operator, "/readyz");
    assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");
}

/// An operator with a Lease of ten minutes survives the outage, and one with five seconds ends.
#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_outage_loses_the_lease_only_when_it_expires() {
    let mut server = ApiServer::start();
    let base = root().join("deploy/base");
    let apply = ["apply", "--server-side", "-k", base.to_str().unwrap()];
    server.kubectl(&apply).expect_success();
    let candidate = |name: &str, duration: &str| {
        let args = ["--lease-namespace", "default", "--lease-name", name];
        let args = [&args[..], &["--lease-duration", duration]].concat();
        let operator = spawn_operator(&server.kubeconfig(), &args);
        operator.wait_for_line("listed all listeners", SOON);
        operator
    };
    let (patient, hasty) = (candidate("patient", "10m"), candidate("hasty", "5s"));
    server.stop();
    assert_eq!(hasty.wait_exit(SOON).code(), LOST, "{}", hasty.log());
    hasty.wait_for_line("the Lease was not renewed in time", SOON);
    patient.wait_for_line("failed to renew the Lease; retrying", SOON);
    server.start_again();
    let apply = ["apply", "-n", "default", "-f", "-"];
    let manifest = listener("edge", "edge-tls", "");
    server
        .kubectl_with_input(&apply, &manifest)
        .expect_success();
    let wait = [
        "wait",
        "--for=condition=ResolvedRefs=false",
        "--timeout=50s",
        "mtl/edge",
    ];
    server.kubectl(&wait).expect_success();
    patient.signal(Signal::TERM);
    assert_eq!(patient.wait_exit(SOON).code(), Some(0), "{}", patient.log());
    patient.wait_for_line("released the Lease", SOON);
}
