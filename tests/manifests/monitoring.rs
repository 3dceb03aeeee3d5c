//! The alert rules and the dashboard: promtool checks the rules and runs their unit tests; a real Prometheus scrapes the
//! real programs, and every query and every series in a rule has data.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use mqtt_tls_config::{Backend, ClientAuth, ClientAuthMode, Config, Host, Pem, Revocation, yaml};
use mqtt_tls_operator::crd;
use serde_json::Value;
use tests::apiserver::ApiServer;
use tests::broker::Mosquitto;
use tests::clients::mosquitto::Endpoint;
use tests::pki::{Ca, Leaf, LeafBuilder};
use tests::process::Process;
use tests::prometheus::{Prometheus, Scrape, at_once, dashboard, promtool, without_annotations};
use tests::wait::eventually_ok;
use tests::{ports, programs, workdir};

const ALERTS: &str = include_str!("../../charts/smart-mqtt-tls/files/alerts.yaml");
const DASHBOARD: &str = include_str!("../../charts/smart-mqtt-tls/files/dashboard.json");

/// The rules' unit tests.
const UNIT_TESTS: [(&str, &str); 4] = [
    (
        "certificates.yaml",
        include_str!("../assets/monitoring/certificates.yaml"),
    ),
    (
        "clusters.yaml",
        include_str!("../assets/monitoring/clusters.yaml"),
    ),
    (
        "operator.yaml",
        include_str!("../assets/monitoring/operator.yaml"),
    ),
    (
        "terminator.yaml",
        include_str!("../assets/monitoring/terminator.yaml"),
    ),
];

/// Prefixes of the programs' and of Prometheus' metrics.
const PREFIXES: [&str; 3] = ["mqtt_tls_", "process_", "up"];

/// Upper bound for what takes seconds. Reaching it is a failure, not a measurement.
const SOON: Duration = Duration::from_secs(60);

fn parsed(text: &str) -> Value {
    yaml::from_value(yaml::value(text).unwrap()).unwrap()
}

/// Returns the elements of the array at a key.
fn list<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value[key].as_array().into_iter().flatten()
}

/// Returns all rules, which are all alerts.
fn rules() -> Vec<Value> {
    let alerts = parsed(ALERTS);
    let rules: Vec<Value> = list(&alerts, "groups")
        .flat_map(|group| list(group, "rules"))
        .cloned()
        .collect();
    assert!(rules.iter().all(|rule| rule["alert"].is_string()));
    rules
}

/// Returns for each alert the labels with which it fires in unit tests, and whether a test expects it not to fire.
fn tested() -> BTreeMap<String, (BTreeSet<String>, bool)> {
    let mut tested: BTreeMap<String, (BTreeSet<String>, bool)> = BTreeMap::new();
    for (_, text) in UNIT_TESTS {
        let file = parsed(text);
        for case in list(&file, "tests").flat_map(|test| list(test, "alert_rule_test")) {
            let name = case["alertname"].as_str().unwrap().to_owned();
            let (labels, not_to) = tested.entry(name).or_default();
            let fired: Vec<&Value> = list(case, "exp_alerts").collect();
            *not_to |= fired.is_empty();
            for alert in fired {
                labels.extend(alert["exp_labels"].as_object().unwrap().keys().cloned());
            }
        }
    }
    tested
}

#[test]
fn promtool_accepts_the_rules() {
    let folder = workdir::scratch("rules");
    std::fs::write(folder.join("alerts.yaml"), ALERTS).unwrap();
    promtool(&folder, &["check", "rules", "alerts.yaml"]).expect_success();
}

#[test]
fn the_alerts_fire_when_they_should_and_only_then() {
    let folder = workdir::scratch("rules");
    // promtool compares whole annotations, whose texts are not tested here.
    let rules = without_annotations(ALERTS);
    std::fs::write(folder.join("alerts.yaml"), rules).unwrap();
    let mut args = vec!["test", "rules"];
    for (name, text) in UNIT_TESTS {
        std::fs::write(folder.join(name), text).unwrap();
        args.push(name);
    }
    promtool(&folder, &args).expect_success();
}

