//! The operator as a program: its messages when it cannot work, and its admin port.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use mqtt_tls_operator::crd;
use rustix::process::Signal;
use tests::apiserver::ApiServer;
use tests::process::{Finished, Process, run};
use tests::wait::{eventually, eventually_async};
use tests::{ports, programs, workdir};

use crate::fixture::{Fixture, SOON, ask, root, start_operator};

/// The operator with this kubeconfig.
fn operator(kubeconfig: &Path) -> Command {
    operator_at(kubeconfig, ports::free_addr())
}

fn operator_at(kubeconfig: &Path, admin: SocketAddr) -> Command {
    let mut command = Command::new(programs::operator());
    let admin = admin.to_string();
    command
        .env("KUBECONFIG", kubeconfig)
        .env_remove("KUBERNETES_SERVICE_HOST")
        .args(["run", "--terminator-image", "a", "--admin", &admin]);
    command
}

fn run_to_end(kubeconfig: &Path) -> Finished {
    run(operator(kubeconfig), b"", SOON)
}

#[test]
fn an_unusable_kubeconfig_exits_with_a_message() {
    let folder = workdir::scratch("kubeconfig");
    let missing = run_to_end(&folder.join("missing"));
    let file = folder.join("wrong");
    std::fs::write(&file, "current-context: none\n").unwrap();
    let wrong = run_to_end(&file);
    for finished in [missing, wrong] {
        assert_eq!(finished.status.code(), Some(69));
        let stderr = &finished.stderr;
        assert!(
            stderr.contains("no usable kubeconfig, and not running in a cluster"),
            "{stderr}"
        );
    }
}

/// A kubeconfig for an API server that does not exist.
fn for_server(unused: SocketAddr) -> PathBuf {
    let file = workdir::scratch("kubeconfig").join("unused");
    let config = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: a\n\
         clusters: [{{name: a, cluster: {{server: 'http://{unused}'}}}}]\n\
         users: [{{name: a, user: {{}}}}]\n\
         contexts: [{{name: a, context: {{cluster: a, user: a}}}}]\n"
    );
    std::fs::write(&file, config).unwrap();
    file
}

#[test]
fn an_unreachable_api_server_is_logged_and_retried() {
    let unused = ports::free_addr();
    let file = for_server(unused);
    let process = Process::spawn("operator", operator(&file));
    process.wait_for_line(&format!("http://{unused}"), SOON);
    let line = process.wait_for_line("watch failed; retrying", SOON);
    assert!(line.contains("refused"), "{line}");
    process.signal(Signal::TERM);
    assert_eq!(process.wait_exit(SOON).code(), Some(0));
}

/// The bounds of the port are tested with the terminator, which shares its code.
#[test]
fn silent_connections_at_the_admin_port_do_not_add_up() {
    let admin = ports::free_addr();
    let process = Process::spawn(
        "operator",
        operator_at(&for_server(ports::free_addr()), admin),
    );
    process.wait_for_line("listening on admin port", SOON);
    let silent: Vec<_> = (0..300)
        .map(|_| TcpStream::connect(admin).unwrap())
        .collect();
    let mut probe = TcpStream::connect(admin).unwrap();
    probe.set_read_timeout(Some(SOON)).unwrap();
    probe.write_all(b"GET /livez HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    probe.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", process.pid()));
    assert!(descriptors.unwrap().count() < 150);
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_port_reports_health_and_metrics() {
    let cluster = Fixture::start("admin").await;
    cluster.apply_listener("edge", "");
    cluster
        .wait_for("edge", "ResolvedRefs", "False", "SecretNotFound")
        .await;
    let operator = cluster.operator.as_ref().unwrap();
    assert!(ask(operator, "/livez").starts_with("HTTP/1.1 200"));
    assert!(ask(operator, "/readyz").starts_with("HTTP/1.1 200"));
    // A status is written before its reconciliation is counted.
    let look = || async {
        let metrics = ask(operator, "/metrics");
        let wanted = [
            "mqtt_tls_operator_leader 1\n",
            "mqtt_tls_log_lines_dropped_total 0\n",
            "mqtt_tls_operator_listeners 1\n",
            "mqtt_tls_operator_reconciliations_total{outcome=\"done\"}",
            "mqtt_tls_operator_writes_total{kind=\"Service\",verb=\"apply\",outcome=\"ok\"} 1\n",
        ];
        wanted.iter().all(|one| metrics.contains(one)).then_some(())
    };
    eventually_async(SOON, "the metrics count the listener", look).await;
}

/// With a schema that accepts everything, as a definition of another origin might.
#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_object_gets_an_event_and_blocks_no_other() {
    let server = ApiServer::start();
    let mut crd: serde_json::Value =
        mqtt_tls_config::yaml::from_value(mqtt_tls_config::yaml::value(&crd::yaml()).unwrap())
            .unwrap();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"] =
        serde_json::json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let base = root().join("deploy/base");
    server
        .kubectl(&["apply", "-k", base.to_str().unwrap()])
        .expect_success();
    server.install_crd_yaml(&crd.to_string()).await;
    let operator = start_operator(&server, &[]);
    let manifest = |name: &str, secret: &str| {
        format!(
            "apiVersion: mqtt.smartboot.tech/v1alpha1\nkind: MqttTlsListener\nmetadata: {{name: {name}}}\n\
             spec:\n  certificates: [{{secretRef: {secret}}}]\n  backend: {{address: {{host: a.b}}}}\n"
        )
    };
    let apply = ["apply", "-n", "default", "-f", "-"];
    for (name, secret) in [("bad", "'MIIEsecret'"), ("good", "{name: a}")] {
        // The new schema takes effect a moment after it was accepted.
        eventually(SOON, "the object is accepted", || {
            let applied = server.kubectl_with_input(&apply, &manifest(name, secret));
            applied.status.success().then_some(())
        });
    }
    let events: Api<Event> = Api::namespaced(server.client().await, "default");
    let look = || async {
        let events = events.list(&ListParams::default()).await.unwrap().items;
        events
            .into_iter()
            .find(|event| event.reason.as_deref() == Some("Malformed"))
    };
    let event = eventually_async(SOON, "there is an event", look).await;
    let note = event.note.unwrap();
    assert!(
        note.contains("invalid MqttTlsListener") && !note.contains("MIIE"),
        "{note}"
    );
    let wait = ["wait", "--for=condition=ResolvedRefs=false", "mtl/good"];
    server.kubectl(&wait).expect_success();
    // It has no conditions; the alert about listeners that are not ready depends on this metric.
    let series = "mqtt_tls_operator_listener_condition{namespace=\"default\",listener=\"bad\",\
                condition=\"Ready\",status=\"False\"} 1\n";
    assert!(ask(&operator, "/metrics").contains(series));
    assert!(!operator.log().contains("MIIE"));
}
