//! Scrape configurations: fixed addresses, or the pods that a PodMonitor selects, discovered and labelled as by the
//! Prometheus operator. An unknown key of a PodMonitor panics, because a test must not pass by ignoring it.

use std::net::SocketAddr;

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Map, Value, json};

/// One scrape configuration.
#[derive(Clone, Debug)]
pub struct Scrape(Value);

impl Scrape {
    /// Fixed addresses with these labels, and with `job`.
    pub fn fixed(job: &str, addrs: &[SocketAddr], labels: &[(&str, &str)]) -> Self {
        let labels: Map<String, Value> = labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect();
        Self(json!({
            "job_name": job,
            "static_configs": [{"targets": addrs, "labels": labels}],
        }))
    }

    /// Sets `honorLabels`: a metric's labels override those of its target.
    #[must_use]
    pub fn honoring_labels(mut self) -> Self {
        self.0["honor_labels"] = json!(true);
        self
    }

    /// Returns a configuration for each endpoint of a PodMonitor, whose default namespace is `namespace`. Its interval is
    /// ignored. `pods` are all pods, selected or not.
    pub fn pod_monitor(manifest: &Value, namespace: &str, pods: &[Pod]) -> Vec<Self> {
        let spec = &manifest["spec"];
        known(
            spec,
            &["selector", "namespaceSelector", "podMetricsEndpoints"],
        );
        let metadata = &manifest["metadata"];
        let name = text(&metadata["name"]);
        let namespace = metadata["namespace"].as_str().unwrap_or(namespace);
        let within = namespaces(&spec["namespaceSelector"], namespace);
        let is_within = |pod: &&Pod| {
            let namespace = pod.metadata.namespace.as_ref();
            within
                .as_ref()
                .is_none_or(|names| namespace.is_some_and(|it| names.contains(it)))
        };
        let discovered: Vec<Value> = pods.iter().filter(is_within).flat_map(discovered).collect();
        let endpoints = spec["podMetricsEndpoints"]
            .as_array()
            .expect("it has endpoints");
        let scrape = |(index, endpoint): (usize, &Value)| {
            known(
                endpoint,
                &[
                    "port",
                    "path",
                    "interval",
                    "scrapeTimeout",
                    "honorLabels",
                    "relabelings",
                    "scheme",
                ],
            );
            let mut rules = selection(&spec["selector"], endpoint);
            rules
                .push(json!({"target_label": "job", "replacement": format!("{namespace}/{name}")}));
            rules.extend(
                endpoint["relabelings"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(relabeling),
            );
            Self(json!({
                "job_name": format!("podMonitor/{namespace}/{name}/{index}"),
                "static_configs": discovered,
                "metrics_path": endpoint["path"].as_str().unwrap_or("/metrics"),
                "scheme": endpoint["scheme"].as_str().unwrap_or("http"),
                "honor_labels": endpoint["honorLabels"].as_bool().unwrap_or(false),
                "relabel_configs": rules,
            }))
        };
        endpoints.iter().enumerate().map(scrape).collect()
    }

    pub(super) fn config(&self) -> &Value {
        &self.0
    }
}

/// Returns a target for each port of a pod with an address, with the labels of Prometheus' `role: pod`.
fn discovered(pod: &Pod) -> Vec<Value> {
    let (Some(spec), Some(status)) = (&pod.spec, &pod.status) else {
        return vec![];
    };
    let Some(ip) = &status.pod_ip else {
        return vec![];
    };
    let mut labels = Map::new();
    let mut label = |name: &str, value: &str| {
        labels.insert(format!("__meta_kubernetes_{name}"), json!(value));
    };
    label(
        "namespace",
        pod.metadata.namespace.as_deref().unwrap_or_default(),
    );
    label("pod_name", pod.metadata.name.as_deref().unwrap_or_default());
    label("pod_phase", status.phase.as_deref().unwrap_or_default());
    for (name, value) in pod.metadata.labels.iter().flatten() {
        label(&format!("pod_label_{}", sanitized(name)), value);
    }
    let ports = spec.containers.iter().flat_map(|container| {
        let ports = container.ports.iter().flatten();
        ports.map(move |port| (container.name.as_str(), port))
    });
    let target = |(container, port): (&str, &k8s_openapi::api::core::v1::ContainerPort)| {
        let mut labels = labels.clone();
        labels.insert(
            "__meta_kubernetes_pod_container_name".to_owned(),
            json!(container),
        );
        labels.insert(
            "__meta_kubernetes_pod_container_port_name".to_owned(),
            json!(port.name),
        );
        json!({"targets": [format!("{ip}:{}", port.container_port)], "labels": labels})
    };
    ports.map(target).collect()
}

/// Returns the selected namespaces; None for all.
fn namespaces(selector: &Value, own: &str) -> Option<Vec<String>> {
    if selector.is_null() {
        return Some(vec![own.to_owned()]);
    }
    known(selector, &["any", "matchNames"]);
    if selector["any"] == json!(true) {
        return None;
    }
    let names = selector["matchNames"].as_array().into_iter().flatten();
    Some(names.map(text).collect())
}

/// Returns relabelling rules that keep the selected pods and ports, and set the standard labels.
fn selection(selector: &Value, endpoint: &Value) -> Vec<Value> {
    known(selector, &["matchLabels"]);
    let labels = selector["matchLabels"]
        .as_object()
        .expect("it selects by labels");
    let mut rules: Vec<Value> = labels
        .iter()
        .map(|(label, value)| {
            let source = format!("__meta_kubernetes_pod_label_{}", sanitized(label));
            json!({"action": "keep", "source_labels": [source], "regex": text(value)})
        })
        .collect();
    let port = text(&endpoint["port"]);
    rules.push(json!({
        "action": "keep",
        "source_labels": ["__meta_kubernetes_pod_container_port_name"],
        "regex": port,
    }));
    rules.push(json!({
        "action": "drop",
        "source_labels": ["__meta_kubernetes_pod_phase"],
        "regex": "(Failed|Succeeded)",
    }));
    for (source, target) in [
        ("__meta_kubernetes_namespace", "namespace"),
        ("__meta_kubernetes_pod_container_name", "container"),
        ("__meta_kubernetes_pod_name", "pod"),
    ] {
        rules.push(json!({"source_labels": [source], "target_label": target}));
    }
    rules.push(json!({"target_label": "endpoint", "replacement": port}));
    rules
}

/// Translates the keys of a PodMonitor's relabelling to those of Prometheus.
fn relabeling(rule: &Value) -> Value {
    let words = [
        ("sourceLabels", "source_labels"),
        ("separator", "separator"),
        ("regex", "regex"),
        ("action", "action"),
        ("targetLabel", "target_label"),
        ("replacement", "replacement"),
    ];
    known(rule, &words.map(|(word, _)| word));
    let translated = words.iter().filter_map(|(word, prometheus)| {
        let value = rule.get(word)?.clone();
        Some(((*prometheus).to_owned(), value))
    });
    Value::Object(translated.collect())
}

fn known(value: &Value, keys: &[&str]) {
    for key in value.as_object().into_iter().flat_map(Map::keys) {
        assert!(
            keys.contains(&key.as_str()),
            "the harness does not support {key} of a PodMonitor; it supports {keys:?}"
        );
    }
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is not a string"))
        .to_owned()
}

/// Returns a label's name with Prometheus' characters only.
fn sanitized(label: &str) -> String {
    label
        .chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() {
                letter
            } else {
                '_'
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::{Value, json};

    use super::Scrape;

    fn monitor(selector: &Value) -> Value {
        json!({
            "metadata": {"name": "m", "namespace": "n"},
            "spec": {
                "selector": {"matchLabels": {"app.kubernetes.io/name": "a"}},
                "namespaceSelector": selector,
                "podMetricsEndpoints": [{
                    "port": "admin",
                    "honorLabels": true,
                    "relabelings": [{"targetLabel": "job", "replacement": "j"}],
                }],
            },
        })
    }

    fn pod(namespace: &str) -> Pod {
        let pod = json!({
            "metadata": {"name": "p", "namespace": namespace, "labels": {"app.kubernetes.io/name": "a"}},
            "spec": {"containers": [{"name": "c", "ports": [{"name": "admin", "containerPort": 9}]}]},
            "status": {"podIP": "192.0.2.1", "phase": "Running"},
        });
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn a_pod_monitor_is_translated_as_by_the_prometheus_operator() {
        let pods = [pod("n"), pod("other")];
        let made = Scrape::pod_monitor(&monitor(&json!({"any": true})), "d", &pods);
        let config = made[0].config();
        assert_eq!(config["job_name"], "podMonitor/n/m/0");
        let targets = config["static_configs"].as_array().unwrap();
        assert_eq!(targets.len(), 2);
        assert_eq!(targets[0]["targets"], json!(["192.0.2.1:9"]));
        let labels = &targets[0]["labels"];
        assert_eq!(
            labels["__meta_kubernetes_pod_label_app_kubernetes_io_name"],
            "a"
        );
        assert_eq!(labels["__meta_kubernetes_pod_container_port_name"], "admin");
        assert_eq!(config["honor_labels"], true);
        let rules = config["relabel_configs"].as_array().unwrap();
        let source = "__meta_kubernetes_pod_label_app_kubernetes_io_name";
        let keep = json!({"action": "keep", "source_labels": [source], "regex": "a"});
        assert_eq!(rules[0], keep);
        assert_eq!(
            rules.last().unwrap(),
            &json!({"target_label": "job", "replacement": "j"})
        );
        let own = Scrape::pod_monitor(&monitor(&Value::Null), "d", &pods);
        assert_eq!(
            own[0].config()["static_configs"].as_array().unwrap().len(),
            1
        );
    }

    #[test]
    #[should_panic(expected = "the harness does not support matchExpressions")]
    fn an_unknown_key_panics() {
        let mut monitor = monitor(&Value::Null);
        monitor["spec"]["selector"]["matchExpressions"] = json!([]);
        Scrape::pod_monitor(&monitor, "d", &[]);
    }
}