#[test]
fn each_alert_is_tested_to_fire_and_not_to() {
    let tested = tested();
    let named: BTreeSet<String> = rules()
        .iter()
        .map(|rule| rule["alert"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        named,
        tested.keys().cloned().collect(),
        "rules, and tested alerts"
    );
    for (name, (labels, not_to)) in tested {
        assert!(!labels.is_empty(), "no test lets {name} fire");
        assert!(not_to, "no test keeps {name} from firing");
        assert!(
            labels.contains("cluster"),
            "no test has {name} in one of two clusters"
        );
    }
}

/// One ruler may evaluate several clusters with the same names.
#[test]
fn each_alert_separates_clusters() {
    for rule in rules() {
        let expr = rule["expr"].as_str().unwrap();
        for grouping in ["by (", "on ("] {
            for labels in expr.split(grouping).skip(1) {
                let name = &rule["alert"];
                assert!(
                    labels.starts_with("cluster, "),
                    "{name}: {grouping}{labels}"
                );
            }
        }
    }
}

/// An annotation may use only labels that the alert has: others would be empty.
#[test]
fn each_alert_has_a_severity_a_summary_a_description_and_an_action() {
    let tested = tested();
    for rule in rules() {
        let name = rule["alert"].as_str().unwrap();
        let severity = rule["labels"]["severity"].as_str();
        assert!(
            matches!(severity, Some("critical" | "warning")),
            "{name}: {severity:?}"
        );
        assert!(rule["for"].is_string(), "{name} fires without a delay");
        let annotations = rule["annotations"].as_object().unwrap();
        let keys: Vec<&str> = annotations.keys().map(String::as_str).collect();
        assert_eq!(keys, ["action", "description", "summary"], "{name}");
        for text in annotations.values().map(|text| text.as_str().unwrap()) {
            for used in text.split("$labels.").skip(1) {
                let label = used
                    .split(|letter: char| !letter.is_alphanumeric() && letter != '_')
                    .next();
                assert!(
                    tested[name].0.contains(label.unwrap()),
                    "{name} has no label {label:?}"
                );
            }
        }
    }
}

#[test]
fn the_dashboard_can_be_imported_anywhere() {
    let board: Value = serde_json::from_str(DASHBOARD).unwrap();
    assert!(board["schemaVersion"].as_u64().unwrap() >= 38);
    let variables: Vec<&str> = list(&board["templating"], "list")
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(variables, ["datasource", "namespace", "listener"]);
    let panels = dashboard::panels(&board);
    let ids: BTreeSet<u64> = panels
        .iter()
        .map(|panel| panel["id"].as_u64().unwrap())
        .collect();
    assert_eq!(ids.len(), panels.len(), "panel ids are unique");
    let wanted = serde_json::json!({"type": "prometheus", "uid": "${datasource}"});
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let title = panel["title"].as_str().unwrap();
        assert_eq!(panel["datasource"], wanted, "{title}");
        assert!(list(panel, "targets").count() > 0, "{title} has no query");
        let names: BTreeSet<&str> = list(panel, "targets")
            .map(|one| one["refId"].as_str().unwrap())
            .collect();
        assert_eq!(
            names.len(),
            list(panel, "targets").count(),
            "{title}: names of queries are unique"
        );
        for target in list(panel, "targets") {
            assert_eq!(target["datasource"], wanted, "{title}");
        }
    }
}

/// The panel's thresholds and the alerts' bounds are in two files.
#[test]
fn the_dashboard_changes_colour_where_the_alerts_fire() {
    let board: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard::panels(&board);
    let panel = panels
        .iter()
        .find(|panel| panel["title"] == "Certificates: remaining share of the lifetime");
    let steps = &panel.unwrap()["fieldConfig"]["defaults"]["thresholds"];
    let bounds: Vec<f64> = list(steps, "steps")
        .filter_map(|step| step["value"].as_f64())
        .collect();
    assert_eq!(bounds, [0.1, 0.15]);
    let names = [
        "MqttTlsCertificateAboutToExpire",
        "MqttTlsCertificateNotRenewed",
    ];
    for (name, bound) in names.into_iter().zip(bounds) {
        let rules = rules();
        let rule = rules.iter().find(|rule| rule["alert"] == name).unwrap();
        let expr = rule["expr"].as_str().unwrap();
        assert!(expr.contains(&format!(" {bound} * (")), "{name}: {expr}");
    }
}

/// A working installation must not hide a stuck one.
#[test]
fn the_dashboard_shows_the_last_success_of_each_installation() {
    let queries = dashboard::queries(DASHBOARD);
    let last = queries.iter().find(|query| {
        query
            .expr
            .contains("mqtt_tls_operator_reconciliation_last_success_timestamp_seconds")
    });
    let expr = &last.unwrap().expr;
    assert!(expr.contains("max by (namespace) ("), "{expr}");
}

