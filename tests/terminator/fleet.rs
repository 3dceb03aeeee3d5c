//! Hundreds of clients through the terminator as a program: the effects of a new certificate, a kill and a
//! restart of the broker; and that the report would show a loss.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use mqtt_tls_config::{Config, Pem};
use rustix::process::Signal;
use tests::broker::{Broker, Mosquitto, SmartMqtt};
use tests::fleet::{Fleet, FleetPlan, Phase, Prober, Report};
use tests::pki::Ca;
use tests::process::Process;
use tests::wait::eventually_async;
use tests::workdir;

use crate::fixture::{SOON, config, write};
use crate::program::start;

const CLIENTS: usize = 200;

/// Timeout for hundreds of handshakes, in a test build, on a busy machine.
const ALL_CONNECT: Duration = Duration::from_secs(60);

/// The program in front of a broker, which can be killed and restarted.
struct Served {
    ca: Ca,
    config: Config,
    file: PathBuf,
    process: Process,
}

impl Served {
    fn start(broker: SocketAddr) -> Self {
        let ca = Ca::new("server CA");
        let config = config(&ca.leaf().dns("localhost").issue(), broker);
        let file = write(&config);
        let process = start(&file, &[]);
        process.wait_for_line("serving", SOON);
        Self {
            ca,
            config,
            file,
            process,
        }
    }

    /// Writes a new certificate into its file, and returns the fingerprint.
    fn rotate(&self) -> String {
        let leaf = self.ca.leaf().dns("localhost").issue();
        let mut config = self.config.clone();
        config.pem = Pem::new(leaf.bundle());
        workdir::replace(&self.file, config.to_yaml().expose());
        leaf.fingerprint()
    }

    fn kill_and_start_again(&mut self) {
        self.process.kill();
        self.process = start(&self.file, &[]);
        self.process.wait_for_line("serving", SOON);
    }

    fn addr(&self) -> SocketAddr {
        (self.config.host.unwrap(), self.config.port).into()
    }

    fn plan(&self, broker: &Broker) -> FleetPlan {
        let (address, plain) = (self.addr().to_string(), broker.addr().to_string());
        FleetPlan {
            clients: CLIENTS,
            publish_every: Duration::from_millis(500),
            connect_rate: 200,
            ..FleetPlan::new(&address, "localhost", &self.ca.cert_pem(), &plain)
        }
    }
}

/// Waits until the broker has acknowledged this many more messages.
async fn traffic_passes(fleet: &Fleet, more: usize) {
    passes(fleet, more, |report| report.up.acknowledged).await;
}

async fn passes(fleet: &Fleet, more: usize, count: impl Fn(&Report) -> u64) {
    let wanted = count(&fleet.report()) + more as u64;
    eventually_async(ALL_CONNECT, "messages are acknowledged", async || {
        (count(&fleet.report()) >= wanted).then_some(())
    })
    .await;
}

/// Waits until each client's session broke once since the report `before`.
async fn all_break(fleet: &Fleet, before: &Report) {
    let broken = before.count(Phase::Session) + CLIENTS;
    eventually_async(ALL_CONNECT, "all sessions break", async || {
        (fleet.report().count(Phase::Session) >= broken).then_some(())
    })
    .await;
}

#[track_caller]
fn nothing_is_lost(report: &Report) {
    for traffic in [&report.up, &report.down] {
        assert_eq!((traffic.lost.len(), traffic.in_flight), (0, 0), "{report}");
    }
    assert!(report.up.acknowledged >= CLIENTS as u64, "{report}");
}

