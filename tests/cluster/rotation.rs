//! Certificates that live for seconds, renewed by cert-manager again and again under hundreds of connected
//! devices: no handshake fails, no session drops, no pod restarts. How long a new certificate takes to be served
//! everywhere is printed, and not judged here but for a bound that the kubelet alone would not keep.

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
/// Twice a second would be enough to see who fails; this is for the figures.
const PROBE_EVERY: Duration = Duration::from_millis(50);
/// The kubelet looks at a mounted Secret about once a minute unless it is told to.
const NOT_THE_KUBELET_ALONE: Duration = Duration::from_secs(30);

/// When each leaf came into the Secret, by fingerprint.
type Arrivals = BTreeMap<String, Instant>;

/// How often certificates are renewed, and how long that is looked at.
struct Course {
    /// A certificate's time, and how much of it is left when it is renewed, in seconds.
    lifetime: u64,
    renew_before: u64,
    long: Duration,
}

/// 30 seconds, renewed every 10, for three minutes.
pub(crate) fn renewals_under_load(cluster: &'static Cluster) {
    let course = Course {
        lifetime: 30,
        renew_before: 20,
        long: Duration::from_secs(180),
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

/// An operator that is killed with every renewal: another takes over before the next.
pub(crate) fn renewals_with_an_operator_that_is_killed(cluster: &'static Cluster) {
    let course = Course {
        lifetime: 240,
        // Every 40 s: twice as long as another operator needs to have the Lease.
        renew_before: 200,
        long: Duration::from_secs(130),
    };
    journey(cluster, Fate::IsKilled, &course);
}

fn journey(cluster: &'static Cluster, fate: Fate, course: &Course) -> Vec<(String, Duration)> {
    install::ensure(cluster);
    let edge = Edge::prepare(cluster, &format!("rotation{}", fate.suffix()));
    let of_its_own = !matches!(cluster.place.owner, Owner::Context);
    // cert-manager's webhook, which only somebody's cluster has, lets nobody go below these.
    let (lifetime, renew_before) = if of_its_own {
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
        if !of_its_own {
            let every = Duration::from_secs(course.lifetime - course.renew_before);
            asking.spawn(keep_asking(cluster, edge.namespace.clone(), every));
        }
        let arrivals = watch(&edge, fate, course.long).await;
        drop(asking);
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

/// Asks cert-manager for a new certificate again and again, as its own tool does.
async fn keep_asking(cluster: &'static Cluster, namespace: String, every: Duration) {
    const ISSUING: &str = r#"[{"op": "add", "path": "/status/conditions/-", "value": {"type": "Issuing",
        "status": "True", "reason": "ManuallyTriggered", "message": "asked for by a test"}}]"#;
    let mut beat = tokio::time::interval(every);
    loop {
        beat.tick().await;
        let namespace = format!("--namespace={namespace}");
        let ask = move || {
            let patch = ["patch", "certificate", "edge-tls", "--subresource=status"];
            let what = [&namespace, "--type=json", "-p", ISSUING];
            // It is refused while the one before is not issued yet.
            cluster.try_kubectl(&[&patch[..], &what[..]].concat());
        };
        let asked = tokio::task::spawn_blocking(ask).await;
        asked.expect("kubectl can be started");
    }
}

/// Follows the Secret for so long, and lets the operator meet its fate with every renewal.
async fn watch(edge: &Edge, fate: Fate, long: Duration) -> Arrivals {
    let secrets: Api<Secret> = Api::namespaced(edge.cluster.client().await, &edge.namespace);
    let params = WatchParams::default().fields("metadata.name=edge-tls");
    let deadline = tokio::time::Instant::now() + long;
    let mut arrivals = Arrivals::new();
    let mut version = "0".to_owned();
    // A watch ends sooner or later; the next goes on where it was.
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
            // Its metadata may change once more.
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
