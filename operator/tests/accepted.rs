//! The last accepted configuration: what is proven is kept, and nothing that authenticates clients in another way stays
//! beside a new configuration.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod support;

use std::sync::Arc;

use mqtt_tls_config::yaml;
use mqtt_tls_operator::kinds::Child;
use mqtt_tls_operator::plan::conditions::judged::{Judged, Outcome};
use mqtt_tls_operator::plan::objects::{Applied, Wanted};
use mqtt_tls_operator::plan::proof::Proofs;
use mqtt_tls_operator::plan::proof::answer::{Answer, Backend, Configuration};
use mqtt_tls_operator::plan::world::World;
use mqtt_tls_operator::plan::{self, Plan, accepted, plan};
use support::{Pki, applied, check, environment, now, put};

const AUTH: &str = "clientAuth: {mode: Require, caRef: {kind: Secret, name: device-ca}}";

/// A listener whose objects follow each plan.
struct Cluster {
    world: World,
    pki: Pki,
}

impl Cluster {
    fn new() -> Self {
        let text = "apiVersion: a/v1\nkind: b\nmetadata: {}\nspec: {certificates: [], backend: {}}";
        let mut cluster = Self {
            world: World::new(yaml::from_value(yaml::value(text).unwrap()).unwrap()),
            pki: Pki::new(),
        };
        cluster.put(
            "kind: Secret\nmetadata: {name: edge-tls}\nstringData: {pem: '@edge.pem'}\n---\n\
             kind: Secret\nmetadata: {name: device-ca}\nstringData: {ca.crt: '@ca.crt'}\n",
        );
        cluster.spec("");
        cluster
    }

    fn put(&mut self, text: &str) {
        for object in yaml::documents(text).unwrap() {
            put(&mut self.world, object, &self.pki);
        }
    }

    /// Changes the spec, plans and applies.
    fn spec(&mut self, more: &str) {
        self.put(&format!(
            "kind: MqttTlsListener\napiVersion: mqtt.smartboot.tech/v1alpha1\nmetadata: {{name: edge}}\nspec:\n  \
             certificates: [{{secretRef: {{name: edge-tls}}}}]\n  backend: {{address: {{host: broker}}}}\n  {more}\n"
        ));
        self.step();
    }

    fn plan(&self) -> Plan {
        plan(&self.world, &environment(), now())
    }

    fn step(&mut self) {
        let planned = self.plan().objects;
        check(&self.world, &planned, &self.pki);
        self.world.children = applied(&self.world.children, &planned, now());
    }

    /// Pods answer, and what follows is applied.
    fn answer(&mut self, answers: &[Configuration]) {
        let Plan {
            report, previous, ..
        } = self.plan();
        let done = Applied {
            marked: std::collections::BTreeMap::new(),
            children: self.world.children.clone(),
        };
        let outcome = Outcome::Done(&done);
        let mut judged = Judged::new(&self.world, &report, &previous, &outcome, now());
        let pods = answers.iter().enumerate();
        let pods = pods.map(|(number, configuration)| {
            let answer = Answer {
                configuration: configuration.clone(),
                backend: Backend::Unknown,
                hosts: Vec::new(),
                protocols: Vec::new(),
                unloaded: None,
                said: None,
            };
            (format!("pod-{number}"), answer)
        });
        judged.proofs = Proofs {
            pods: pods.collect(),
        };
        if let Wanted::Present(secret) = accepted::proven(&judged) {
            self.world.children.put(Child::Accepted, secret);
        }
    }

    fn config(&self) -> &[u8] {
        let secret = self.world.children.config_secret().unwrap();
        &secret.data.as_ref().unwrap()["config.yaml"].0
    }

    fn accepted(&self) -> Option<&[u8]> {
        let secret = self.world.children.accepted_secret()?;
        secret
            .data
            .as_ref()?
            .get("accepted.yaml")
            .map(|bytes| bytes.0.as_slice())
    }

    /// Changes the metadata of the Secret with the accepted configuration.
    fn edit(&mut self, edit: impl FnOnce(&mut k8s_openapi::api::core::v1::Secret)) {
        let mut secret = self.world.children.accepted_secret().unwrap().clone();
        edit(&mut secret);
        self.world.children.put(Child::Accepted, Arc::new(secret));
    }

    fn reasons(&self) -> Vec<&'static str> {
        let problems = self.plan().report.problems;
        problems.iter().map(|one| one.reason.name()).collect()
    }
}

const SERVED: Configuration = Configuration::Served;