async fn a_new_certificate_disturbs_no_client_of(broker: &Broker) {
    let served = Served::start(broker.addr());
    let fleet = Fleet::start(served.plan(broker)).await;
    fleet.wait_all_connected(ALL_CONNECT).await;
    let every = Duration::from_millis(20);
    let prober = Prober::start(
        vec![served.addr()],
        "localhost",
        &served.ca.cert_pem(),
        every,
    );
    let mut last = None;
    for _ in 0..4 {
        traffic_passes(&fleet, CLIENTS).await;
        let fingerprint = served.rotate();
        let first = prober.wait_all_served(&fingerprint, SOON).await;
        assert_eq!(
            prober.first_served(served.addr(), &fingerprint),
            Some(first)
        );
        assert!(Some(first) > last, "one after the other");
        last = Some(first);
    }
    traffic_passes(&fleet, CLIENTS).await;
    assert!(prober.failures().is_empty(), "{:?}", prober.failures());
    let report = fleet.stop().await;
    nothing_is_lost(&report);
    assert_eq!(report.incidents, [], "{report}");
    assert_eq!(report.connects, CLIENTS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_disturbs_no_client_of_smart_mqtt() {
    a_new_certificate_disturbs_no_client_of(SmartMqtt::shared()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_disturbs_no_client_of_mosquitto() {
    a_new_certificate_disturbs_no_client_of(Mosquitto::shared()).await;
}

async fn a_killed_terminator_costs_no_message(
    broker: &Broker,
    change: impl FnOnce(&mut FleetPlan),
) -> Report {
    let mut served = Served::start(broker.addr());
    let mut plan = served.plan(broker);
    change(&mut plan);
    let sends = plan.send_every.map_or(0, |_| CLIENTS);
    let fleet = Fleet::start(plan).await;
    fleet.wait_all_connected(ALL_CONNECT).await;
    traffic_passes(&fleet, CLIENTS).await;
    passes(&fleet, sends, |report| report.down.acknowledged).await;
    let before = fleet.report();
    served.kill_and_start_again();
    all_break(&fleet, &before).await;
    fleet.wait_all_connected(ALL_CONNECT).await;
    traffic_passes(&fleet, CLIENTS).await;
    passes(&fleet, sends, |report| report.down.acknowledged).await;
    let report = fleet.stop().await;
    assert_eq!(report.connects, 2 * CLIENTS, "{report}");
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_terminator_costs_no_message_to_smart_mqtt() {
    let report = a_killed_terminator_costs_no_message(SmartMqtt::shared(), |_| {}).await;
    nothing_is_lost(&report);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_terminator_costs_no_message_to_or_from_mosquitto() {
    let broker = Mosquitto::start_with("max_queued_messages 0");
    let report = a_killed_terminator_costs_no_message(&broker, |plan| {
        plan.clean_session = false;
        plan.broker_keeps_sessions = true;
        plan.send_every = Some(Duration::from_millis(500));
    })
    .await;
    nothing_is_lost(&report);
    assert_eq!(report.sessions_resumed, CLIENTS, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_mosquitto_costs_no_message() {
    let folder = workdir::scratch("persistence");
    let mut broker = Mosquitto::start_with(&format!(
        "max_queued_messages 0\npersistence true\npersistence_location {}/",
        folder.display()
    ));
    let served = Served::start(broker.addr());
    let plan = FleetPlan {
        broker_keeps_sessions: true,
        ..served.plan(&broker)
    };
    let fleet = Fleet::start(plan).await;
    fleet.wait_all_connected(ALL_CONNECT).await;
    traffic_passes(&fleet, CLIENTS).await;
    let before = fleet.report();
    broker.stop();
    all_break(&fleet, &before).await;
    broker.start_again();
    fleet.wait_all_connected(ALL_CONNECT).await;
    traffic_passes(&fleet, CLIENTS).await;
    nothing_is_lost(&fleet.stop().await);
}

/// The report shows a loss: a broker acknowledges one client's messages and forwards none of them.
#[tokio::test(flavor = "multi_thread")]
async fn messages_that_mosquitto_drops_are_reported_as_lost() {
    let acl = workdir::scratch("acl").join("acl");
    std::fs::write(&acl, "topic readwrite #\n").unwrap();
    let broker = Mosquitto::start_with(&format!("acl_file {}", acl.display()));
    let served = Served::start(broker.addr());
    let plan = FleetPlan {
        // It waits this long for the messages that never arrive.
        settle: SOON / 2,
        ..served.plan(&broker)
    };
    let fleet = Fleet::start(plan).await;
    fleet.wait_all_connected(ALL_CONNECT).await;
    std::fs::write(&acl, "topic deny fleet/+/7\ntopic readwrite #\n").unwrap();
    let mark = broker.process().mark();
    broker.process().signal(Signal::HUP);
    broker
        .process()
        .wait_for_line_after(mark, "Reloading config", SOON);
    traffic_passes(&fleet, 3 * CLIENTS).await;
    let report = fleet.stop().await;
    assert!(!report.up.lost.is_empty(), "{report}");
    let mut lost = report.up.lost.iter();
    assert!(lost.all(|lost| lost.client == 7), "{report}");
    assert_eq!(report.count(Phase::Session), 0, "{report}");
}

/// The report shows why a connection fails: an unknown CA, and a port without a listener.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_handshake_is_distinguished_from_a_refused_connection() {
    let served = Served::start(tests::ports::free_addr());
    let mut plan = FleetPlan {
        clients: 3,
        broker: None,
        ..FleetPlan::new(
            &served.addr().to_string(),
            "localhost",
            &Ca::new("another CA").cert_pem(),
            "",
        )
    };
    let fails = async |plan: FleetPlan, phase: Phase| {
        let fleet = Fleet::start(plan).await;
        eventually_async(SOON, "each has failed", async || {
            let report = fleet.report();
            (report.count(phase) >= 3).then_some(report)
        })
        .await
    };
    let report = fails(plan.clone(), Phase::Handshake).await;
    let kinds: Vec<_> = report.tally(Phase::Handshake).into_keys().collect();
    assert_eq!(kinds, ["InvalidCertificate(UnknownIssuer)"], "{report}");
    assert_eq!(report.count(Phase::Dial), 0, "{report}");
    plan.address = tests::ports::free_addr().to_string();
    let report = fails(plan, Phase::Dial).await;
    let kinds: Vec<_> = report.tally(Phase::Dial).into_keys().collect();
    assert_eq!(kinds, ["ConnectionRefused"], "{report}");
    assert_eq!(report.count(Phase::Handshake), 0, "{report}");
}
