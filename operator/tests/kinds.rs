//! Compares the table of kinds with everything that must agree with it: RBAC rules, metrics, plans, and requests to the
//! API server. A new kind of child is a builder, a field and a row; these tests report what else is missing.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use mqtt_tls_config::yaml;
use mqtt_tls_operator::apply::apply;
use mqtt_tls_operator::crd::MqttTlsListener;
use mqtt_tls_operator::gather::{Gathered, Seen, gather};
use mqtt_tls_operator::kinds::{CHILDREN, Child, Grant, KINDS, Kind, Verb, Watched};
use mqtt_tls_operator::metrics::Metrics;
use mqtt_tls_operator::plan::environment::Environment;
use mqtt_tls_operator::plan::names::Identity;
use mqtt_tls_operator::plan::objects::{Children, Objects, Step, Wanted};
use mqtt_tls_operator::plan::world::World;
use mqtt_tls_operator::plan::{Plan, plan};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tower::service_fn;

/// RBAC verbs by group and resource.
type Rights = BTreeMap<(String, String), BTreeSet<String>>;

fn file(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::read_to_string(root.join(path)).unwrap()
}

/// Returns the verbs in the rules of a role.
fn rights(rules: &Value) -> Rights {
    let texts = |value: &Value| -> Vec<String> {
        let texts = value.as_array().into_iter().flatten();
        texts
            .map(|text| text.as_str().unwrap().to_owned())
            .collect()
    };
    let mut rights = Rights::new();
    for rule in rules.as_array().unwrap() {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                let rights = rights.entry((group.clone(), resource)).or_default();
                rights.extend(texts(&rule["verbs"]));
            }
        }
    }
    rights
}

/// Returns the verbs that the table requires.
fn wanted(grant: Grant) -> Rights {
    let mut wanted = Rights::new();
    for row in KINDS.iter().filter(|row| row.grant == grant) {
        let resource = (row.resource)();
        let mut add = |plural: String, rights: Vec<&str>| {
            if !rights.is_empty() {
                let rights = rights.into_iter().map(str::to_owned).collect();
                wanted.insert((resource.group.clone(), plural), rights);
            }
        };
        add(resource.plural.clone(), row.rights());
        add(format!("{}/status", resource.plural), row.status_rights());
    }
    if grant == Grant::Leadership {
        for row in KINDS.iter().filter(|row| !row.own_verbs.is_empty()) {
            let resource = (row.resource)();
            let rights = row.own_rights().into_iter().map(str::to_owned).collect();
            wanted.insert((resource.group, resource.plural), rights);
        }
    }
    assert!(!wanted.is_empty());
    wanted
}

/// Returns the rules of a role in `deploy/base/rbac.yaml`.
fn role(kind: &str, name: &str) -> Rights {
    let documents = yaml::documents(&file("deploy/base/rbac.yaml")).unwrap();
    let documents = documents.into_iter().map(yaml::from_value::<Value>);
    let mut documents = documents.map(Result::unwrap);
    let role = documents.find(|one| one["kind"] == kind && one["metadata"]["name"] == name);
    rights(&role.unwrap()["rules"])
}

/// Returns the rules in a part of the chart that needs no rendering.
fn chart(path: &str, begin: &str, end: &str) -> Rights {
    let text = file(&format!("charts/smart-mqtt-tls/templates/{path}"));
    let (_, rules) = text.split_once(begin).unwrap();
    let (rules, _) = rules.split_once(end).unwrap();
    rights(&yaml::from_value(yaml::value(rules).unwrap()).unwrap())
}

#[test]
fn roles_grant_exactly_the_verbs_of_the_table() {
    let work = wanted(Grant::Work);
    assert_eq!(role("ClusterRole", "mqtt-tls-operator"), work);
    let define = "{{- define \"smart-mqtt-tls.rules\" -}}";
    assert_eq!(chart("_helpers.tpl", define, "{{- end }}"), work);
    let leadership = wanted(Grant::Leadership);
    assert_eq!(role("Role", "mqtt-tls-operator-leader"), leadership);
    let installation = wanted(Grant::Installation);
    assert_eq!(chart("crd-upgrade.yaml", "\nrules:", "\n---"), installation);
}

