//! Keys in the operator's memory: of those that were replaced or refused nothing stays that was read out of an
//! answer.

use tests::memory::Keys;
use tests::pki::KeyKind;
use tests::wait::eventually;

use crate::fixture::{Fixture, SOON};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_stays_of_keys_that_are_not_served() {
    if !rustix::process::getuid().is_root() {
        println!("not root: nothing was searched");
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
    cluster.apply_listener("edge", "");
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
    gone.add("refused", &wrong);
    put(&leaf(KeyKind::P256)).await;
    put(&leaf(KeyKind::P256)).await;
    // What it is about to do may still hold what it has read.
    let process = cluster.operator.as_ref().unwrap();
    eventually(SOON, "no key is left", || {
        let mut hits = gone.search(process.pid());
        // An open connection to the API server holds the end of an answer, as it came, until another one comes.
        hits.retain(|hit| !hit.what.ends_with("base64 of the PEM"));
        hits.is_empty().then_some(())
    });
}
