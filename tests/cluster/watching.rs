//! A real Prometheus scrapes operator and terminators as the chart's PodMonitors define; every query of the chart's
//! dashboard returns data; the alert about a certificate that is not renewed fires.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mqtt_tls_config::yaml;
use tests::clients::tls::Connector;
use tests::fleet::{Fleet, FleetPlan};
use tests::prometheus::{Prometheus, Scrape, at_once};
use tokio::task::JoinSet;

use crate::cluster::{Cluster, SOON};
use crate::install;
use crate::listener::{Edge, HOST};

const ALERT: &str = "MqttTlsCertificateNotRenewed";

pub(crate) fn prometheus_sees_all_and_the_alert_fires(cluster: &'static Cluster) {
    install::ensure(cluster);
    let edge = Edge::start(cluster, "watching");
    let rendered = cluster.helm(&[
        "template",
        "smart-mqtt-tls",
        "charts/smart-mqtt-tls",
        "-n",
        install::NAMESPACE,
        "--set",
        "monitoring.podMonitor.enabled=true,monitoring.podMonitor.interval=1s",
        "--show-only",
        "templates/podmonitor.yaml",
    ]);
    let rules = chart_file(cluster, "alerts.yaml");
    let monitors = yaml::documents(&rendered).expect("helm writes YAML");
    let monitors = monitors
        .into_iter()
        .map(|it| yaml::from_value(it).expect("it is an object"));
    let pods = cluster.pods();
    let scrapes: Vec<Scrape> = monitors
        .flat_map(|it| Scrape::pod_monitor(&it, install::NAMESPACE, &pods))
        .collect();
    assert_eq!(scrapes.len(), 2, "one for operators, one for terminators");
    let prometheus = Prometheus::start(&scrapes, &at_once(&rules));

    let fleet = cluster.block_on(async {
        let (address, broker) = (
            edge.address("edge").to_string(),
            edge.service("smart-mqtt").to_string(),
        );
        let plan = FleetPlan {
            clients: 50,
            ..FleetPlan::new(&address, HOST, &edge.ca.cert_pem(), &broker)
        };
        Fleet::start(plan).await
    });
    cluster.block_on(fleet.wait_all_connected(SOON));
    // Rates need events: clients connect all the time.
    let address = edge.address("edge");
    let connector = Connector::new(&edge.ca).server_name(HOST);
    let mut coming = JoinSet::new();
    cluster.block_on(async {
        coming.spawn(come_and_go(connector, address));
    });
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| keep_changing(&edge, &done));
        let _guard = SetOnDrop(&done);
        prometheus.wait_for_dashboard(&chart_file(cluster, "dashboard.json"), SOON);
    });
    drop(coming);
    let labels = [("namespace", edge.namespace.as_str()), ("listener", "edge")];
    prometheus.wait_for_no_alert(ALERT, &labels, SOON);

    // A day of its lifetime is over, and an hour is left.
    let old = edge
        .ca
        .leaf()
        .dns(HOST)
        .valid_for(Duration::from_secs(3600))
        .issue();
    edge.certificate("edge-tls", &old);
    let alert = prometheus.wait_for_alert(ALERT, &labels, SOON);
    assert!(alert.annotations.contains_key("action"), "{alert:?}");
    edge.certificate("edge-tls", &edge.leaf());
    prometheus.wait_for_no_alert(ALERT, &labels, SOON);
    drop(fleet);
}

/// Connects and disconnects periodically.
async fn come_and_go(connector: Connector, address: SocketAddr) {
    let mut beat = tokio::time::interval(Duration::from_millis(200));
    loop {
        beat.tick().await;
        // The outcome does not matter here.
        drop(connector.connect_mqtt(address, "passer-by").await);
    }
}

/// Changes the listener, which triggers reconciliations, until `done` is set.
fn keep_changing(edge: &Edge, done: &AtomicBool) {
    for number in 0.. {
        if done.load(Ordering::Relaxed) {
            return;
        }
        edge.listener(&format!(
            "  service: {{annotations: {{number: \"{number}\"}}}}"
        ));
    }
}

/// Sets the flag when it is dropped, also by a panic.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn chart_file(cluster: &Cluster, name: &str) -> String {
    let path = cluster
        .desk()
        .join("charts/smart-mqtt-tls/files")
        .join(name);
    std::fs::read_to_string(path).expect("the chart has it")
}
