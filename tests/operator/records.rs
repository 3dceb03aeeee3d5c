//! After a restart, listeners of which nothing has changed are not read again, and everything that has changed while the
//! operator was down is noticed. Without usable records, everything is read.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use kube::api::{DeleteParams, Patch, PatchParams};
use mqtt_tls_operator::crd::MqttTlsListener;
use rustix::process::Signal;
use serde_json::json;
use tests::process::Process;
use tests::wait::eventually_async;

use crate::account::Account;
use crate::fixture::{Fixture, SOON, ask, spawn_operator};

/// The ConfigMap with the records.
const RECORDS: &str = "mqtt-tls-operator-records";

/// A namespace with an operator that leads in it.
struct Stage {
    cluster: Fixture,
    account: Account,
    operator: Option<Process>,
}

impl Stage {
    /// Starts an operator, and waits until these listeners are as they should be.
    async fn with(prefix: &str, listeners: &[&str]) -> Self {
        let cluster = Fixture::without_operator(prefix).await;
        let account = Account::operator(cluster.server, &cluster.namespace, "operator").await;
        let mut stage = Self {
            cluster,
            account,
            operator: None,
        };
        stage.start(&[]);
        for name in listeners {
            stage.cluster.programmed(name, "").await;
        }
        stage.settle().await;
        stage
    }

    fn start(&mut self, more: &[&str]) {
        let namespace = &*self.cluster.namespace;
        let args = ["--namespace", namespace, "--lease-namespace", namespace];
        let operator = spawn_operator(&self.account.kubeconfig, &[&args[..], more].concat());
        operator.wait_for_line("listed all listeners", SOON);
        self.operator = Some(operator);
    }

    /// Ends the operator as a rollout would, so that it writes its records.
    fn stop(&mut self) -> Process {
        let operator = self.operator.take().expect("it runs");
        operator.signal(Signal::TERM);
        let status = operator.wait_exit(SOON);
        assert!(status.success(), "{status}\n{}", operator.log());
        operator
    }

    /// Waits until the operator has made no request for two seconds.
    async fn settle(&self) {
        let mut seen = (0, tokio::time::Instant::now());
        eventually_async(2 * SOON, "the operator settles", || {
            let count = self.counted().count();
            if count != seen.0 {
                seen = (count, tokio::time::Instant::now());
            }
            let is_quiet = seen.1.elapsed().as_secs() >= 2;
            async move { is_quiet.then_some(()) }
        })
        .await;
    }

    fn counted(&self) -> impl Iterator<Item = tests::apiserver::AuditEvent> + use<> {
        let requests = self.account.requests().into_iter();
        requests.filter(|one| {
            let object = one.object_ref.clone().unwrap_or_default();
            one.verb != "watch" && object.resource != "leases"
        })
    }

    /// Starts the operator, and returns the listeners that it has read when it has settled.
    async fn read_after_a_start(&mut self, more: &[&str]) -> BTreeSet<String> {
        let before = self.counted().count();
        self.start(more);
        self.settle().await;
        let read = self.counted().skip(before);
        let read = read.filter_map(|one| Some((one.verb, one.object_ref?)));
        let read =
            read.filter(|(verb, object)| verb == "get" && object.resource == "mqtttlslisteners");
        read.map(|(_, object)| object.name).collect()
    }

