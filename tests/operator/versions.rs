//! Two operators of different releases at once, as during an upgrade: one leads and the other waits. After a change of the
//! leader, each child is written at most once, and then nothing. If both are made to work, they slow down.
//!
//! `OPERATOR_BEFORE` names the program of an earlier release. Without it, both are this one with different images.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use rustix::process::Signal;
use tests::apiserver::AuditEvent;
use tests::operator::command;
use tests::process::Process;
use tests::wait::eventually_async;

use crate::account::Account;
use crate::fixture::{Fixture, SOON};

/// The names of the listeners.
const LISTENERS: [&str; 3] = ["one", "two", "three"];

/// Maximum number of status updates of a listener that a change of the leader causes: while it goes on, and when it is done.
const STATUSES_MAX: usize = 2;

/// In such a time, two operators without a rest reconcile a listener up to a hundred times each.
const WINDOW: Duration = Duration::from_secs(10);

/// Starts a candidate for the Lease, whose image identifies its release.
fn candidate(cluster: &Fixture, account: &Account, image: &str) -> Process {
    let namespace = cluster.namespace.as_str();
    let args = ["--namespace", namespace, "--lease-namespace", namespace];
    let args = [&args[..], &["--terminator-image", image]].concat();
    let mut command = command(&account.kubeconfig, &args);
    if let Some(before) = std::env::var_os("OPERATOR_BEFORE").filter(|_| image == "before") {
        let mut other = std::process::Command::new(before);
        other.args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => other.env(name, value),
                None => other.env_remove(name),
            };
        }
        command = other;
    }
    Process::spawn("operator", command)
}

/// Waits until this release has rendered each Deployment, and nothing is written any more.
async fn settled_with(cluster: &Fixture, account: &Account, image: &str) {
    for listener in LISTENERS {
        let look = || async {
            let spec = cluster.child::<Deployment>(listener).await.spec?;
            let container = spec.template.spec?.containers.remove(0);
            (container.image.as_deref() == Some(image)).then_some(())
        };
        eventually_async(2 * SOON, &format!("{listener} has the image {image}"), look).await;
        cluster.wait_until_programmed(listener).await;
    }
    let mut seen = written(account).len();
    loop {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let now = written(account).len();
        if std::mem::replace(&mut seen, now) == now {
            return;
        }
    }
}

/// The writes of an operator, except those of the Lease and of its records.
fn written(account: &Account) -> Vec<AuditEvent> {
    let is_its_own = |event: &AuditEvent| {
        let object = event.object_ref.as_ref();
        object.is_some_and(|object| ["leases", "configmaps"].contains(&object.resource.as_str()))
    };
    let mut requests = account.requests();
    requests.retain(|event| event.is_write() && !is_its_own(event));
    requests
}

/// Checks that each child was written at most once, and each status twice.
fn assert_bounded(writes: &[AuditEvent]) {
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    for event in writes {
        let object = event.object_ref.clone().unwrap();
        if object.resource != "events" {
            *counts.entry((object.resource, object.name)).or_default() += 1;
        }
    }
    for ((resource, name), count) in &counts {
        let is_status = resource == "mqtttlslisteners";
        let most = if is_status { STATUSES_MAX } else { 1 };
        assert!(*count <= most, "{resource} {name}: {count} in {counts:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_leads_and_a_change_of_the_leader_is_bounded_and_ends() {
    let cluster = Fixture::without_operator("versions").await;
    let before = Account::operator(cluster.server, &cluster.namespace, "before").await;
    let after = Account::operator(cluster.server, &cluster.namespace, "after").await;
    for listener in LISTENERS {
        let leaf = cluster.leaf(listener);
        cluster.put_tls(&format!("{listener}-tls"), &leaf).await;
        cluster.apply_listener(listener, "");
    }
    let mut leader = candidate(&cluster, &before, "before");
    leader.wait_for_line("acquired the Lease", SOON);
    settled_with(&cluster, &before, "before").await;
    // An upgrade, its rollback, and the upgrade once more.
    for (account, image, other) in [
        (&after, "after", &before),
        (&before, "before", &after),
        (&after, "after", &before),
    ] {
        let start = written(account).len();
        let standby = candidate(&cluster, account, image);
        standby.wait_for_line("standing by", SOON);
        assert_eq!(written(account).len(), start, "a standby writes nothing");
        let theirs = written(other).len();
        leader.signal(Signal::TERM);
        standby.wait_for_line("acquired the Lease", SOON);
        settled_with(&cluster, account, image).await;
        assert_bounded(&written(account)[start..]);
        assert_eq!(
            written(other).len(),
            theirs,
            "the former leader writes nothing"
        );
        leader = standby;
    }
}

/// Outside of a cluster there is no Lease, so each changes back what the other has written.
#[tokio::test(flavor = "multi_thread")]
async fn two_that_both_work_slow_down_and_follow_the_user_nevertheless() {
    let cluster = Fixture::without_operator("fight").await;
    cluster.put_tls("edge-tls", &cluster.leaf("edge")).await;
    cluster.apply_listener("edge", "");
    let start = |image| {
        let kubeconfig = cluster.server.kubeconfig();
        let args = [
            "--namespace",
            &cluster.namespace,
            "--terminator-image",
            image,
        ];
        tests::operator::spawn(&kubeconfig, &args)
    };
    let (before, after) = (start("before"), start("after"));
    for operator in [&before, &after] {
        operator.wait_for_line("children are changed back again and again", 2 * SOON);
    }
    let reconciled = || {
        [&before, &after].map(|operator| {
            let lines = operator.lines();
            let is_one = |line: &&String| line.contains("reconciled");
            lines.iter().filter(is_one).count()
        })
    };
    let look = || async {
        let start = reconciled();
        tokio::time::sleep(WINDOW).await;
        let end = reconciled();
        let most = end.iter().zip(start).map(|(end, start)| end - start).max();
        most.is_some_and(|most| most <= 5).then_some(())
    };
    eventually_async(3 * SOON, "both have slowed down", look).await;
    let leaf = cluster.leaf("renewed");
    cluster.put_tls("edge-tls", &leaf).await;
    cluster
        .wait_for_config("edge", "the renewed certificate", |config| {
            config.pem.expose().contains(leaf.key_pem.trim())
        })
        .await;
}
