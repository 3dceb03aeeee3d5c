//! Atomic fields, such as tolerations, follow the spec when entries are removed; afterwards nothing is written.

use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Value, json};
use tests::wait::eventually_async;

use crate::fixture::{Fixture, SOON};

/// A field of the pods, its first value, and its second. Nothing else changes.
fn cases() -> Vec<(&'static str, Value, Value)> {
    let edge = json!({"key": "edge", "operator": "Equal", "value": "yes", "effect": "NoExecute"});
    let mut patient = edge.clone();
    patient["tolerationSeconds"] = json!(30);
    let gpu = json!({"key": "gpu", "operator": "Exists"});
    let term = |key: &str| json!({"matchExpressions": [{"key": key, "operator": "Exists"}]});
    let node = |terms: Value| {
        let required = json!({"nodeSelectorTerms": terms});
        json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}})
    };
    let two = json!({"a": "b", "c": "d"});
    let one = json!({"a": "b"});
    let apart = |labels: &Value| {
        let term = json!({"topologyKey": "zone", "labelSelector": {"matchLabels": labels}});
        let preferred = json!([{"weight": 1, "podAffinityTerm": term}]);
        json!({"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}})
    };
    let spread = |labels: &Value| {
        json!([{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": labels}}])
    };
    vec![
        ("nodeSelector", two.clone(), one.clone()),
        ("tolerations", json!([edge, gpu]), json!([edge])),
        ("tolerations", json!([patient]), json!([edge])),
        (
            "affinity",
            node(json!([term("a"), term("b")])),
            node(json!([term("a")])),
        ),
        ("affinity", apart(&two), apart(&one)),
        ("topologySpreadConstraints", spread(&two), spread(&one)),
        (
            "imagePullSecrets",
            json!([{"name": "a"}, {"name": "b"}]),
            json!([{"name": "a"}]),
        ),
    ]
}

/// Applies a value, and waits until the pods have it.
async fn change(cluster: &Fixture, field: &str, wanted: &Value) {
    // JSON is YAML.
    cluster.apply_listener("edge", &format!("  pod: {{{field}: {wanted}}}\n"));
    let look = || async {
        let spec = cluster.child::<Deployment>("edge").await.spec.unwrap();
        let pod = serde_json::to_value(spec.template.spec).unwrap();
        (pod[field] == *wanted).then_some(())
    };
    let what = format!("the pods have {field}: {wanted}");
    eventually_async(SOON, &what, look).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_removed_from_the_spec_are_removed() {
    let cluster = Fixture::start("shrink").await;
    cluster.put_tls("edge-tls", &cluster.leaf("edge")).await;
    for (field, much, little) in cases() {
        change(&cluster, field, &much).await;
        change(&cluster, field, &little).await;
    }
    cluster.wait_until_programmed("edge").await;
    cluster.writes_nothing_more().await;
}
