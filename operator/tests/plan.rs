//! Tests the plan with small golden files: `plan/NAME.in.yaml` describes the world in steps, `plan/NAME.out.yaml`
//! contains the plan and the status. `UPDATE=1` writes the latter.
//!
//! After each step, a second plan with the planned objects in the world must not change anything.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DeploymentStatus;
use mqtt_tls_config::yaml::{self, Value};
use mqtt_tls_operator::crd::{MqttTlsListener, MqttTlsListenerStatus};
use mqtt_tls_operator::kinds::Child;
use mqtt_tls_operator::plan::conditions;
use mqtt_tls_operator::plan::conditions::judged::{Judged, Outcome};
use mqtt_tls_operator::plan::names::Name;
use mqtt_tls_operator::plan::notices::notices;
use mqtt_tls_operator::plan::objects::{Applied, Children, Objects};
use mqtt_tls_operator::plan::reason::Reason;
use mqtt_tls_operator::plan::report::Report;
use mqtt_tls_operator::plan::world::World;
use mqtt_tls_operator::plan::{Plan, plan};
use support::{ELSEWHERE, NAMESPACE, Pki, applied, check, environment, grants, now, planned, put};

/// The case whose output contains the complete children.
const FULL: &str = "full";

#[test]
fn plans_match_the_golden_files() {
    let update = std::env::var_os("UPDATE").is_some();
    let pki = Pki::new();
    let mut wrong = Vec::new();
    for input in inputs() {
        let name = input
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .trim_end_matches(".in.yaml");
        let found = run(name, &std::fs::read_to_string(&input).unwrap(), &pki);
        let golden = input.with_file_name(format!("{name}.out.yaml"));
        if update {
            std::fs::write(&golden, &found).unwrap();
        } else if std::fs::read_to_string(&golden).unwrap_or_default() != found {
            wrong.push(format!("== {name} ==\n{found}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "run with UPDATE=1 if this is right:\n{}",
        wrong.join("\n")
    );
}

fn inputs() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plan");
    let mut inputs: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().ends_with(".in.yaml"))
        .collect();
    inputs.sort();
    assert!(!inputs.is_empty());
    inputs
}

/// Runs the steps of one case, and returns their results.
fn run(name: &str, text: &str, pki: &Pki) -> String {
    let mut output = String::new();
    let mut documents = yaml::documents(text).unwrap().into_iter().peekable();
    let mut around: Option<World> = None;
    let mut last_config = String::new();
    while let Some(step) = documents.next() {
        let title = step["step"]
            .as_str()
            .expect("each step starts with `step: title`")
            .to_owned();
        let time = step.get("now").and_then(Value::as_str);
        let time = time.map_or_else(now, |time| time.parse().unwrap());
        let mut current = around.take().unwrap_or_else(empty);
        delete(&step, &mut current);
        if let Some(is_granted) = step.get("granted").and_then(Value::as_bool) {
            current.grants = grants(is_granted);
            let is_read = |name: &Name| is_granted || name.namespace != ELSEWHERE;
            current.secrets.retain(|name, _| is_read(name));
            current.config_maps.retain(|name, _| is_read(name));
        }
        if let Some(is_served) = step.get("certManager").and_then(Value::as_bool) {
            current.has_cert_manager = is_served;
        }
        while let Some(object) = documents.next_if(|next| next.get("step").is_none()) {
            put(&mut current, object, pki);
        }
        writeln!(output, "# {title}").unwrap();
        let refused = step.get("refused").is_some();
        let mode = (name == FULL, refused);
        let result = run_step(&mut current, time, pki, mode, &mut last_config);
        output.push_str(&result);
        around = Some(current);
    }
    output
}

/// Returns a world with a listener that the first step replaces.
fn empty() -> World {
    let text = "apiVersion: a/v1\nkind: b\nmetadata: {}\nspec: {certificates: [], backend: {}}";
    let listener: MqttTlsListener = yaml::from_value(yaml::value(text).unwrap()).unwrap();
    World::new(listener)
}

fn delete(step: &Value, world: &mut World) {
    let gone = step
        .get("delete")
        .and_then(Value::as_sequence)
        .cloned()
        .unwrap_or_default();
    for object in gone {
        match object.as_str().unwrap().split_once('/').unwrap() {
            ("Secret", name) => {
                drop(world.secrets.remove(&Name::new(NAMESPACE, name)).unwrap());
            }
            ("ConfigMap", name) => {
                let name = Name::new(NAMESPACE, name);
                drop(world.config_maps.remove(&name).unwrap());
            }
            ("Service", _) => world.services.clear(),
            ("Child", "Deployment") => world.children.remove(Child::Deployment),
            (kind, _) => panic!("unsupported kind: {kind}"),
        }
    }
}

/// Plans, applies, and plans again. With `refused`, the config Secret cannot be written.
fn run_step(
    world: &mut World,
    time: Timestamp,
    pki: &Pki,
    (is_full, refused): (bool, bool),
    last_config: &mut String,
) -> String {
    let Plan {
        objects,
        report,
        previous,
    } = plan(world, &environment(), time);
    check(world, &objects, pki);
    let mut output = children(&objects);
    if is_full {
        for (kind, object) in planned(&objects) {
            if kind != "Secret" {
                writeln!(output, "---\n{}", yaml::to_string(&object).trim_end()).unwrap();
            }
        }
    }
    let config = pki.redacted(&rendered(&objects));
    if !config.is_empty() && config != *last_config {
        writeln!(output, "config:\n{}", difference(last_config, &config)).unwrap();
        *last_config = config;
    }
    let served = world.children.of(Child::Configuration).cloned();
    world.children = applied(&world.children, &objects, time);
    if refused {
        match served {
            Some(served) => world.children.put(Child::Configuration, served),
            None => world.children.remove(Child::Configuration),
        }
    }
    observe(&mut world.children);
    let done = Applied {
        marked: BTreeMap::new(),
        children: world.children.clone(),
    };
    let outcome = if refused {
        refusal()
    } else {
        Outcome::Done(&done)
    };
    let judged = Judged::new(world, &report, &previous, &outcome, time);
    let status = conditions::status(&judged);
    assert!(!pki.shows_a_key(&serde_json::to_string(&status).unwrap()));
    output.push_str(&formatted(world, &report, &status));
    world.listener.status = Some(status);
    assert_unchanged(world, time, &objects, &report, &outcome);
    output
}

fn refusal() -> Outcome<'static> {
    Outcome::Failed {
        reason: Reason::Forbidden,
        message: "apply Secret edge-mqtts was refused".to_owned(),
        is_configured: false,
    }
}