/// A terminator in front of a broker.
struct Terminator {
    ca: Ca,
    config: Config,
    file: PathBuf,
    process: Process,
}

impl Terminator {
    fn start(broker: &Mosquitto, change: impl FnOnce(LeafBuilder<'_>) -> LeafBuilder<'_>) -> Self {
        let ca = Ca::new("server CA");
        let leaf = change(ca.leaf().dns("localhost")).issue();
        let mut config = Config::new(ports::free_port(), Pem::new(leaf.bundle()));
        config.backend = Backend {
            host: broker.addr().ip().to_string(),
            port: broker.port(),
        };
        config.admin.port = ports::free_port();
        config.hosts = vec![Host {
            backend: Some(config.backend.clone()),
            ..Host::new(vec!["localhost".to_owned()])
        }];
        config.client_auth = ClientAuth {
            mode: ClientAuthMode::Optional,
            ca: Some(Pem::new(ca.cert_pem())),
            revocation: Some(Revocation::default()),
            ..ClientAuth::default()
        };
        let file = workdir::scratch("terminator").join("config.yaml");
        write(&file, &config);
        let crls = file.with_file_name("crls");
        std::fs::write(&crls, ca.crl(&[])).unwrap();
        let mut command = Command::new(programs::terminator());
        command.arg(&file).arg("--crls").arg(&crls);
        let process = Process::spawn("terminator", command);
        process.wait_for_line("serving", SOON);
        Self {
            ca,
            config,
            file,
            process,
        }
    }

    /// A scrape configuration as from a PodMonitor.
    fn scrape(&self, namespace: &str, listener: &str) -> Scrape {
        let labels = [
            ("namespace", namespace),
            ("listener", listener),
            ("pod", "edge-mqtts-0"),
        ];
        let admin = SocketAddr::new(self.config.admin.host, self.config.admin.port);
        Scrape::fixed("mqtt-tls-terminator", &[admin], &labels)
    }

    fn renew(&mut self, leaf: &Leaf) {
        self.config.pem = Pem::new(leaf.bundle());
        write(&self.file, &self.config);
    }

    fn publish(&self) {
        let at = Endpoint::tls(self.config.port, &self.ca);
        at.publish("monitored")
            .qos(1)
            .payload("one")
            .send()
            .expect_success();
    }
}

fn write(file: &Path, config: &Config) {
    let new = file.with_extension("new");
    std::fs::write(&new, config.to_yaml().expose()).unwrap();
    std::fs::rename(&new, file).unwrap();
}

#[test]
fn a_certificate_that_is_not_renewed_fires_until_it_is() {
    // Valid since yesterday: about a twentieth of the lifetime is left.
    let mut terminator = Terminator::start(Mosquitto::shared(), |leaf| {
        leaf.valid_for(Duration::from_secs(4500))
    });
    let scrape = terminator.scrape("iot", "edge");
    let prometheus = Prometheus::start(&[scrape], &at_once(ALERTS));
    let labels = [("namespace", "iot"), ("listener", "edge")];
    for name in [
        "MqttTlsCertificateNotRenewed",
        "MqttTlsCertificateAboutToExpire",
    ] {
        let alert = prometheus.wait_for_alert(name, &labels, SOON);
        let summary = &alert.annotations["summary"];
        assert!(
            summary.starts_with("A certificate of listener iot/edge expires in 1h 1"),
            "{summary}"
        );
    }
    let renewed = terminator.ca.leaf().dns("localhost").issue();
    terminator.renew(&renewed);
    for name in [
        "MqttTlsCertificateNotRenewed",
        "MqttTlsCertificateAboutToExpire",
    ] {
        prometheus.wait_for_no_alert(name, &labels, SOON);
    }
    assert!(terminator.process.is_running());
}

/// Starts the operator for a new namespace.
async fn start_operator(server: &ApiServer) -> (Process, SocketAddr, String) {
    server.install_crd_yaml(&crd::yaml()).await;
    let namespace = server.namespace("monitored").await;
    let admin = ports::free_addr();
    let mut command = Command::new(programs::operator());
    command
        .env("KUBECONFIG", server.kubeconfig())
        .args(["run", "--terminator-image", "a", "--namespace", &namespace])
        .args(["--admin", &admin.to_string()]);
    let process = Process::spawn("operator", command);
    process.wait_for_line("listed all listeners", SOON);
    (process, admin, namespace)
}

/// Puts a leaf into the Secret `edge-tls`.
#[track_caller]
fn put_secret(server: &ApiServer, namespace: &str, leaf: &Leaf) {
    let secret = serde_json::json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "edge-tls"}, "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": leaf.chain_pem, "tls.key": leaf.key_pem},
    });
    let apply = ["apply", "-n", namespace, "-f", "-"];
    server
        .kubectl_with_input(&apply, &secret.to_string())
        .expect_success();
}

