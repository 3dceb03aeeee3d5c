//! The Role for a single watched namespace is sufficient for the operator.

use std::process::Command;

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use tests::apiserver::ApiServer;
use tests::process::Process;
use tests::wait::eventually_async;
use tests::{ports, programs};

use crate::render::{LONG, NAMESPACE, root};

const LISTENER: &str = "
apiVersion: mqtt.smartboot.tech/v1alpha1
kind: MqttTlsListener
metadata: {name: edge, namespace: smart-mqtt-tls}
spec: {certificates: [{secretRef: {name: absent}}], backend: {service: {name: smart-mqtt}}}
";

#[tokio::test(flavor = "multi_thread")]
async fn the_role_of_one_namespace_suffices() {
    let server = ApiServer::start();
    let overlay = root().join("deploy/overlays/namespaced");
    server
        .kubectl(&["apply", "-k", overlay.to_str().unwrap()])
        .expect_success();
    let wait = ["wait", "--for=condition=Established", "crd", "--all"];
    server.kubectl(&wait).expect_success();
    let operator = start_operator(&server);
    server
        .kubectl_with_input(&["apply", "-f", "-"], LISTENER)
        .expect_success();
    let unresolved = "--for=condition=ResolvedRefs=false";
    let wait = [
        "wait",
        unresolved,
        "-n",
        NAMESPACE,
        "mtl/edge",
        "--timeout=30s",
    ];
    server.kubectl(&wait).expect_success();
    let leases: Api<Lease> = Api::namespaced(server.client().await, NAMESPACE);
    let look = || async {
        let spec = leases.get("mqtt-tls-operator").await.unwrap().spec?;
        spec.holder_identity.filter(|holder| !holder.is_empty())
    };
    eventually_async(LONG, "the installed Lease is held", look).await;
    let account = format!("system:serviceaccount:{NAMESPACE}:mqtt-tls-operator");
    let (mut asked, mut refused) = (0, Vec::new());
    for event in server.audit_events() {
        if event.user.username == account {
            asked += 1;
            if event
                .response_status
                .as_ref()
                .is_some_and(|status| status.code == 403)
            {
                refused.push(event);
            }
        }
    }
    assert!(asked > 5, "{asked}\n{}", operator.log());
    assert!(refused.is_empty(), "{refused:#?}");
}

/// Starts the operator like the overlay's pod.
fn start_operator(server: &ApiServer) -> Process {
    let admin = ports::free_addr().to_string();
    let mut command = Command::new(programs::operator());
    command
        .env(
            "KUBECONFIG",
            server.kubeconfig_for_service_account(NAMESPACE, "mqtt-tls-operator"),
        )
        .env("MQTT_TLS_NAMESPACE", NAMESPACE)
        .env("POD_NAMESPACE", NAMESPACE)
        .env("POD_NAME", "mqtt-tls-operator-1")
        .env("MQTT_TLS_TERMINATOR_IMAGE", "mqtt-tls-terminator:test")
        .env("MQTT_TLS_ADMIN", admin)
        .arg("run");
    let process = Process::spawn("operator", command);
    process.wait_for_line("listed all listeners", LONG);
    process
}