#[test]
fn names_and_groups_match_the_api() {
    for row in &KINDS {
        assert_eq!((row.resource)().kind, row.kind.name());
        assert_eq!(row.kind.row().kind, row.kind);
    }
    let policies = Kind::PodDisruptionBudget.row();
    assert_eq!((policies.resource)().group, "policy");
    assert_eq!(Kind::PodDisruptionBudget.plural(), "poddisruptionbudgets");
}

#[test]
fn children_are_watched_and_writes_are_counted() {
    let owned: BTreeSet<Kind> = CHILDREN.iter().map(|row| row.kind).collect();
    for kind in &owned {
        let (row, name) = (kind.row(), kind.name());
        assert!(kind.is_owned() && row.watched != Watched::No, "{name}");
        for verb in [Verb::Get, Verb::List, Verb::Watch, Verb::Apply] {
            assert!(row.verbs.contains(&verb), "{verb} {name}");
        }
    }
    let mut registry = Registry::default();
    let _metrics = Metrics::new(&mut registry);
    let mut shown = String::new();
    encode(&mut shown, &registry).unwrap();
    let counted: BTreeSet<String> = shown
        .lines()
        .filter_map(|line| line.strip_prefix("mqtt_tls_operator_writes_total{kind="))
        .filter_map(|line| line.strip_suffix(",outcome=\"ok\"} 0"))
        .map(str::to_owned)
        .collect();
    let label = |kind: Kind, verb: Verb| format!("\"{}\",verb=\"{verb}\"", kind.name());
    let of_children = owned
        .iter()
        .flat_map(|kind| [Verb::Apply, Verb::Delete, Verb::Patch].map(|verb| label(*kind, verb)));
    let others = [
        label(Kind::MqttTlsListener, Verb::Apply),
        label(Kind::Pod, Verb::Patch),
    ];
    let wanted: BTreeSet<String> = of_children.chain(others).collect();
    assert_eq!(counted, wanted);
}

fn listener(replicas: i32) -> MqttTlsListener {
    let listener = json!({
        "metadata": {"name": "edge", "namespace": "iot", "uid": "u", "generation": 1},
        "spec": {"certificates": [{"secretRef": {"name": "edge-tls"}}], "replicas": replicas,
                 "backend": {"address": {"host": "broker"}}},
    });
    serde_json::from_value(listener).unwrap()
}

fn planned(listener: MqttTlsListener) -> Objects {
    let (image, domain) = ("image".to_owned(), "cluster.local".to_owned());
    let environment = Environment::cluster(image, domain, Duration::from_secs(30));
    let now = "2026-06-01T00:00:00Z".parse().unwrap();
    let Plan { objects, .. } = plan(&World::new(listener), &environment, now);
    objects
}

/// The children of which each listener has at most one.
fn singular() -> impl Iterator<Item = Child> {
    let rows = CHILDREN.iter().filter(|row| !row.is_plural);
    rows.map(|row| row.child)
}

#[test]
fn each_child_has_one_step_and_optional_ones_can_be_deleted() {
    let rows: Vec<Child> = singular().collect();
    for replicas in [0, 1, 2] {
        let (steps, _) = planned(listener(replicas)).steps();
        let mut children: Vec<Child> = steps.iter().map(|step| step.child).collect();
        children.sort();
        assert_eq!(children, rows, "one step per child");
        assert!(steps.is_sorted_by_key(Step::wave));
        for step in steps {
            let kind = step.child.row().kind;
            let name = kind.name();
            match step.wanted {
                Wanted::Present(object) => assert_eq!(object.json()["kind"], name),
                Wanted::Absent => assert!(kind.row().verbs.contains(&Verb::Delete), "{name}"),
                Wanted::Kept => {}
            }
        }
    }
}

/// An API server that stores objects and records requests.
#[derive(Default)]
struct Server {
    objects: Mutex<BTreeMap<String, Value>>,
    asked: Mutex<Vec<(Method, String)>>,
}