/// Sets the status that the Deployment controller would set.
fn observe(children: &mut Children) {
    let Some(mut deployment) = children.deployment().cloned() else {
        return;
    };
    let replicas = deployment.spec.as_ref().and_then(|spec| spec.replicas);
    deployment.status = Some(DeploymentStatus {
        replicas,
        ready_replicas: replicas,
        available_replicas: replicas,
        updated_replicas: replicas,
        ..DeploymentStatus::default()
    });
    children.put(Child::Deployment, Arc::new(deployment));
}

/// Asserts that a second plan changes nothing.
fn assert_unchanged(
    world: &World,
    time: Timestamp,
    before: &Objects,
    first: &Report,
    outcome: &Outcome<'_>,
) {
    let again = plan(world, &environment(), time);
    assert_eq!(
        planned(before),
        planned(&again.objects),
        "the second plan differs"
    );
    assert_eq!(first.problems, again.report.problems);
    let certificates = |report: &Report| report.planned.clone().map(|one| one.certificates);
    assert_eq!(certificates(first), certificates(&again.report));
    let judged = Judged::new(world, &again.report, &again.previous, outcome, time);
    let status = conditions::status(&judged);
    assert_eq!(
        world.listener.status.as_ref(),
        Some(&status),
        "the second status differs"
    );
    assert_eq!(notices(world.listener.status.as_ref(), &status), []);
}

fn children(objects: &Objects) -> String {
    let kinds: Vec<&str> = planned(objects).into_iter().map(|(kind, _)| kind).collect();
    format!("planned: [{}]\n", kinds.join(", "))
}

fn rendered(objects: &Objects) -> String {
    let Some(secret) = objects.config_secret.present() else {
        return String::new();
    };
    let annotations = secret.metadata.annotations.clone().unwrap_or_default();
    let bytes = secret.data.as_ref().unwrap()["config.yaml"].0.clone();
    let mut text = String::from_utf8(bytes).unwrap();
    for (name, value) in annotations {
        writeln!(text, "# {name}: {value}").unwrap();
    }
    text
}

/// Returns the added and removed lines.
fn difference(before: &str, now: &str) -> String {
    let without = |text: &str, other: &str, sign| -> Vec<String> {
        let other: Vec<&str> = other.lines().collect();
        text.lines()
            .filter(|line| !other.contains(line))
            .map(|line| format!("  {sign} {line}"))
            .collect()
    };
    let mut lines = without(before, now, '-');
    lines.extend(without(now, before, '+'));
    lines.join("\n")
}

/// Replaces the sizes of handshake messages: an ECDSA signature differs by some bytes each time that it is made.
fn without_sizes(message: &str) -> String {
    let mut shown = message.to_owned();
    for (before, after) in [("have up to ", " bytes,"), ("the chain has ", " bytes,")] {
        if let Some((head, rest)) = shown.split_once(before)
            && let Some((_, tail)) = rest.split_once(after)
        {
            shown = format!("{head}{before}SOME{after}{tail}");
        }
    }
    shown
}