#[test]
fn only_what_all_pods_serve_is_accepted() {
    let mut cluster = Cluster::new();
    for answers in [
        vec![],
        vec![SERVED, Configuration::Behind],
        vec![Configuration::Refused("it".to_owned()), SERVED],
        vec![Configuration::Unasked("it".to_owned())],
        vec![Configuration::OtherCertificate("it".to_owned())],
    ] {
        cluster.answer(&answers);
        assert!(cluster.world.children.accepted_secret().is_none());
    }
    cluster.answer(&[SERVED, SERVED]);
    assert_eq!(cluster.accepted(), Some(cluster.config()));
}

#[test]
fn it_stays_until_another_one_is_accepted() {
    let mut cluster = Cluster::new();
    cluster.answer(&[SERVED]);
    let first = cluster.config().to_vec();
    cluster.spec("host: 192.0.2.1");
    assert_ne!(cluster.config(), first);
    cluster.answer(&[Configuration::Refused("no such address".to_owned())]);
    assert_eq!(cluster.accepted(), Some(&*first));
    // An invalid spec keeps it too.
    cluster.spec("port: 8080\n  host: 224.0.0.1");
    assert_eq!(cluster.accepted(), Some(&*first));
    cluster.spec("host: 127.0.0.1");
    cluster.answer(&[SERVED]);
    assert_eq!(cluster.accepted(), Some(cluster.config()));
}

#[test]
fn other_client_authentication_removes_it() {
    let mut cluster = Cluster::new();
    cluster.answer(&[SERVED]);
    cluster.spec(AUTH);
    assert_eq!(cluster.accepted(), None);
    cluster.answer(&[SERVED]);
    assert_eq!(cluster.accepted(), Some(cluster.config()));
    // A CA is taken away; the short way of renewals removes it, too, and first of all.
    cluster
        .put("kind: Secret\nmetadata: {name: device-ca}\nstringData: {ca.crt: '@other-ca.crt'}\n");
    let renewed = plan::renew(&cluster.world, now()).objects;
    let (steps, _) = renewed.clone().steps();
    assert_eq!(steps[0].child, Child::Accepted);
    let emptied = renewed.accepted_secret.present().unwrap();
    // The API server stores no empty map, and each reconciliation would write it again.
    assert!(emptied.data.is_none());
    cluster.step();
    assert_eq!(cluster.accepted(), None);
    cluster.answer(&[SERVED]);
    cluster.spec(&format!("port: 9443\n  {AUTH}"));
    assert!(cluster.accepted().is_some());
    let host = "hosts: [{names: [a.example.com], backend: {address: {host: other}}";
    cluster.spec(&format!("{AUTH}\n  {host}}}]"));
    assert_eq!(cluster.accepted(), None, "the name has another broker");
    cluster.answer(&[SERVED]);
    assert_eq!(cluster.accepted(), Some(cluster.config()));
    cluster.spec(&format!("{AUTH}\n  {host}, clientAuth: {{mode: None}}}}]"));
    assert_eq!(cluster.accepted(), None, "the host requests none");
    cluster.answer(&[SERVED]);
    assert_eq!(cluster.accepted(), Some(cluster.config()));
    cluster.spec(&format!(
        "{AUTH}\n  {host}, clientAuth: {{mode: None}}}}]\n  unknownNames: Refuse"
    ));
    assert_eq!(cluster.accepted(), None, "it serves names that are refused");
}

#[test]
fn that_of_an_earlier_listener_of_this_name_is_removed() {
    let mut cluster = Cluster::new();
    cluster.answer(&[SERVED]);
    cluster.world.listener.metadata.uid = Some("uid-2".to_owned());
    cluster.step();
    assert_eq!(cluster.accepted(), None);
    let secret = cluster.world.children.accepted_secret().unwrap();
    assert_eq!(
        secret.metadata.owner_references.as_ref().unwrap()[0].uid,
        "uid-2"
    );
}

#[test]
fn what_keeps_it_from_being_written_is_a_problem() {
    let mut cluster = Cluster::new();
    cluster.answer(&[SERVED]);
    assert!(cluster.reasons().is_empty());
    cluster.edit(|secret| secret.immutable = Some(true));
    assert_eq!(cluster.reasons(), ["ConfigImmutable"]);
    cluster.edit(|secret| {
        secret.immutable = None;
        secret.metadata.owner_references = None;
        secret.metadata.labels = None;
    });
    assert_eq!(cluster.reasons(), ["NameTaken"]);
    let before = cluster.accepted().map(<[u8]>::to_vec);
    cluster.spec("port: 9443");
    cluster.answer(&[SERVED]);
    assert_eq!(cluster.accepted(), before.as_deref());
}
