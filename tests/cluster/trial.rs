//! A renewed certificate of a root that some devices do not know: it is tried on a share of them, and rolled back by itself, which holds
//! over whatever is restarted; when they know the root and a user resumes the trial, it is served to all. No device is ever out for long.
//!
//! Times are printed. The only bound of them is the one that was promised: rolled back within two minutes.

mod devices;

use std::time::{Duration, Instant};

use serde_json::Value;
use tests::pki::{Ca, Leaf};
use tests::wait::eventually;

use crate::cluster::{Cluster, SOON};
use crate::install;
use crate::listener::{Edge, HOST, Terminator};
use crate::operator;
use crate::place::Owner;
use crate::upgrade;
use devices::Devices;

/// What the listener has beside the defaults: steps end as soon as there are enough handshakes.
const TRIAL: &str = "  trial: {minStep: 1s}";

/// Number of devices, and of those that know the old root only: 3 %.
const DEVICES: u16 = 500;
const OLD: u16 = 15;

/// Within this time a certificate that 3 % refuse is rolled back.
const ROLLED_BACK: Duration = Duration::from_secs(120);

/// A device may fail so many times in a row while it is tried.
const FAILURES_MAX: usize = 3;

/// The annotation of the config Secret with the state of trials.
const STATE: &str = "mqtt.smartboot.tech/trials";

pub(crate) fn what_devices_refuse_is_rolled_back_until_it_is_resumed(cluster: &'static Cluster) {
    install::ensure(cluster);
    let scene = Scene::start(cluster);
    let mut fleet = Fleet {
        old: scene.devices(0..OLD, &[&scene.edge.ca]),
        others: scene.devices(OLD..DEVICES, &[&scene.edge.ca, &scene.new_ca]),
    };
    fleet.fails_never(&scene, &scene.leaf);

    let renewed = scene.renew();
    let message = scene.is_rolled_back(&fleet);
    fleet.fails_never(&scene, &scene.leaf);
    scene.stays_over_restarts(&fleet, &message);

    let updated = scene.devices(0..OLD, &[&scene.edge.ca, &scene.new_ca]);
    let old = std::mem::replace(&mut fleet.old, updated);
    cluster.block_on(old.stop());
    fleet.fails_never(&scene, &scene.leaf);
    scene.is_served_after(&message, &fleet, &renewed);
    fleet.stop(cluster);
}

/// A listener with two pods, a broker, and a root that may come.
struct Scene {
    edge: Edge,
    leaf: Leaf,
    new_ca: Ca,
}

/// The devices: some, and all others.
struct Fleet {
    old: Devices,
    others: Devices,
}

impl Scene {
    #[track_caller]
    fn start(cluster: &'static Cluster) -> Self {
        let edge = Edge::prepare(cluster, "trial");
        let leaf = edge.leaf();
        edge.certificate("edge-tls", &leaf);
        edge.listener(TRIAL);
        edge.ready("edge");
        edge.forwards("edge-mqtts");
        edge.all_pods_serve("edge", &edge.ca, &leaf);
        Self {
            edge,
            leaf,
            new_ca: Ca::new("new root"),
        }
    }

    fn devices(&self, numbers: std::ops::Range<u16>, cas: &[&Ca]) -> Devices {
        Devices::start(&self.edge, numbers, cas)
    }

    /// Replaces the certificate by one of the new root.
    #[track_caller]
    fn renew(&self) -> Leaf {
        let renewed = self.new_ca.leaf().dns(HOST).issue();
        self.edge.certificate("edge-tls", &renewed);
        renewed
    }