/// Renews the certificate of the listener `edge` by another CA, and ends its trial.
#[track_caller]
fn roll_back(server: &ApiServer, namespace: &str) {
    for ca in ["old CA", "new CA"] {
        put_secret(server, namespace, &Ca::new(ca).leaf().dns("edge").issue());
        // The first one is written before it is renewed.
        eventually_ok(SOON, "the certificate is written", || {
            let path = "jsonpath={.metadata.annotations}";
            let args = ["get", "-n", namespace, "secret", "edge-mqtts", "-o", path];
            let written = server.kubectl(&args).stdout;
            let is_it = written.contains("smartboot.tech/trials") == (ca == "new CA");
            (!written.is_empty() && is_it).then_some(()).ok_or(written)
        });
    }
    let id = eventually_ok(SOON, "the trial has an ID", || {
        let path = "jsonpath={.status.trials[0].id}";
        let args = ["get", "-n", namespace, "mtl", "edge", "-o", path];
        let id = server.kubectl(&args).stdout;
        if id.is_empty() { Err(id) } else { Ok(id) }
    });
    let end = format!("mqtt.smartboot.tech/trial=end:{id}");
    let args = ["annotate", "-n", namespace, "mtl", "edge", &end];
    server.kubectl(&args).expect_success();
}

/// With a listener without pods whose Secret is missing at first, and whose certificate is then rolled back, and a terminator whose
/// certificate some clients reject: only the alerts for these fire.
#[tokio::test(flavor = "multi_thread")]
async fn dashboard_and_alerts_have_data() {
    let terminator = Terminator::start(Mosquitto::shared(), |leaf| {
        leaf.dns("mqtt.example.com").must_staple()
    });
    let server = ApiServer::shared();
    let (_operator, admin, namespace) = start_operator(server).await;
    let labels = [("namespace", "smart-mqtt-tls"), ("pod", "operator-0")];
    let scrapes = [
        terminator.scrape(&namespace, "edge"),
        Scrape::fixed("mqtt-tls-operator", &[admin], &labels).honoring_labels(),
    ];
    let prometheus = Prometheus::start(&scrapes, &at_once(ALERTS));
    // Both counters were scraped at 0, so that what follows is an increase.
    prometheus.wait_for_data("mqtt_tls_connections_accepted_total == 0", SOON);
    prometheus.wait_for_data("mqtt_tls_operator_listeners == 0", SOON);
    terminator.publish();
    let listener = "apiVersion: mqtt.smartboot.tech/v1alpha1\nkind: MqttTlsListener\nmetadata: {name: edge}\n\
                    spec:\n  certificates: [{secretRef: {name: edge-tls}}]\n  \
                    backend: {address: {host: broker.example.com}}\n";
    let apply = ["apply", "-n", &namespace, "-f", "-"];
    server.kubectl_with_input(&apply, listener).expect_success();
    let labels = [("namespace", namespace.as_str()), ("listener", "edge")];
    prometheus.wait_for_alert("MqttTlsListenerNotReady", &labels, SOON);
    roll_back(server, &namespace);

    prometheus.wait_for_dashboard(DASHBOARD, SOON);
    let board = dashboard::queries(DASHBOARD);
    let of_board = board.iter().map(|query| query.expr.clone());
    let of_rules = rules();
    let of_rules = of_rules
        .iter()
        .map(|rule| rule["expr"].as_str().unwrap().to_owned());
    let asked: BTreeSet<String> = of_board
        .chain(of_rules)
        .flat_map(|expr| dashboard::selectors(&expr, &PREFIXES))
        .collect();
    assert!(asked.len() > 40, "{asked:?}");
    for series in asked {
        prometheus.wait_for_data(&series, SOON);
    }

    let rolled_back = "MqttTlsTrialRolledBack";
    prometheus.wait_for_alert(rolled_back, &labels, SOON);
    let doubtful = "MqttTlsCertificateDoubtful";
    prometheus.wait_for_only(&["MqttTlsListenerNotReady", doubtful, rolled_back], SOON);
}
