//! Two listeners on one Secret: both follow it, and deleting one does not affect the other.

use kube::api::DeleteParams;
use mqtt_tls_operator::crd::MqttTlsListener;

use crate::fixture::{Fixture, listener};

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
