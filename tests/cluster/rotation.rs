//! Short-lived certificates, renewed by cert-manager repeatedly with hundreds of connected devices: no handshake
//! fails, no session drops, no pod restarts. The time until a new certificate is served everywhere is printed; its
//! only bound is one that the kubelet's own refresh would exceed.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{WatchEvent, WatchParams};
use tests::fleet::{Fleet, FleetPlan, Prober, Who, percentile};
use tests::pki;
use tests::wait::eventually;
use tokio::task::JoinSet;

use crate::canary;
use crate::cluster::{Cluster, SOON};
use crate::install;
use crate::listener::{Edge, HOST};
use crate::operator::Fate;
use crate::place::Owner;

const CLIENTS: usize = 500;
/// Twice a second would be enough to see failures; the printed times need more.
const PROBE_EVERY: Duration = Duration::from_millis(50);
/// The kubelet refreshes a mounted Secret about once a minute unless the pod changes.
const NOT_THE_KUBELET_ALONE: Duration = Duration::from_secs(30);

/// When each leaf appeared in the Secret, by fingerprint.
type Arrivals = BTreeMap<String, Instant>;

/// The pace of renewals, and the duration of the test.
struct Course {
    /// A certificate's lifetime, and the rest of it at renewal, in seconds.
    lifetime: u64,
    renew_before: u64,
    duration: Duration,
}

/// A lifetime of 30 seconds, renewed every 10, for three minutes.
pub(crate) fn renewals_under_load(cluster: &'static Cluster) {
    let course = Course {
        lifetime: 30,
        renew_before: 20,
        duration: Duration::from_secs(180),
    };
    let renewals = journey(cluster, Fate::Lives, &course);
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

/// The operator is killed at every renewal, and another takes over before the next one.
pub(crate) fn renewals_despite_operator_kills(cluster: &'static Cluster) {
    let course = Course {
        lifetime: 240,
        // Every 40 s: twice as long as another operator needs to acquire the Lease.
        renew_before: 200,
        duration: Duration::from_secs(130),
    };
    journey(cluster, Fate::IsKilled, &course);
}

fn journey(cluster: &'static Cluster, fate: Fate, course: &Course) -> Vec<(String, Duration)> {
    install::ensure(cluster);
    let edge = Edge::prepare(cluster, &format!("rotation{}", fate.suffix()));
    let is_own_cluster = !matches!(cluster.place.owner, Owner::Context);
    // Only a user's cluster has cert-manager's webhook, which accepts no shorter durations.
    let (lifetime, renew_before) = if is_own_cluster {
        (course.lifetime, course.renew_before)
    } else {
        (3600, 300)
    };
    let manifests =
        std::fs::read_to_string(cluster.desk().join("deploy/samples/cert-manager.yaml"))
            .expect("the sample is there")
            .replace("duration: 2160h", &format!("duration: {lifetime}s"))
            .replace(
                "renewBefore: 720h",
                &format!("renewBefore: {renew_before}s"),
            );
    edge.kubectl(&["delete", "secret", "edge-tls"]);
    cluster.apply(&edge.namespace, &manifests);
    edge.wait("Ready", "True");
    // The operator reaches the pods, through its NetworkPolicy.
    edge.wait("CertificateServed", "True");
    edge.wait("BackendReachable", "True");
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
        let mut asking = JoinSet::new();
        if !is_own_cluster {
            let every = Duration::from_secs(course.lifetime - course.renew_before);
            asking.spawn(keep_asking(cluster, edge.namespace.clone(), every));
        }
        let arrivals = watch(&edge, fate, course.duration).await;
        drop(asking);
        let renewals = served(&prober, &arrivals).await;
        assert!(prober.failures().is_empty(), "{:?}", prober.failures());
        assert!(prober.handshakes() > 100, "the prober has run");
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
    assert_eq!(edge.pods(), pods, "no pod restarts or is replaced");
    edge.wait("CertificateServed", "True");
    renewals
}

/// Triggers renewals periodically, as cmctl does.
async fn keep_asking(cluster: &'static Cluster, namespace: String, every: Duration) {
    const ISSUING: &str = r#"[{"op": "add", "path": "/status/conditions/-", "value": {"type": "Issuing",
        "status": "True", "reason": "ManuallyTriggered", "message": "triggered by a test"}}]"#;
    let mut beat = tokio::time::interval(every);
    loop {
        beat.tick().await;
        let namespace = format!("--namespace={namespace}");
        let ask = move || {
            let patch = ["patch", "certificate", "edge-tls", "--subresource=status"];
            let what = [&namespace, "--type=json", "-p", ISSUING];
            // It fails while the previous one is not issued yet.
            cluster.try_kubectl(&[&patch[..], &what[..]].concat());
        };
        let asked = tokio::task::spawn_blocking(ask).await;
        asked.expect("kubectl can be started");
    }
}

/// Watches the Secret, and applies `fate` to the operator at every renewal.
async fn watch(edge: &Edge, fate: Fate, duration: Duration) -> Arrivals {
    let secrets: Api<Secret> = Api::namespaced(edge.cluster.client().await, &edge.namespace);
    let params = WatchParams::default().fields("metadata.name=edge-tls");
    let deadline = tokio::time::Instant::now() + duration;
    let mut arrivals = Arrivals::new();
    let mut version = "0".to_owned();
    // A watch may end; the next one resumes at its version.
    while tokio::time::Instant::now() < deadline {
        let events = secrets.watch(&params, &version).await;
        let mut events = events.expect("Secrets can be watched").boxed();
        while let Ok(Some(event)) = tokio::time::timeout_at(deadline, events.next()).await {
            let secret = match event.expect("the watch goes on") {
                WatchEvent::Added(secret) | WatchEvent::Modified(secret) => secret,
                WatchEvent::Deleted(_) => panic!("the Secret is not deleted"),
                WatchEvent::Error(error) => panic!("the watch fails: {error}"),
                WatchEvent::Bookmark(_) => continue,
            };
            version = secret.metadata.resource_version.clone().unwrap_or(version);
            canary::remember_secret(&secret);
            let Some(leaf) = leaf(&secret) else { continue };
            // A change of metadata alone is no renewal.
            if let Entry::Vacant(new) = arrivals.entry(leaf) {
                new.insert(Instant::now());
                if arrivals.len() > 1 {
                    let cluster = edge.cluster;
                    let strike = tokio::task::spawn_blocking(move || fate.strikes(cluster));
                    strike.await.expect("it can be killed");
                }
            }
        }
    }
    arrivals
}

/// Returns the fingerprint of the leaf in a Secret.
fn leaf(secret: &Secret) -> Option<String> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    let chain = secret.data.as_ref()?.get("tls.crt")?;
    let leaf = CertificateDer::from_pem_slice(&chain.0).ok()?;
    Some(pki::fingerprint(&leaf))
}

/// Returns the time that each leaf took to be served by all pods, without the first one, which existed before, and
/// without those that were replaced earlier.
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
        "there were at least two renewals: {}",
        renewals.len()
    );
    renewals
}

/// Returns the CA that cert-manager has created.
fn ca(edge: &Edge) -> String {
    eventually(SOON, "there is a CA", || {
        let secret: Secret = edge.get("secret", "edge-ca");
        let pem = secret.data?.remove("tls.crt")?;
        String::from_utf8(pem.0).ok()
    })
}