/// Formats conditions, certificates, events, and the time until the next reconciliation.
fn formatted(world: &World, report: &Report, status: &MqttTlsListenerStatus) -> String {
    let mut text = String::from("conditions:\n");
    for one in &status.conditions {
        writeln!(
            text,
            "- {}={} {}: {}",
            one.type_,
            one.status,
            one.reason,
            without_sizes(&one.message)
        )
        .unwrap();
    }
    let served: Vec<String> = status
        .certificates
        .iter()
        .map(|one| format!("{} ({})", one.secret_name, one.dns_names.join(", ")))
        .collect();
    writeln!(text, "served: [{}]", served.join("; ")).unwrap();
    for host in &status.hosts {
        writeln!(
            text,
            "host {}: {}: {}",
            host.name, host.reason, host.message
        )
        .unwrap();
    }
    for notice in notices(world.listener.status.as_ref(), status) {
        let type_ = if notice.is_warning {
            "Warning"
        } else {
            "Normal"
        };
        writeln!(text, "event: {type_} {}", notice.reason).unwrap();
    }
    writeln!(text, "requeue after: {} s", report.look_again.as_secs()).unwrap();
    text
}

/// Settings in the mounted file must not replace pods, which would cut their connections.
#[test]
fn timeouts_limits_and_tickets_do_not_replace_pods() {
    let pki = Pki::new();
    let planned_with = |more: &str| {
        let mut world = empty();
        let objects = format!(
            "kind: MqttTlsListener\napiVersion: mqtt.smartboot.tech/v1alpha1\nmetadata: {{name: edge}}\n\
             spec:\n  certificates: [{{secretRef: {{name: edge-tls}}}}]\n  \
             backend: {{service: {{name: smart-mqtt}}}}\n{more}\
             ---\nkind: Secret\nmetadata: {{name: edge-tls}}\nstringData: {{pem: '@edge.pem'}}\n"
        );
        for object in yaml::documents(&objects).unwrap() {
            put(&mut world, object, &pki);
        }
        let Plan { objects, .. } = plan(&world, &environment(), now());
        let deployment = objects.deployment.present().unwrap().clone();
        (deployment, rendered(&objects))
    };
    let plain = planned_with("");
    let changed = planned_with(
        "  tls: {tickets: None}\n  timeouts: {handshake: 1m, firstPacket: 1s, dial: 1s, halfClose: 1s}\n  \
         limits: {connections: 5, handshakes: 5}\n",
    );
    assert_eq!(plain.0, changed.0);
    assert_ne!(plain.1, changed.1);
    // Explicit defaults change nothing.
    let defaults = planned_with(
        "  tls: {tickets: Tls12}\n  timeouts: {handshake: 30s, firstPacket: 20s, dial: 5s, halfClose: 30s}\n  \
         limits: {connections: 250000, handshakes: 8192}\n",
    );
    assert_eq!(plain, defaults);
}

/// The sources of certificates are known from the annotations of the first release, too.
#[test]
fn certificates_of_the_first_release_are_kept_by_source() {
    let pki = Pki::new();
    let mut world = empty();
    let listener = "kind: MqttTlsListener\napiVersion: mqtt.smartboot.tech/v1alpha1\nmetadata: {name: edge}\nspec:\n  \
        certificates: [{secretRef: {name: edge-tls}}, {secretRef: {name: second-tls}}]\n  \
        backend: {address: {host: broker}}\n  \
        clientAuth: {mode: Require, caRef: {kind: ConfigMap, name: device-ca}}\n";
    let named = "kind: Secret\nmetadata: {name: edge-tls}\nstringData: {pem: '@edge.pem'}\n\
        ---\nkind: Secret\nmetadata: {name: second-tls}\nstringData: {pem: '@second.pem'}\n\
        ---\nkind: ConfigMap\nmetadata: {name: device-ca}\ndata: {ca.crt: '@ca.crt'}\n";
    for object in yaml::documents(&format!("{listener}---\n{named}")).unwrap() {
        put(&mut world, object, &pki);
    }
    let before = plan(&world, &environment(), now()).objects.config_secret;
    let mut secret = before.present().unwrap().clone();
    let written = secret.metadata.annotations.replace(
        [
            ("certificate-secrets", "edge-tls,second-tls"),
            ("client-ca", "ConfigMap/device-ca/ca.crt"),
        ]
        .map(|(name, value)| (format!("mqtt.smartboot.tech/{name}"), value.to_owned()))
        .into(),
    );
    world.children.put(Child::Configuration, Arc::new(secret));
    world.secrets.clear();
    world.config_maps.clear();
    let after = plan(&world, &environment(), now());
    let secret = after.objects.config_secret.present().unwrap();
    assert_eq!(secret.metadata.annotations, written);
    assert_eq!(Some(secret), before.present());
    let messages = after.report.problems.iter().map(|one| one.message.as_str());
    let (kept, ca) = (
        "the previous certificate stays in use",
        "the previous CA certificates stay in use",
    );
    for (message, end) in messages.zip([kept, kept, ca]) {
        assert!(message.ends_with(end), "{message}");
    }
}
