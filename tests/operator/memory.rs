//! Keys in the operator's memory: replaced and rejected keys do not stay in decoded form.

use tests::memory::Keys;
use tests::pki::KeyKind;
use tests::wait::eventually;

use crate::fixture::{Fixture, SOON};

#[tokio::test(flavor = "multi_thread")]
async fn unserved_keys_do_not_stay_in_memory() {
    if !rustix::process::getuid().is_root() {
        println!("skipped: searching another process's memory needs root");
        return;
    }
    let cluster = Fixture::start("memory").await;
    let leaf = |kind| cluster.ca.leaf().dns("edge.example.com").key(kind).issue();
    let mut gone = Keys::default();
    let put = async |leaf: &tests::pki::Leaf| {
        cluster.put_tls("edge-tls", leaf).await;
        let is_new =
            |config: &mqtt_tls_config::Config| config.pem.expose().contains(leaf.key_pem.trim());
        cluster
            .wait_for_config("edge", "it is rendered", is_new)
            .await;
    };
    // Keys of other kinds would be tried first.
    cluster.apply_listener("edge", "  trial: {strategy: Immediate}");
    for kind in KeyKind::ALL {
        let leaf = leaf(kind);
        put(&leaf).await;
        gone.add("replaced", &leaf);
    }
    let (wrong, other) = (leaf(KeyKind::Rsa2048), leaf(KeyKind::P256));
    let data = [
        ("tls.crt", other.chain_pem.as_bytes()),
        ("tls.key", wrong.key_pem.as_bytes()),
    ];
    cluster.put_secret("edge-tls", &data).await;
    cluster
        .wait_for("edge", "ResolvedRefs", "False", "KeyMismatch")
        .await;
    gone.add("rejected", &wrong);
    put(&leaf(KeyKind::P256)).await;
    put(&leaf(KeyKind::P256)).await;
    // A reconciliation in progress may still hold what it has read.
    let process = cluster.operator.as_ref().unwrap();
    eventually(SOON, "no key is left", || {
        let mut hits = gone.search(process.pid());
        // The buffer of an open connection to the API server holds the end of a response until the next one.
        hits.retain(|hit| !hit.what.ends_with("base64 of the PEM"));
        hits.is_empty().then_some(())
    });
}