    /// Waits until the trial is rolled back, and checks what that has cost. Returns the condition's message.
    #[track_caller]
    fn is_rolled_back(&self, fleet: &Fleet) -> String {
        let (begun, writes) = (Instant::now(), self.writes());
        let trial = eventually(ROLLED_BACK, "the trial is rolled back", || {
            let trial = condition(&self.listener(), "Trial")?;
            (trial["status"] == "False").then_some(trial)
        });
        let took = begun.elapsed();
        assert_eq!(trial["reason"], "RolledBack", "{trial}");
        eventually(SOON, "an event says so", || {
            (!self.events("RolledBack").is_empty()).then_some(())
        });
        let shown = self.listener()["status"]["trials"].clone();
        eventually(SOON, "no pod has the candidate any more", || {
            let pods = self.edge.pods();
            let mut pods = pods.iter();
            pods.all(|pod| !self.has_candidate(pod)).then_some(())
        });
        println!(
            "rolled back after {took:.1?}, and in all pods after {:.1?}; the operator has written {} times\n{shown}",
            begun.elapsed(),
            self.writes() - writes
        );
        fleet.fails_at_most(FAILURES_MAX);
        let message = trial["message"].as_str().expect("it is text");
        println!("{message}");
        message.to_owned()
    }

    /// Replaces the operator, the pods, and their number: the trial stays rolled back.
    #[track_caller]
    fn stays_over_restarts(&self, fleet: &Fleet, message: &str) {
        println!("the operator dies");
        operator::kill(self.edge.cluster);
        operator::wait_until_it_is_back(self.edge.cluster);
        // Only one that works sees a new generation.
        let seen = "  service: {annotations: {seen: by-the-next-operator}}";
        self.edge.listener(&format!("{TRIAL}\n{seen}"));
        self.settled();
        self.stays_rolled_back(fleet, message);

        println!("an upgrade that replaces the operator and all pods, and the way back");
        let cluster = self.edge.cluster;
        upgrade::upgrade(cluster, &["--set", "terminator.drainDeadline=7s"]);
        self.replaced(7);
        self.stays_rolled_back(fleet, message);
        upgrade::roll_back(cluster);
        self.replaced(30);
        self.stays_rolled_back(fleet, message);

        println!("one more pod");
        self.edge.kubectl(&["scale", "mtl/edge", "--replicas=3"]);
        self.settled();
        assert_eq!(self.edge.pods().len(), 3);
        self.stays_rolled_back(fleet, message);
    }

    /// Waits until all pods have a drain deadline.
    #[track_caller]
    fn replaced(&self, seconds: i64) {
        upgrade::wait_for_deadline(&self.edge, seconds);
        self.settled();
    }

    /// Checks that nothing has changed for the devices, or in what the operator remembers.
    #[track_caller]
    fn stays_rolled_back(&self, fleet: &Fleet, message: &str) {
        fleet.fails_never(self, &self.leaf);
        let trial = condition(&self.listener(), "Trial").expect("it is rolled back");
        assert_eq!(trial["reason"], "RolledBack", "{trial}");
        assert_eq!(trial["message"], *message, "it is the same trial");
        for pod in self.edge.pods() {
            assert!(!self.has_candidate(&pod), "{}", pod.name);
        }
    }

    /// Resumes the trial by the command in the message, and waits until all devices have the certificate.
    #[track_caller]
    fn is_served_after(&self, message: &str, fleet: &Fleet, renewed: &Leaf) {
        let mut quoted = message.split('`');
        let command = quoted.find(|text| text.starts_with("kubectl annotate "));
        let command = command.expect("the message has a command");
        let (begun, writes) = (Instant::now(), self.writes());
        let loaded = self.events("CertificateLoaded").len();
        println!("{}", self.edge.cluster.sh(command).stdout);
        let mut last = Value::Null;
        eventually(2 * SOON, "the trial has ended", || {
            let listener = self.listener();
            let shown = listener["status"]["trials"][0].clone();
            if shown["percent"] != last {
                println!("after {:.1?}: {} %", begun.elapsed(), shown["percent"]);
                last = shown["percent"].clone();
            }
            condition(&listener, "Trial").is_none().then_some(())
        });
        println!(
            "served to all after {:.1?}; the operator has written {} times",
            begun.elapsed(),
            self.writes() - writes
        );
        self.edge.all_pods_serve("edge", &self.new_ca, renewed);
        fleet.fails_never(self, renewed);
        eventually(
            SOON,
            "events say that it is loaded, and the trial is over",
            || {
                let is_loaded = self.events("CertificateLoaded").len() > loaded;
                (is_loaded && !self.events("TrialEnded").is_empty()).then_some(())
            },
        );
        let secret: Value = self.edge.get("secret", "edge-mqtts");
        assert_eq!(secret["metadata"]["annotations"][STATE], Value::Null);
        self.edge.ready("edge");
        let trials = &self.listener()["status"]["trials"];
        assert!(trials.is_null(), "{trials}");
    }

