//! The operator's clock is wrong, or stepped while it works: what it decides rests on the API server's clock, and what it
//! measures on none.

use std::process::Command;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::{Api, Resource};
use mqtt_tls_operator::plan::ports::LINGERING;
use tests::operator::command;
use tests::pods::config_of;
use tests::process::Process;
use tests::stepped::SteppedClock;
use tests::wait::eventually_async;

use crate::account::Account;
use crate::fixture::{Fixture, NAMESPACE, SOON};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
/// Beyond each date of a certificate of these tests.
const DECADE: i64 = 3653 * DAY;

/// Starts the operator with the permissions of `deploy/base`, and with a clock of its own.
fn start(cluster: &Fixture, ahead: i64, more: &[&str]) -> (Process, SteppedClock) {
    let kubeconfig = cluster
        .server
        .kubeconfig_for_service_account(NAMESPACE, "mqtt-tls-operator");
    let args = ["--namespace", &cluster.namespace];
    spawn(command(&kubeconfig, &[&args[..], more].concat()), ahead)
}

fn spawn(mut command: Command, ahead: i64) -> (Process, SteppedClock) {
    let clock = SteppedClock::for_program(&mut command, ahead);
    let operator = Process::spawn("operator", command);
    operator.wait_for_line("listed all listeners", SOON);
    (operator, clock)
}

/// When the operator last changed an object, by the API server's clock.
fn last_write(object: &impl Resource) -> Timestamp {
    let fields = object.meta().managed_fields.iter().flatten();
    let ours = fields.filter(|entry| entry.manager.as_deref() == Some("mqtt-tls-operator"));
    ours.map(|entry| entry.time.as_ref().unwrap().0)
        .max()
        .unwrap()
}

/// Changes the port, and checks that the former one stays open for its time after the Service has followed.
async fn the_former_port_stays_open(prefix: &str, ahead: i64, then: i64) {
    let cluster = Fixture::without_operator(prefix).await;
    let (operator, clock) = start(&cluster, ahead, &[]);
    operator.wait_for_line("this machine's clock is not the API server's", SOON);
    cluster.programmed("edge", "").await;
    cluster.apply_listener("edge", "  port: 9443\n");
    let look = || async {
        let service = cluster.child::<Service>("edge").await;
        let port = service.spec.as_ref()?.ports.as_ref()?[0].port;
        (port == 9443).then_some(service)
    };
    let service = eventually_async(SOON, "the Service has followed", look).await;
    clock.step(then);
    // It looks again, by the stepped clock.
    cluster.put_tls("edge-tls", &cluster.leaf("renewed")).await;
    let secrets = cluster.api::<Secret>();
    let look = || async {
        let secret = secrets.get("edge-mqtts").await.unwrap();
        config_of(&secret).also_listen.is_empty().then_some(secret)
    };
    let patience = LINGERING + Duration::from_secs(60);
    let secret = eventually_async(patience, "the former port is closed", look).await;
    let stayed = last_write(&secret).duration_since(last_write(&service));
    // The API server records whole seconds.
    let shortest = i64::try_from(LINGERING.as_secs()).unwrap() - 1;
    assert!(stayed.as_secs() >= shortest, "{stayed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_ahead_does_not_close_the_former_port_early() {
    the_former_port_stays_open("ahead", HOUR, DAY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_behind_does_not_keep_the_former_port_open() {
    the_former_port_stays_open("behind", -HOUR, -DAY).await;
}

/// Steps of an hour, of a day, and beyond the dates of all certificates.
#[tokio::test(flavor = "multi_thread")]
async fn renewals_and_retries_go_on_and_the_lease_is_kept_while_the_clock_is_stepped() {
    let cluster = Fixture::without_operator("stepped").await;
    let account = Account::operator(cluster.server, &cluster.namespace, "one").await;
    let namespace = cluster.namespace.as_str();
    let args = ["--namespace", namespace, "--lease-namespace", namespace];
    let (operator, clock) = spawn(command(&account.kubeconfig, &args), 0);
    let standby = tests::operator::spawn(&account.kubeconfig, &args);
    standby.wait_for_line("standing by", SOON);
    cluster.programmed("edge", "").await;
    for ahead in [HOUR, DAY, DECADE, 0, -HOUR, -DAY, 0] {
        clock.step(ahead);
        cluster
            .put_secret("edge-tls", &[("tls.crt", b"none")])
            .await;
        cluster
            .wait_for("edge", "ResolvedRefs", "False", "MissingKey")
            .await;
        let leaf = cluster.leaf("renewed");
        cluster.put_tls("edge-tls", &leaf).await;
        cluster
            .wait_for_config("edge", "the renewed certificate", |config| {
                config.pem.expose().contains(leaf.key_pem.trim())
            })
            .await;
        cluster
            .wait_for("edge", "ResolvedRefs", "True", "ResolvedRefs")
            .await;
    }
    let leases: Api<Lease> = cluster.api();
    let lease = leases.get("mqtt-tls-operator").await.unwrap();
    assert_eq!(lease.spec.unwrap().lease_transitions, Some(0));
    assert!(operator.is_running());
    drop(standby);
}
