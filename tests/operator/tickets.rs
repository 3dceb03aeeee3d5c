//! The session ticket keys beside the configuration: made once, kept, changed in time, and gone where no client gets tickets.

use std::time::{SystemTime, UNIX_EPOCH};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use mqtt_tls_config::{TICKET_PERIOD, TicketKey};
use tests::wait::eventually_async;

use crate::fixture::{Fixture, SOON};

const FILE: &str = "ticket-keys";

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap().as_secs()
}

/// The keys in the config Secret.
async fn keys(cluster: &Fixture) -> Option<Vec<TicketKey>> {
    let secret = cluster.child::<Secret>("edge").await;
    let file = secret.data?.remove(FILE)?;
    let text = String::from_utf8(file.0).unwrap();
    Some(TicketKey::parse(&text).unwrap_or_default())
}

async fn wait_for_keys(
    cluster: &Fixture,
    what: &str,
    is: impl Fn(&[TicketKey]) -> bool,
) -> Vec<TicketKey> {
    let look = || async { keys(cluster).await.filter(|keys| is(keys)) };
    eventually_async(SOON, what, look).await
}

/// Replaces the file as someone else would.
async fn write(cluster: &Fixture, text: &str) {
    let file = ByteString(text.as_bytes().to_vec());
    let patch = serde_json::json!({"data": {FILE: file}});
    let secrets = cluster.api::<Secret>();
    let params = PatchParams::default();
    secrets
        .patch("edge-mqtts", &params, &Patch::Merge(&patch))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_made_once_and_changed_in_time() {
    let cluster = Fixture::start("tickets").await;
    cluster.put_tls("edge-tls", &cluster.leaf("edge")).await;
    cluster.apply_listener("edge", "");
    cluster.wait_until_programmed("edge").await;
    let period = TICKET_PERIOD.as_secs();
    let first = wait_for_keys(&cluster, "the first keys", |keys| keys.len() == 2).await;
    assert!(first[0].from <= now() && first[0].from + 600 > now());
    assert_eq!(first[1].from, first[0].from + period);
    assert_ne!(first[0].expose(), first[1].expose());

    // A renewal, and other changes, leave them as they are.
    let renewed = cluster.leaf("edge");
    cluster.put_tls("edge-tls", &renewed).await;
    let is_new =
        |config: &mqtt_tls_config::Config| config.pem.expose().contains(renewed.key_pem.trim());
    cluster
        .wait_for_config("edge", "it is rendered", is_new)
        .await;
    assert_eq!(keys(&cluster).await.as_ref(), Some(&first));

    // Once the next one is in use, there is a next one again.
    let used: Vec<TicketKey> = (0_u8..3)
        .map(|n| TicketKey::new(now() - 10 - period * u64::from(2 - n), [n; 32]))
        .collect();
    write(&cluster, TicketKey::file(&used).expose()).await;
    let after = wait_for_keys(&cluster, "a next key", |keys| {
        keys.len() == 3 && keys[..2] == used[1..]
    })
    .await;
    assert_eq!(after[2].from, used[2].from + period);

    // A file that cannot be read is replaced.
    write(&cluster, "nonsense").await;
    wait_for_keys(&cluster, "new keys", |keys| keys.len() == 2).await;

    cluster.apply_listener("edge", "  tls: {tickets: None}\n");
    let look = || async { keys(&cluster).await.is_none().then_some(()) };
    eventually_async(SOON, "no client gets tickets", look).await;
}