    async fn records(&self) -> Option<String> {
        let map = self.cluster.api::<ConfigMap>().get_opt(RECORDS).await;
        map.unwrap()?.data?.remove("records")
    }
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

async fn patched<K>(cluster: &Fixture, name: &str, patch: serde_json::Value)
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + serde::de::DeserializeOwned
        + std::fmt::Debug,
{
    let (api, params) = (cluster.api::<K>(), PatchParams::default());
    api.patch(name, &params, &Patch::Merge(patch))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_reads_and_writes_nothing_that_did_not_change() {
    let mut stage = Stage::with("records", &["one", "two"]).await;
    stage.stop();
    let records = stage.records().await.unwrap();
    assert_eq!(records.lines().count(), 2, "{records}");
    let writes = stage
        .account
        .requests()
        .iter()
        .filter(|one| one.is_write())
        .count();
    assert_eq!(stage.read_after_a_start(&[]).await, names(&[]));
    let operator = stage.operator.as_ref().unwrap();
    operator.wait_for_line("took over the records of the last results", SOON);
    let metrics = ask(operator, "/metrics");
    for listener in ["one", "two"] {
        for line in [
            "condition=\"Programmed\",status=\"True\"} 1".to_owned(),
            format!(
                "listener_replicas{{namespace=\"{}\",listener=\"{listener}\"}} 2",
                stage.cluster.namespace
            ),
        ] {
            assert!(metrics.contains(&line), "{line}: {metrics}");
        }
    }
    // It still notices what changes.
    stage
        .cluster
        .put_tls("one-tls", &stage.cluster.leaf("new"))
        .await;
    stage.settle().await;
    stage.stop();
    assert_ne!(stage.records().await.unwrap(), records);
    assert_eq!(stage.read_after_a_start(&[]).await, names(&[]));
    let after = stage.account.requests();
    let after = after.iter().filter(|one| one.is_write());
    let after = after.filter(|one| one.object_ref.as_ref().unwrap().resource != "leases");
    assert!(after.count() > 0 && writes > 0);
}

/// Listeners of which something changes while the operator is down.
const CHANGED: [&str; 8] = [
    "secret",
    "spec",
    "label",
    "status",
    "deployment",
    "service",
    "config",
    "pod",
];

/// Changes something of each listener; each is called after what changes.
async fn change(cluster: &Fixture) {
    cluster.put_tls("secret-tls", &cluster.leaf("new")).await;
    cluster.apply_listener("spec", "  replicas: 1\n");
    let label = json!({"metadata": {"labels": {"touched": "yes"}}});
    patched::<MqttTlsListener>(cluster, "label", label).await;
    let status = json!({"status": {"readyReplicas": 7}});
    let (listeners, params) = (cluster.api::<MqttTlsListener>(), PatchParams::default());
    listeners
        .patch_status("status", &params, &Patch::Merge(status))
        .await
        .unwrap();
    let replicas = json!({"spec": {"replicas": 7}});
    patched::<Deployment>(cluster, "deployment-mqtts", replicas).await;
    let params = DeleteParams::default();
    let (services, secrets) = (cluster.api::<Service>(), cluster.api::<Secret>());
    services.delete("service-mqtts", &params).await.unwrap();
    secrets.delete("config-mqtts", &params).await.unwrap();
    cluster.make_pod("pod", "pod-mqtts-1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_while_it_was_down_is_noticed() {
    let mut all = CHANGED.to_vec();
    all.extend(["gone", "same", "other"]);
    let mut stage = Stage::with("records-changed", &all).await;
    stage.stop();
    let cluster = &stage.cluster;
    change(cluster).await;
    let listeners = cluster.api::<MqttTlsListener>();
    let params = DeleteParams::default();
    listeners.delete("gone", &params).await.unwrap();
    cluster.put_tls("new-tls", &cluster.leaf("new")).await;
    cluster.apply_listener("new", "");
    let read = stage.read_after_a_start(&[]).await;
    let mut changed = CHANGED.to_vec();
    changed.push("new");
    assert_eq!(read, names(&changed));
    let cluster = &stage.cluster;
    for name in changed {
        cluster.wait_until_programmed(name).await;
        cluster.child::<Service>(name).await;
        cluster.child::<Secret>(name).await;
        let deployment = cluster.child::<Deployment>(name).await;
        let replicas = Some(if name == "spec" { 1 } else { 2 });
        assert_eq!(deployment.spec.unwrap().replicas, replicas, "{name}");
    }
    let status = cluster.listener("status").await.status.unwrap();
    assert_ne!(status.ready_replicas, Some(7));
    stage.stop();
    assert_eq!(stage.read_after_a_start(&[]).await, names(&[]));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_usable_records_everything_is_read() {
    let mut stage = Stage::with("records-lost", &["one", "two"]).await;
    let both = names(&["one", "two"]);
    // A crash writes none.
    stage.operator.take().unwrap().kill();
    assert_eq!(stage.records().await, None);
    assert_eq!(stage.read_after_a_start(&[]).await, both);
    stage.stop();
    // Other settings.
    let more = ["--drain-deadline", "31s"];
    assert_eq!(stage.read_after_a_start(&more).await, both);
    stage.stop();
    assert_eq!(stage.read_after_a_start(&more).await, names(&[]));
    stage.stop();
    // Damaged.
    let records = stage.records().await.unwrap();
    let half: Vec<_> = records.lines().map(|line| &line[1..]).collect();
    let half = half.join("\n");
    let damaged = json!({"data": {"records": half}});
    patched::<ConfigMap>(&stage.cluster, RECORDS, damaged).await;
    assert_eq!(stage.read_after_a_start(&more).await, both);
    stage.stop();
    assert_eq!(stage.records().await, Some(records), "they are mended");
    // Deleted.
    let params = DeleteParams::default();
    let maps = stage.cluster.api::<ConfigMap>();
    maps.delete(RECORDS, &params).await.unwrap();
    assert_eq!(stage.read_after_a_start(&more).await, both);
    stage.stop();
    assert_eq!(stage.read_after_a_start(&more).await, names(&[]));
}

/// Without the permission, it works as before, and says so.
#[tokio::test(flavor = "multi_thread")]
async fn forbidden_records_hold_up_nothing() {
    let cluster = Fixture::without_operator("records-forbidden").await;
    let account = Account::new(cluster.server, &cluster.namespace, "operator");
    let mut rules = crate::account::working_rules(cluster.server).await;
    for rule in &mut rules {
        if rule
            .resources
            .iter()
            .flatten()
            .any(|one| one == "configmaps")
        {
            rule.verbs
                .retain(|verb| ["get", "list", "watch"].contains(&&**verb));
        }
    }
    let mut leading = crate::account::lease_rules(cluster.server).await;
    leading.retain(|rule| rule.resources.iter().flatten().all(|one| one == "leases"));
    rules.extend(
        leading
            .into_iter()
            .map(|rule| k8s_openapi::api::rbac::v1::PolicyRule {
                resource_names: None,
                ..rule
            }),
    );
    account.grant(rules).await;
    let mut stage = Stage {
        cluster,
        account,
        operator: None,
    };
    stage.start(&[]);
    stage.cluster.programmed("edge", "").await;
    // A result whose own writes have not come back by the watches is no record.
    stage.settle().await;
    let operator = stage.stop();
    operator.wait_for_line("failed to write the records of the last results", SOON);
    assert_eq!(stage.read_after_a_start(&[]).await, names(&["edge"]));
}
