//! Chart and kustomize install the same objects, with the same rules in both scopes.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::render::{Rendered, edited, is_hook, kustomize, template};

/// Labels about the installation of an object.
const HELMS: [&str; 4] = [
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/version",
    "helm.sh/chart",
];

/// Returns the objects by kind and name, without Helm's labels. Helm does not create the namespace, and kustomize needs
/// no hook for the resource definition, and nothing for `helm test`.
fn comparable(rendered: &Rendered) -> BTreeMap<String, Value> {
    let objects = rendered.objects().into_iter();
    let objects = objects.filter(|object| {
        let is_for_test = object["metadata"]["name"] == "mqtt-tls-operator-test";
        !is_hook(object) && !is_for_test && object["kind"] != "Namespace"
    });
    let found: BTreeMap<String, Value> = objects
        .map(|mut object| {
            if let Some(labels) = object["metadata"]["labels"].as_object_mut() {
                labels.retain(|name, _| !HELMS.contains(&name.as_str()));
            }
            let env = object.pointer_mut("/spec/template/spec/containers/0/env");
            if let Some(env) = env.and_then(Value::as_array_mut) {
                env.retain(|variable| !is_default(variable));
            }
            (key(&object), object)
        })
        .collect();
    assert!(found.len() > 7, "{}: {:?}", rendered.name, found.keys());
    found
}

/// The chart sets the lease duration, and kustomize uses the operator's default, which is the same: see `agree`.
fn is_default(variable: &Value) -> bool {
    variable["name"] == "MQTT_TLS_LEASE_DURATION" && variable["value"] == "15s"
}

fn key(object: &Value) -> String {
    format!(
        "{} {}",
        text(&object["kind"]),
        text(&object["metadata"]["name"])
    )
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Collects the differences, as paths.
fn differences(path: &str, one: &Value, other: &Value, found: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let mut names: Vec<&String> = one.keys().chain(other.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                let of = |object: &serde_json::Map<String, Value>| {
                    object.get(name).cloned().unwrap_or(Value::Null)
                };
                differences(&format!("{path}.{name}"), &of(one), &of(other), found);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                differences(&format!("{path}[{index}]"), one, other, found);
            }
        }
        // kustomize writes 1 for 1.0.
        (Value::Number(one), Value::Number(other)) if one.as_f64() == other.as_f64() => {}
        _ if one == other => {}
        _ => found.push(format!("{path}: {one} by Helm, {other} by kustomize")),
    }
}

fn assert_same(chart: &Rendered, kustomize: &Rendered) {
    let (chart, kustomize) = (comparable(chart), comparable(kustomize));
    let names = |objects: &BTreeMap<String, Value>| objects.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&chart), names(&kustomize));
    let mut found = Vec::new();
    for (name, object) in &chart {
        differences(name, object, &kustomize[name], &mut found);
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn chart_and_base_are_the_same() {
    assert_same(&template("default", &[]), &kustomize("deploy/base"));
}

#[test]
fn the_deploy_folder_installs_the_base() {
    assert_eq!(kustomize("deploy").text, kustomize("deploy/base").text);
}

/// The chart sets the namespace by name, because it can watch another one than its own; the overlay uses its own.
#[test]
fn chart_and_overlay_are_the_same_for_one_namespace() {
    let chart = template("own", &["--set", "watchNamespace=smart-mqtt-tls"]);
    let text = chart.text.replace(
        "- name: MQTT_TLS_NAMESPACE\n          value: \"smart-mqtt-tls\"",
        "- {name: MQTT_TLS_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}",
    );
    assert_ne!(text, chart.text, "the chart names the namespace");
    let chart = Rendered { text, ..chart };
    assert_same(&chart, &kustomize("deploy/overlays/namespaced"));
}

#[test]
fn chart_and_overlay_for_kind_differ_only_in_replicas() {
    let (chart, kind) = (template("one", &[]), kustomize("deploy/overlays/kind"));
    let (chart, kind) = (comparable(&chart), comparable(&kind));
    let mut found = Vec::new();
    for (name, object) in &chart {
        differences(name, object, &kind[name], &mut found);
    }
    let deployment = "Deployment mqtt-tls-operator.spec.replicas: 2 by Helm, 1 by kustomize";
    assert_eq!(found, [deployment]);
}

/// Renders the chart with images from a registry, and additional arguments.
fn of_a_registry(args: &[&str]) -> Rendered {
    let image = |key: &str, program: &str| {
        format!("{key}.repository=registry.example.com/mqtt-tls-{program},{key}.tag=0.1.0")
    };
    let images = [
        image("image", "operator"),
        image("terminator.image", "terminator"),
    ];
    template("registry", &[&["--set", &images.join(",")], args].concat())
}

#[test]
fn chart_and_overlay_are_the_same_for_another_registry() {
    let chart = of_a_registry(&[]);
    assert!(
        !chart.text.contains(" mqtt-tls-terminator:"),
        "the default image is not used"
    );
    assert_same(&chart, &kustomize("deploy/overlays/registry"));
}

/// As described in the overlay.
#[test]
fn chart_and_overlay_are_the_same_for_a_private_registry() {
    let chart = of_a_registry(&["--set", "imagePullSecrets[0].name=registry"]);
    let overlay = edited("registry", "deploy/overlays/registry", |text| {
        text.replace("# imagePullSecrets:", "imagePullSecrets:")
            .replace("# - name: registry", "- name: registry")
    });
    assert_same(&chart, &overlay);
}

#[test]
fn the_rules_do_not_depend_on_the_scope() {
    let pairs = [
        (
            template("all", &[]),
            template("one", &["--set", "watchNamespace=iot"]),
        ),
        (
            kustomize("deploy/base"),
            kustomize("deploy/overlays/namespaced"),
        ),
    ];
    for (all, one) in pairs {
        let (all, one) = (comparable(&all), comparable(&one));
        let of_all = &all["ClusterRole mqtt-tls-operator"]["rules"];
        assert!(of_all.as_array().is_some_and(|rules| rules.len() > 5));
        assert_eq!(of_all, &one["Role mqtt-tls-operator"]["rules"]);
        let cluster_wide = |name: &&String| name.starts_with("Cluster");
        assert_eq!(one.keys().find(cluster_wide), None);
    }
}

#[test]
fn differences_are_found() {
    let mut found = Vec::new();
    let one = serde_json::json!({"a": [{"b": 1, "c": 2}], "d": 3});
    let other = serde_json::json!({"a": [{"b": 1, "c": 4}], "e": 3});
    differences("x", &one, &other, &mut found);
    let wanted = [
        "x.a[0].c: 2 by Helm, 4 by kustomize",
        "x.d: 3 by Helm, null by kustomize",
        "x.e: null by Helm, 3 by kustomize",
    ];
    assert_eq!(found, wanted);
}