    #[track_caller]
    fn settled(&self) {
        self.edge.settled();
        self.edge.wait("CertificateServed", "True");
    }

    #[track_caller]
    fn listener(&self) -> Value {
        self.edge.get("mtl", "edge")
    }

    /// Reports whether a pod has a certificate that it tries.
    #[track_caller]
    fn has_candidate(&self, pod: &Terminator) -> bool {
        let status: Value = serde_json::from_str(&self.edge.admin(pod, "status"))
            .expect("the admin port answers in JSON");
        let certificates = status["certificates"].as_array();
        let mut certificates = certificates.expect("it serves one").iter();
        certificates.any(|one| !one["candidate"].is_null())
    }

    /// The events of the listener with this reason.
    #[track_caller]
    fn events(&self, reason: &str) -> Vec<Value> {
        let selector = format!("involvedObject.name=edge,reason={reason}");
        let args = ["-n", &self.edge.namespace, "--field-selector", &selector];
        self.edge.cluster.list("events", &args)
    }

    /// How often the operator has written objects of this namespace so far; 0 in a cluster of a user.
    fn writes(&self) -> usize {
        let Owner::Local(node) = &self.edge.cluster.place.owner else {
            return 0;
        };
        let operators = format!("system:serviceaccount:{}:", install::NAMESPACE);
        let events = node.server().audit_events().into_iter();
        let events = events.filter(|it| it.is_write() && it.is_in(&self.edge.namespace));
        events
            .filter(|it| it.user.username.starts_with(&operators))
            .count()
    }
}

impl Fleet {
    /// Waits until each device has tried again, and checks that none has failed since the last report, and which certificate all got.
    #[track_caller]
    fn fails_never(&self, scene: &Scene, leaf: &Leaf) {
        scene.edge.cluster.block_on(async {
            self.old.have_tried().await;
            self.others.have_tried().await;
        });
        for devices in [&self.old, &self.others] {
            let report = devices.report();
            println!("{report}");
            assert_eq!(report.failed, 0, "{report}");
        }
        let served = self.old.served(&leaf.cert_der) + self.others.served(&leaf.cert_der);
        assert_eq!(served, usize::from(DEVICES), "all get this certificate");
    }

    /// Checks that no device has failed more often in a row, and those that know both roots not at all.
    #[track_caller]
    fn fails_at_most(&self, in_a_row: usize) {
        let (old, others) = (self.old.report(), self.others.report());
        println!("devices that know the old root only: {old}\nthe others: {others}");
        assert!(old.worst <= in_a_row, "{old}");
        assert_eq!(others.failed, 0, "{others}");
    }

    fn stop(self, cluster: &Cluster) {
        cluster.block_on(async {
            self.old.stop().await;
            self.others.stop().await;
        });
    }
}

/// A condition of a listener, if it has it.
fn condition(listener: &Value, kind: &str) -> Option<Value> {
    let conditions = listener["status"]["conditions"].as_array()?;
    let is_it = |one: &&Value| one["type"] == kind;
    conditions.iter().find(is_it).cloned()
}
