//! A Secret that goes bad, in every way that people manage: what serves goes on, the condition tells what is
//! wrong, and the good one is taken when it comes.

use tests::pki::Leaf;

use crate::cluster::Cluster;
use crate::install;
use crate::listener::Edge;
use crate::operator::Fate;

/// What is in the Secret, its type, and the reason that is told.
type Case = (&'static str, Vec<(&'static str, String)>, &'static str);

const TLS: &str = "kubernetes.io/tls";
const OPAQUE: &str = "Opaque";

pub(crate) fn each_is_told_and_changes_nothing(cluster: &'static Cluster) {
    journey(cluster, Fate::Lives, cases);
}

pub(crate) fn each_is_told_by_an_operator_that_is_killed(cluster: &'static Cluster) {
    // Each costs the time until another has the Lease: three stand for all.
    journey(cluster, Fate::IsKilled, |edge| {
        cases(edge).into_iter().step_by(3).collect()
    });
}

fn journey(cluster: &'static Cluster, fate: Fate, cases: fn(&Edge) -> Vec<Case>) {
    install::ensure(cluster);
    let edge = Edge::start(cluster, &format!("bad{}", fate.suffix()));
    let first = edge.leaf();
    edge.certificate("edge-tls", &first);
    all_pods_serve(&edge, &first);
    for (kind, data, reason) in cases(&edge) {
        // A Secret's type cannot be changed.
        edge.kubectl(&["delete", "secret", "edge-tls"]);
        let data: Vec<_> = data
            .iter()
            .map(|(key, text)| (*key, text.as_str()))
            .collect();
        edge.secret("edge-tls", kind, &data);
        fate.strikes(cluster);
        let told = edge.wait_for("edge", reason, |condition| {
            condition.type_ == "ResolvedRefs"
                && condition.status == "False"
                && condition.reason == reason
        });
        assert!(
            told.message.contains("edge-tls"),
            "it names the Secret: {}",
            told.message
        );
        all_pods_serve(&edge, &first);
    }
    edge.kubectl(&["delete", "secret", "edge-tls"]);
    fate.strikes(cluster);
    edge.wait_for("edge", "SecretNotFound", |condition| {
        condition.reason == "SecretNotFound"
    });
    all_pods_serve(&edge, &first);
    let second = edge.leaf();
    edge.certificate("edge-tls", &second);
    fate.strikes(cluster);
    edge.wait("Ready", "True");
    all_pods_serve(&edge, &second);
    assert!(
        edge.pods().iter().all(|pod| pod.restarts == 0),
        "{:?}",
        edge.pods()
    );
}

fn cases(edge: &Edge) -> Vec<Case> {
    let (good, other) = (edge.leaf(), edge.leaf());
    let (chain, key) = (good.chain_pem.clone(), good.key_pem.clone());
    let cut: String = chain.lines().take(3).collect::<Vec<_>>().join("\n");
    vec![
        (
            TLS,
            vec![
                ("tls.crt", chain.clone()),
                ("tls.key", other.key_pem.clone()),
            ],
            "KeyMismatch",
        ),
        (
            TLS,
            vec![("tls.crt", cut), ("tls.key", key.clone())],
            "BrokenPem",
        ),
        (
            TLS,
            vec![("tls.crt", key.clone()), ("tls.key", key.clone())],
            "NoCertificate",
        ),
        (OPAQUE, vec![("tls.crt", chain.clone())], "MissingKey"),
        (OPAQUE, vec![("pem", chain.clone())], "NoPrivateKey"),
        (
            OPAQUE,
            vec![("pem", format!("{chain}{key}{}", other.key_pem))],
            "SeveralPrivateKeys",
        ),
        (
            OPAQUE,
            vec![("pem", format!("{chain}{}", good.encrypted_key("x")))],
            "EncryptedPrivateKey",
        ),
        (
            OPAQUE,
            vec![("pem", format!("{}{chain}{key}", other.cert_pem))],
            "ChainOutOfOrder",
        ),
        (OPAQUE, vec![("certificate", chain)], "MissingKey"),
    ]
}

fn all_pods_serve(edge: &Edge, leaf: &Leaf) {
    edge.all_pods_serve("edge", &edge.ca, leaf);
}
