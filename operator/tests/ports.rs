//! A change of the port, step by step: at each time the Service leads to a port that the pods have had time to open, and
//! the port that it led to before stays open until connections no longer come by it.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use mqtt_tls_config::{Config, yaml};
use mqtt_tls_operator::crd::MqttTlsListenerStatus;
use mqtt_tls_operator::kinds::Child;
use mqtt_tls_operator::plan::conditions::judged::{Judged, Outcome};
use mqtt_tls_operator::plan::names::CONFIG_VERSION;
use mqtt_tls_operator::plan::objects::{Applied, Wanted};
use mqtt_tls_operator::plan::ports::{LINGERING, OPENING, OPENING_UNMARKED};
use mqtt_tls_operator::plan::report::LOOK_AGAIN;
use mqtt_tls_operator::plan::world::World;
use mqtt_tls_operator::plan::{Plan, conditions, plan};
use support::{Pki, applied, check, environment, now, put};

const SECOND: Duration = Duration::from_secs(1);

/// A listener whose objects follow each plan, at a time that the test sets.
struct Cluster {
    world: World,
    pki: Pki,
    now: Timestamp,
    /// The kind of child that the API server refuses.
    refused: Option<Child>,
}

/// What the pods listen on, `port` first, and where the Service leads.
type Ports = (Vec<u16>, u16);

impl Cluster {
    /// A listener that serves on a port, for a day already.
    fn serving(port: u16) -> Self {
        let pki = Pki::new();
        let text = "apiVersion: a/v1\nkind: b\nmetadata: {}\nspec: {certificates: [], backend: {}}";
        let mut cluster = Self {
            world: World::new(yaml::from_value(yaml::value(text).unwrap()).unwrap()),
            pki,
            now: now(),
            refused: None,
        };
        let secret = "kind: Secret\nmetadata: {name: edge-tls}\nstringData: {pem: '@edge.pem'}\n";
        cluster.put(secret);
        cluster.port(port);
        assert_eq!(cluster.step(), (vec![port], port));
        cluster.pass(Duration::from_secs(86_400));
        cluster
    }

    fn put(&mut self, text: &str) {
        for object in yaml::documents(text).unwrap() {
            put(&mut self.world, object, &self.pki);
        }
    }

