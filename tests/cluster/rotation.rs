//! Certificates that live for seconds, renewed by cert-manager again and again under hundreds of connected
//! devices: no handshake fails, no session drops, no pod restarts. How long a new certificate takes to be served
//! everywhere is printed, and not judged here but for a bound that the kubelet alone would not keep.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{WatchEvent, WatchParams};
use tests::fleet::{Fleet, FleetPlan, Prober, Who, percentile};
use tests::pki;
use tests::wait::eventually;

use crate::cluster::{Cluster, SOON};
use crate::install;
use crate::listener::{Edge, HOST};
use crate::operator::Fate;

const CLIENTS: usize = 500;
/// Twice a second would be enough to see who fails; this is for the figures.
const PROBE_EVERY: Duration = Duration::from_millis(50);
/// The kubelet looks at a mounted Secret about once a minute unless it is told to.
const NOT_THE_KUBELET_ALONE: Duration = Duration::from_secs(30);

/// When each leaf came into the Secret, by fingerprint.
type Arrivals = BTreeMap<String, Instant>;

/// 30 seconds, renewed every 10, for three minutes.
pub(crate) fn renewals_under_load(cluster: &'static Cluster) {
    let renewals = journey(cluster, Fate::Lives, "30s", "20s", Duration::from_secs(180));
    let times: Vec<Duration> = renewals.iter().map(|(_, took)| *took).collect();
    println!(
        "{} renewals under {CLIENTS} clients, from the Secret's change to the last pod serving it: \
         p50 {:?}, p99 {:?}",
        times.len(),
        percentile(&times, 50),
        percentile(&times, 99)
    );
    for (fingerprint, took) in &renewals {
        assert!(*took < NOT_THE_KUBELET_ALONE, "{fingerprint} took {took:?}");
    }
}

/// An operator that is killed with every second renewal: another takes over before the certificate ends.
pub(crate) fn renewals_with_an_operator_that_is_killed(cluster: &'static Cluster) {
    // Every 40 s: twice as long as another operator needs to have the Lease.
    let long = Duration::from_secs(130);
    journey(cluster, Fate::IsKilled, "240s", "200s", long);
}

fn journey(
    cluster: &'static Cluster,
    fate: Fate,
    duration: &str,
    renew_before: &str,
    long: Duration,
) -> Vec<(String, Duration)> {
    install::ensure(cluster);
    let edge = Edge::prepare(cluster, &format!("rotation{}", fate.suffix()));
    let manifests =
        std::fs::read_to_string(cluster.desk().join("deploy/samples/cert-manager.yaml"))
            .expect("the sample is there")
            .replace("duration: 2160h", &format!("duration: {duration}"))
            .replace("renewBefore: 720h", &format!("renewBefore: {renew_before}"));
    edge.kubectl(&["delete", "secret", "edge-tls"]);
    cluster.apply(&edge.namespace, &manifests);
    edge.wait("Ready", "True");
    let pods = edge.pods();
    let ca = ca(&edge);
    let renewals = cluster.block_on(async {
        let plan = FleetPlan {
            clients: CLIENTS,
            publish_every: Duration::from_secs(5),
            ..FleetPlan::new(
                &edge.address("edge").to_string(),
                HOST,
                &ca,
                &edge.service("smart-mqtt").to_string(),
            )
        };
        let fleet = Fleet::start(plan).await;
        fleet.wait_all_connected(SOON).await;
        let port = edge.address("edge").port();
        let addresses = pods
            .iter()
            .map(|pod| SocketAddr::new(pod.ip, port))
            .collect();
        let prober = Prober::start(addresses, HOST, &ca, PROBE_EVERY);
        let arrivals = watch(&edge, fate, long).await;
        let renewals = served(&prober, &arrivals).await;
        assert!(prober.failures().is_empty(), "{:?}", prober.failures());
        assert!(prober.handshakes() > 100, "there was somebody who looked");
        let report = fleet.stop().await;
        let of_clients = report.incidents.iter().filter(|it| it.who != Who::Monitor);
        assert_eq!(
            of_clients.count(),
            0,
            "no handshake fails, no session drops: {report}"
        );
        assert_eq!(report.connects, CLIENTS, "{report}");
        assert!(report.up.lost.is_empty(), "{report}");
        println!("{report}");
        renewals
    });
    assert_eq!(edge.pods(), pods, "no pod restarts, none is replaced");
    renewals
}

/// Follows the Secret for so long, and kills the operator with every second change if that is its fate.
async fn watch(edge: &Edge, fate: Fate, long: Duration) -> Arrivals {
    let secrets: Api<Secret> = Api::namespaced(edge.cluster.client().await, &edge.namespace);
    let params = WatchParams::default()
        .fields("metadata.name=edge-tls")
        .timeout(290);
    let events = secrets
        .watch(&params, "0")
        .await
        .expect("Secrets can be watched");
    let deadline = tokio::time::sleep(long);
    let mut events = events.take_until(Box::pin(deadline)).boxed();
    let mut arrivals = Arrivals::new();
    while let Some(event) = events.try_next().await.expect("the watch goes on") {
        if let WatchEvent::Added(secret) | WatchEvent::Modified(secret) = event
            && let Some(leaf) = leaf(&secret)
        {
            let new = arrivals.insert(leaf, Instant::now()).is_none();
            if new && arrivals.len().is_multiple_of(2) {
                let cluster = edge.cluster;
                let strike = tokio::task::spawn_blocking(move || fate.strikes(cluster));
                strike.await.expect("it can be killed");
            }
        }
    }
    arrivals
}

/// The fingerprint of the leaf in a Secret.
fn leaf(secret: &Secret) -> Option<String> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    let chain = secret.data.as_ref()?.get("tls.crt")?;
    let leaf = CertificateDer::from_pem_slice(&chain.0).ok()?;
    Some(pki::fingerprint(&leaf))
}

/// How long each took to be served by all pods: not the first, which was there before, nor one that was replaced
/// before it could be everywhere.
async fn served(prober: &Prober, arrivals: &Arrivals) -> Vec<(String, Duration)> {
    let mut in_order: Vec<_> = arrivals.iter().map(|(leaf, at)| (*at, leaf)).collect();
    in_order.sort();
    let (_, last) = in_order.last().expect("there was a certificate");
    prober.wait_all_served(last, SOON).await;
    let renewals: Vec<(String, Duration)> = in_order
        .iter()
        .skip(1)
        .filter_map(|(at, leaf)| {
            let all = prober.all_served(leaf)?;
            Some(((*leaf).clone(), all.saturating_duration_since(*at)))
        })
        .collect();
    assert!(
        renewals.len() + 2 >= in_order.len(),
        "{} of {}",
        renewals.len(),
        in_order.len()
    );
    assert!(
        renewals.len() >= 2,
        "there were renewals: {}",
        renewals.len()
    );
    renewals
}

/// The CA that cert-manager has made.
fn ca(edge: &Edge) -> String {
    eventually(SOON, "there is a CA", || {
        let secret: Secret = edge.get("secret", "edge-ca");
        let pem = secret.data?.remove("tls.crt")?;
        String::from_utf8(pem.0).ok()
    })
}
