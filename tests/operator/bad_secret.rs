//! An invalid or missing Secret never stops a serving listener, and the conditions report the problem with its
//! object and key.

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::DeleteParams;
use tests::pki::Leaf;

use crate::fixture::Fixture;

/// A Secret's data, the expected reason, and the key that the message must name.
pub(crate) type Case = (Vec<(&'static str, String)>, &'static str, &'static str);

pub(crate) fn cases(good: &Leaf, other: &Leaf) -> Vec<Case> {
    let (chain, key) = (good.chain_pem.clone(), good.key_pem.clone());
    let cut: String = chain.lines().take(3).collect::<Vec<_>>().join("\n");
    vec![
        (
            vec![
                ("tls.crt", chain.clone()),
                ("tls.key", other.key_pem.clone()),
            ],
            "KeyMismatch",
            "tls.key",
        ),
        (vec![("tls.crt", chain.clone())], "MissingKey", "tls.key"),
        (
            vec![("tls.crt", chain.clone()), ("tls.key", String::new())],
            "MissingKey",
            "tls.key",
        ),
        (
            vec![("tls.crt", cut), ("tls.key", key.clone())],
            "BrokenPem",
            "tls.crt",
        ),
        (
            vec![("tls.crt", key.clone()), ("tls.key", key.clone())],
            "NoCertificate",
            "tls.crt",
        ),
        (vec![("pem", chain.clone())], "NoPrivateKey", "pem"),
        (
            vec![("pem", format!("{chain}{key}{}", other.key_pem))],
            "SeveralPrivateKeys",
            "pem",
        ),
        (
            vec![("pem", format!("{chain}{}", good.encrypted_key("pass")))],
            "EncryptedPrivateKey",
            "pem",
        ),
        (
            vec![("pem", format!("{}{chain}{key}", other.cert_pem))],
            "ChainOutOfOrder",
            "pem",
        ),
        (vec![("certificate", chain)], "MissingKey", "tls.crt"),
    ]
}

/// Puts a content into the Secret of the listener `edge`, and waits until the status says what is wrong with it.
pub(crate) async fn is_reported(cluster: &Fixture, (data, reason, named): &Case) {
    let data = data.iter().map(|(key, text)| (*key, text.as_bytes()));
    let data: Vec<(&str, &[u8])> = data.collect();
    cluster.put_secret("edge-tls", &data).await;
    let refs = cluster
        .wait_for("edge", "ResolvedRefs", "False", reason)
        .await;
    for part in ["Secret edge-tls", named] {
        assert!(
            refs.message.contains(part),
            "{reason}: {part}: {}",
            refs.message
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_problem_is_reported_and_changes_nothing() {
    let cluster = Fixture::start("bad").await;
    let (good, other) = (cluster.leaf("good"), cluster.leaf("other"));
    cluster.put_tls("edge-tls", &good).await;
    cluster.apply_listener("edge", "");
    cluster
        .wait_for("edge", "ResolvedRefs", "True", "ResolvedRefs")
        .await;
    let served = cluster.child::<Secret>("edge").await.resource_version();

    for case in cases(&good, &other) {
        is_reported(&cluster, &case).await;
        let (_, reason, _) = case;
        let now = cluster.child::<Secret>("edge").await.resource_version();
        assert_eq!(
            now, served,
            "the served configuration does not change: {reason}"
        );
    }
    cluster
        .api::<Secret>()
        .delete("edge-tls", &DeleteParams::default())
        .await
        .unwrap();
    cluster
        .wait_for("edge", "ResolvedRefs", "False", "SecretNotFound")
        .await;
    cluster.put_tls("edge-tls", &good).await;
    cluster
        .wait_for("edge", "ResolvedRefs", "True", "ResolvedRefs")
        .await;
    assert_eq!(
        cluster.child::<Secret>("edge").await.resource_version(),
        served
    );
    no_key_leaks(&cluster, &[&good, &other]);
}

/// Checks that keys are in Secrets only, and not in the log.
fn no_key_leaks(cluster: &Fixture, leaves: &[&Leaf]) {
    let namespace = &cluster.namespace;
    let all = "mtl,events,configmaps,deployments,services,pods,poddisruptionbudgets";
    let args = [
        "get",
        all,
        "-n",
        namespace,
        "-o",
        "yaml",
        "--show-managed-fields",
    ];
    let shown = cluster.server.kubectl(&args).expect_success().stdout;
    let log = cluster.operator.as_ref().unwrap().lines().join("\n");
    for line in leaves
        .iter()
        .flat_map(|leaf| leaf.key_pem.lines().skip(1).take(1))
    {
        assert!(!shown.contains(line), "a key is in an object");
        assert!(!log.contains(line), "a key is in the log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_does_not_replace_a_valid_one() {
    let cluster = Fixture::start("expired").await;
    let good = cluster.leaf("good");
    let old = cluster.ca.leaf().dns("old.example.com").expired().issue();
    cluster.put_tls("edge-tls", &old).await;
    cluster.apply_listener("edge", "");
    cluster
        .wait_for("edge", "CertificateValid", "False", "Expired")
        .await;
    let is = |leaf: &Leaf| {
        let key = leaf.key_pem.trim().to_owned();
        move |config: &mqtt_tls_config::Config| config.pem.expose().contains(&key)
    };
    cluster
        .wait_for_config(
            "edge",
            "the expired one is served, for lack of another",
            is(&old),
        )
        .await;
    cluster.put_tls("edge-tls", &good).await;
    cluster
        .wait_for("edge", "CertificateValid", "True", "CertificateValid")
        .await;
    cluster
        .wait_for_config("edge", "the valid one is served", is(&good))
        .await;
    cluster.put_tls("edge-tls", &old).await;
    cluster
        .wait_for("edge", "CertificateValid", "False", "Expired")
        .await;
    cluster
        .wait_for_config("edge", "the valid one stays", is(&good))
        .await;
}