    fn port(&mut self, port: u16) {
        self.put(&format!(
            "kind: MqttTlsListener\napiVersion: mqtt.smartboot.tech/v1alpha1\nmetadata: {{name: edge}}\nspec:\n  \
             port: {port}\n  certificates: [{{secretRef: {{name: edge-tls}}}}]\n  \
             backend: {{address: {{host: broker}}}}\n"
        ));
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    fn plan(&self) -> Plan {
        plan(&self.world, &environment(), self.now)
    }

    /// Gives the config Secret a version, and marks the only pod with it.
    fn mark(&mut self, version: &str) {
        let secret = self.world.children.config_secret().unwrap();
        let mut secret = secret.clone();
        secret.metadata.resource_version = Some(version.to_owned());
        self.world
            .children
            .put(Child::Configuration, Arc::new(secret));
        self.world.pods.clear();
        self.put(&format!(
            "kind: Pod\nmetadata:\n  name: edge-mqtts-1\n  annotations: {{{CONFIG_VERSION}: '{version}'}}\n"
        ));
    }

    /// Sets the reason of the condition about the pods' answers.
    fn answered(&mut self, reason: &str) {
        let condition = Condition {
            type_: "CertificateServed".to_owned(),
            status: "Unknown".to_owned(),
            reason: reason.to_owned(),
            message: String::new(),
            observed_generation: None,
            last_transition_time: Time(self.now),
        };
        let status = MqttTlsListenerStatus {
            conditions: vec![condition],
            ..MqttTlsListenerStatus::default()
        };
        self.world.listener.status = Some(status);
    }

    /// Plans and applies; a second plan changes nothing.
    fn step(&mut self) -> Ports {
        let mut planned = self.plan().objects;
        check(&self.world, &planned, &self.pki);
        match self.refused {
            Some(Child::Service) => planned.service = Wanted::Kept,
            Some(Child::Configuration) => planned.config_secret = Wanted::Kept,
            _ => {}
        }
        self.world.children = applied(&self.world.children, &planned, self.now);
        if self.refused.is_none() {
            let again = self.plan().objects;
            let unchanged = applied(&self.world.children, &again, self.now + SECOND);
            assert_eq!(ports(&self.world), {
                let mut world = self.world.clone();
                world.children = unchanged;
                ports(&world)
            });
        }
        ports(&self.world)
    }

    /// Returns the seconds until the plan wants to look again.
    fn due(&self) -> u64 {
        self.plan().report.look_again.as_secs()
    }

    /// Returns `Programmed`, as `status reason`.
    fn programmed(&self) -> String {
        let Plan {
            report, previous, ..
        } = self.plan();
        let done = Applied {
            marked: BTreeMap::new(),
            children: self.world.children.clone(),
        };
        let outcome = Outcome::Done(&done);
        let judged = Judged::new(&self.world, &report, &previous, &outcome, self.now);
        let all = conditions::status(&judged).conditions;
        let one = all.into_iter().find(|one| one.type_ == "Programmed");
        one.map(|one| format!("{} {}", one.status, one.reason))
            .unwrap()
    }
}

fn ports(world: &World) -> Ports {
    let secret = world.children.config_secret().unwrap();
    let text = &secret.data.as_ref().unwrap()["config.yaml"].0;
    let config = Config::parse(std::str::from_utf8(text).unwrap()).unwrap();
    let service = world.children.service().unwrap();
    let port = &service.spec.as_ref().unwrap().ports.as_ref().unwrap()[0];
    let open = [config.port].into_iter().chain(config.also_listen);
    (open.collect(), u16::try_from(port.port).unwrap())
}

#[test]
fn the_service_follows_the_pods_and_the_former_port_is_closed_at_last() {
    let mut cluster = Cluster::serving(8883);
    assert_eq!(cluster.programmed(), "True Programmed");
    cluster.port(9443);
    assert_eq!(cluster.step(), (vec![9443, 8883], 8883));
    assert_eq!(cluster.due(), OPENING.as_secs() + 1);
    assert_eq!(cluster.programmed(), "Unknown PortOpening");
    cluster.pass(OPENING.saturating_sub(SECOND));
    assert_eq!(cluster.step(), (vec![9443, 8883], 8883));
    cluster.pass(SECOND);
    assert_eq!(cluster.step(), (vec![9443, 8883], 9443));
    assert_eq!(cluster.programmed(), "True Programmed");
    assert_eq!(cluster.due(), LINGERING.as_secs() + 1);
    cluster.pass(LINGERING.saturating_sub(SECOND));
    assert_eq!(cluster.step(), (vec![9443, 8883], 9443));
    cluster.pass(SECOND);
    assert_eq!(cluster.step(), (vec![9443], 9443));
    assert_eq!(cluster.due(), LOOK_AGAIN.as_secs());
}

#[test]
fn without_a_new_service_the_former_port_stays_open() {
    let mut cluster = Cluster::serving(8883);
    cluster.port(9443);
    cluster.refused = Some(Child::Service);
    for _ in 0..3 {
        assert_eq!(cluster.step(), (vec![9443, 8883], 8883));
        cluster.pass(10 * LINGERING);
    }
    cluster.refused = None;
    assert_eq!(cluster.step(), (vec![9443, 8883], 9443));
    cluster.pass(LINGERING);
    assert_eq!(cluster.step(), (vec![9443], 9443));
}

#[test]
fn without_a_new_configuration_the_service_stays() {
    let mut cluster = Cluster::serving(8883);
    cluster.port(9443);
    cluster.refused = Some(Child::Configuration);
    for _ in 0..3 {
        assert_eq!(cluster.step(), (vec![8883], 8883));
        cluster.pass(10 * LINGERING);
    }
    cluster.refused = None;
    assert_eq!(cluster.step(), (vec![9443, 8883], 8883));
}

#[test]
fn the_way_back_is_as_gentle() {
    let mut cluster = Cluster::serving(8883);
    cluster.port(9443);
    cluster.step();
    // Before the Service has followed: there is nothing to wait for.
    cluster.port(8883);
    assert_eq!(cluster.step(), (vec![8883], 8883));
    cluster.port(9443);
    cluster.step();
    cluster.pass(OPENING);
    cluster.step();
    // And afterwards: the former port is still open, and the pods are sure of it.
    cluster.port(8883);
    assert_eq!(cluster.step(), (vec![8883, 9443], 9443));
    cluster.pass(OPENING);
    assert_eq!(cluster.step(), (vec![8883, 9443], 8883));
    cluster.pass(LINGERING);
    assert_eq!(cluster.step(), (vec![8883], 8883));
}

#[test]
fn changes_in_quick_succession_are_bounded() {
    let mut cluster = Cluster::serving(8883);
    for port in 9001..9020 {
        cluster.port(port);
        let (open, service) = cluster.step();
        assert_eq!((open.as_slice(), service), (&[port, 8883][..], 8883));
        cluster.pass(SECOND);
    }
    for port in 9001..9010 {
        cluster.port(port);
        cluster.step();
        cluster.pass(OPENING);
        let (open, service) = cluster.step();
        assert_eq!((open[0], service), (port, port));
        assert!(open.len() <= 5, "{open:?}");
    }
    cluster.pass(LINGERING);
    assert_eq!(cluster.step(), (vec![9009], 9009));
}

#[test]
fn a_port_that_someone_else_put_into_the_service_is_not_opened() {
    let mut cluster = Cluster::serving(8883);
    let service = cluster.world.children.service().unwrap();
    let mut edited = service.clone();
    let ports = edited.spec.as_mut().unwrap().ports.as_mut().unwrap();
    (ports[0].port, ports[0].target_port) = (23, None);
    cluster.world.children.put(Child::Service, Arc::new(edited));
    assert_eq!(cluster.step(), (vec![8883], 8883));
}

#[test]
fn a_new_listener_has_its_service_at_once() {
    let mut cluster = Cluster::serving(8883);
    cluster.world.children.remove(Child::Service);
    cluster.port(9443);
    assert_eq!(cluster.step(), (vec![9443], 9443));
}

/// What is written is not yet what pods have opened.
#[test]
fn the_service_stays_while_pods_do_not_run_the_configuration() {
    for reason in ["ConfigurationRefused", "NotServedYet"] {
        let mut cluster = Cluster::serving(8883);
        cluster.port(9443);
        cluster.step();
        cluster.answered(reason);
        for _ in 0..3 {
            cluster.pass(LINGERING);
            assert_eq!(cluster.step(), (vec![9443, 8883], 8883), "{reason}");
            assert_eq!(cluster.due(), OPENING.as_secs() + 1);
        }
        cluster.answered("CertificateServed");
        assert_eq!(cluster.step(), (vec![9443, 8883], 9443));
    }
}

/// Without the operator's mark, a kubelet takes its time.
#[test]
fn the_service_waits_longer_for_pods_that_are_not_marked() {
    let mut cluster = Cluster::serving(8883);
    cluster.put("kind: Pod\nmetadata: {name: edge-mqtts-1}\n");
    cluster.port(9443);
    assert_eq!(cluster.step(), (vec![9443, 8883], 8883));
    // The mark itself is no reason to look again.
    assert_eq!(cluster.due(), OPENING.as_secs() + 1);
    cluster.pass(OPENING);
    assert_eq!(cluster.step(), (vec![9443, 8883], 8883));
    cluster.mark("7");
    assert_eq!(cluster.step(), (vec![9443, 8883], 9443));
    // It cannot be marked at all.
    cluster.pass(LINGERING);
    cluster.step();
    cluster.world.pods.clear();
    cluster.put("kind: Pod\nmetadata: {name: edge-mqtts-2}\n");
    cluster.port(8883);
    cluster.step();
    cluster.pass(OPENING_UNMARKED.saturating_sub(SECOND));
    assert_eq!(cluster.step(), (vec![8883, 9443], 9443));
    cluster.pass(SECOND);
    assert_eq!(cluster.step(), (vec![8883, 9443], 8883));
}

/// A pod that cannot open the port would refuse the whole configuration.
#[test]
fn a_port_below_1024_replaces_no_pod() {
    let mut cluster = Cluster::serving(8883);
    let template = |cluster: &Cluster| {
        let deployment = cluster.world.children.deployment().unwrap();
        deployment.spec.clone().unwrap().template
    };
    let before = template(&cluster);
    let security = before.spec.clone().unwrap().security_context.unwrap();
    let sysctls = security.sysctls.unwrap();
    let first = sysctls
        .iter()
        .find(|one| one.name == "net.ipv4.ip_unprivileged_port_start");
    assert_eq!(first.unwrap().value, "0");
    cluster.port(883);
    assert_eq!(cluster.step(), (vec![883, 8883], 8883));
    assert_eq!(template(&cluster), before);
}
