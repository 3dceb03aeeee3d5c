//! Two listeners on one Secret: both follow it, and deleting one does not affect the other.

use kube::api::DeleteParams;
use mqtt_tls_operator::crd::MqttTlsListener;
use tests::apiserver::AuditEvent;

use crate::fixture::{Fixture, is_operator, listener, start_operator};

/// Number of listeners on one Secret.
const MANY: usize = 8;

/// Requests for one certificate: the listener, its Secret, its two configurations, and the write.
const FIRST_MAX: usize = 5;

/// Requests of a whole reconciliation before it writes its config Secret.
const WHOLE: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn both_listeners_follow_the_secret() {
    let cluster = Fixture::start("shared").await;
    let (old, new, newest) = (
        cluster.leaf("old"),
        cluster.leaf("new"),
        cluster.leaf("newest"),
    );
    cluster.put_tls("shared-tls", &old).await;
    cluster.apply(&listener("one", "shared-tls", ""));
    cluster.apply(&listener("two", "shared-tls", "  port: 8884\n"));
    for (leaf, names) in [
        (&old, &["one", "two"][..]),
        (&new, &["one", "two"]),
        (&newest, &["two"]),
    ] {
        cluster.put_tls("shared-tls", leaf).await;
        for name in names {
            let key = leaf.key_pem.trim();
            let is_there = |config: &mqtt_tls_config::Config| config.pem.expose().contains(key);
            cluster
                .wait_for_config(name, "the certificate is rendered", is_there)
                .await;
        }
        let listeners = cluster.api::<MqttTlsListener>();
        if leaf.fingerprint() == new.fingerprint() {
            listeners
                .delete("one", &DeleteParams::default())
                .await
                .unwrap();
        }
    }
}

/// With one place at the API server: what is rendered comes before everything else that a reconciliation reads.
#[tokio::test(flavor = "multi_thread")]
async fn the_certificates_of_many_listeners_come_first() {
    let mut cluster = Fixture::without_operator("first").await;
    let namespace = cluster.namespace.clone();
    let args = ["--namespace", &*namespace, "--concurrency", "1"];
    cluster.operator = Some(start_operator(cluster.server, &args));
    cluster.put_tls("shared-tls", &cluster.leaf("old")).await;
    let names: Vec<String> = (0..MANY).map(|number| format!("edge-{number}")).collect();
    for name in &names {
        cluster.apply(&listener(name, "shared-tls", ""));
    }
    for name in &names {
        cluster.wait_until_programmed(name).await;
    }
    cluster.settle().await;
    let before = requests(&cluster).len();
    cluster.put_tls("shared-tls", &cluster.leaf("new")).await;
    cluster.settle().await;
    let renewed = &requests(&cluster)[before..];
    let configs = renewed.iter().enumerate().filter(|(_, one)| {
        let object = one.object_ref.as_ref();
        one.is_write() && object.is_some_and(|object| object.resource == "secrets")
    });
    let configs: Vec<usize> = configs.map(|(index, _)| index).collect();
    assert_eq!(configs.len(), MANY, "each is written once");
    // The first one may begin before the others wait.
    let most = FIRST_MAX * MANY + WHOLE;
    assert!(
        configs.last().is_some_and(|last| *last < most),
        "{configs:?}"
    );
}

/// Returns the operator's requests in the namespace, but not its watches.
fn requests(cluster: &Fixture) -> Vec<AuditEvent> {
    let mut events = cluster.server.audit_events();
    events.retain(|event| {
        is_operator(event) && event.is_in(&cluster.namespace) && event.verb != "watch"
    });
    events
}