impl Server {
    async fn answer(&self, request: Request<Body>) -> Result<Response<Body>, Infallible> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let body = request.into_body().collect_bytes().await.unwrap();
        self.asked
            .lock()
            .unwrap()
            .push((method.clone(), path.clone()));
        let mut objects = self.objects.lock().unwrap();
        let found = match method {
            Method::GET if path.ends_with("/pods") => Some(json!({"metadata": {}, "items": []})),
            Method::GET => objects.get(&path).cloned(),
            Method::DELETE => objects.remove(&path),
            _ => {
                let object: Value = serde_json::from_slice(&body).unwrap();
                objects.insert(path, object.clone());
                Some(object)
            }
        };
        let missing = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
                             "code": 404, "reason": "NotFound"});
        let code = if found.is_some() { 200 } else { 404 };
        let body = found.unwrap_or(missing).to_string().into_bytes();
        let response = Response::builder().status(code);
        Ok(response.body(Body::from(body)).unwrap())
    }

    fn client(self: &Arc<Self>) -> Client {
        let server = Arc::clone(self);
        let service = service_fn(move |request| {
            let server = Arc::clone(&server);
            async move { server.answer(request).await }
        });
        Client::new(service, "iot")
    }

    fn asked(&self, with: &Method) -> BTreeSet<String> {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        let asked = asked.into_iter().filter(|(method, _)| method == with);
        asked.map(|(_, path)| path).collect()
    }
}

/// Returns the URL path of a child.
fn path(child: Child) -> String {
    let resource = (child.row().kind.row().resource)();
    let group = if resource.group.is_empty() {
        format!("/api/{}", resource.version)
    } else {
        format!("/apis/{}/{}", resource.group, resource.version)
    };
    let name = Identity::of(&listener(1)).name_of(child);
    format!("{group}/namespaces/iot/{}/{name}", resource.plural)
}

async fn gathered(client: &Client) -> Children {
    let seen = Seen {
        owned: vec![Kind::ConfigMap],
        ..Seen::default()
    };
    match gather(client, "iot", "edge", &seen).await.unwrap() {
        Gathered::World(world) => world.children,
        _ => panic!("expected a world"),
    }
}

#[tokio::test]
async fn every_child_of_the_table_is_read_written_and_deleted() {
    let server = Arc::new(Server::default());
    let (client, listener, fewer) = (server.client(), listener(2), listener(1));
    let own = "/apis/mqtt.smartboot.tech/v1alpha1/namespaces/iot/mqtttlslisteners/edge";
    let json = serde_json::to_value(&listener).unwrap();
    server.objects.lock().unwrap().insert(own.to_owned(), json);
    let identity = Identity::of(&listener);
    let metrics = Metrics::new(&mut Registry::default());
    let paths: BTreeSet<String> = singular().map(path).collect();

    let none = gathered(&client).await;
    let read = server.asked(&Method::GET);
    assert!(read.is_superset(&paths), "{read:?}");

    let objects = planned(listener);
    let present = |objects: &Objects| -> BTreeSet<String> {
        let (steps, _) = objects.clone().steps();
        let steps = steps.into_iter();
        let present = steps.filter(|step| matches!(step.wanted, Wanted::Present(_)));
        present.map(|step| path(step.child)).collect()
    };
    let written = present(&objects);
    assert!(written.len() > 1);
    let applied = apply(&client, &identity, objects, &none, &metrics).await;
    let applied = applied.unwrap();
    assert_eq!(server.asked(&Method::PATCH), written);
    let found = gathered(&client).await;
    for child in singular() {
        let is_written = written.contains(&path(child));
        assert_eq!(found.of(child).is_some(), is_written, "{child:?}");
        assert_eq!(applied.children.of(child).is_some(), is_written);
    }

    // With one replica there is no budget.
    let (fewer, budget) = (planned(fewer), Child::DisruptionBudget);
    let left = apply(&client, &identity, fewer, &found, &metrics).await;
    assert_eq!(server.asked(&Method::DELETE), [path(budget)].into());
    assert!(left.unwrap().children.of(budget).is_none());
}
