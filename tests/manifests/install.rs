//! `helm install`, `upgrade` and `uninstall` against a real API server, without controllers and pods: where a Job must
//! run, the test runs its program with the permissions of the Job's account.

use std::process::Command;

use tests::apiserver::ApiServer;
use tests::process::{Finished, Process, run};
use tests::wait::eventually;
use tests::{assets, programs};

use crate::render::{LONG, NAMESPACE, RELEASE, case, chart, ci_values, helm, root};

/// The Job that updates the resource definition, and its account.
const JOB: &str = "mqtt-tls-operator-crd";

const CRD: &str = "mqtttlslisteners.mqtt.smartboot.tech";

/// The status that the Job controller writes for a completed Job.
const DONE: &str = r#"{"status": {"succeeded": 1, "ready": 0,
  "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:01Z",
  "conditions": [{"type": "SuccessCriteriaMet", "status": "True", "lastTransitionTime": "2026-01-01T00:00:01Z"},
                 {"type": "Complete", "status": "True", "lastTransitionTime": "2026-01-01T00:00:01Z"}]}}"#;

/// The status that the Job controller writes if all pods failed.
const FAILED: &str = r#"{"status": {"failed": 4, "ready": 0, "startTime": "2026-01-01T00:00:00Z",
  "conditions": [{"type": "FailureTarget", "status": "True", "reason": "BackoffLimitExceeded", "lastTransitionTime": "2026-01-01T00:00:01Z"},
                 {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "lastTransitionTime": "2026-01-01T00:00:01Z"}]}}"#;

const LISTENER: &str = "
apiVersion: mqtt.smartboot.tech/v1alpha1
kind: MqttTlsListener
metadata: {name: mine, namespace: iot}
spec: {certificates: [{secretRef: {name: absent}}], backend: {service: {name: smart-mqtt}}}
";

/// An API server with the namespaces in the values.
fn server() -> ApiServer {
    let server = ApiServer::start();
    for namespace in [NAMESPACE, "iot", "other"] {
        server
            .kubectl(&["create", "namespace", namespace])
            .expect_success();
        let enforced = "pod-security.kubernetes.io/enforce=restricted";
        server
            .kubectl(&["label", "namespace", namespace, enforced])
            .expect_success();
    }
    server
}

/// A helm command with an administrator's permissions.
fn helm_at(server: &ApiServer, args: &[&str]) -> Command {
    let mut command = helm();
    command.env("KUBECONFIG", server.kubeconfig()).args(args);
    command
}

fn try_helm(server: &ApiServer, args: &[&str]) -> Finished {
    run(helm_at(server, args), b"", LONG)
}

/// Starts helm, and waits for its hook's new Job, not for one that failed earlier.
fn helm_up_to_its_job(server: &ApiServer, args: &[&str]) -> Process {
    let helm = Process::spawn("helm", helm_at(server, args));
    let conditions = "jsonpath={.status.conditions}";
    let get = ["get", "job", JOB, "-n", NAMESPACE, "-o", conditions];
    helm.wait_until("there is the Job", LONG, || {
        let found = server.kubectl(&get);
        (found.status.success() && found.stdout.is_empty()).then_some(())
    });
    helm
}

/// Writes the Job's status in place of its controller.
fn end_job(server: &ApiServer, status: &str) {
    let patch = ["patch", "job", JOB, "-n", NAMESPACE, "--subresource=status"];
    server
        .kubectl(&[&patch[..], &["--type=merge", "-p", status]].concat())
        .expect_success();
}

/// Runs helm and the program of its hook's Job.
fn helm_with_job(server: &ApiServer, args: &[&str]) {
    let helm = helm_up_to_its_job(server, args);
    let mut command = Command::new(programs::operator());
    command.args(["crd", "--apply"]).env(
        "KUBECONFIG",
        server.kubeconfig_for_service_account(NAMESPACE, JOB),
    );
    run(command, b"", LONG).expect_success();
    end_job(server, DONE);
    let status = helm.wait_exit(LONG);
    assert!(status.success(), "{}", helm.log());
}

/// Replaces the resource definition by one of an earlier release.
fn age_the_definition(server: &ApiServer) {
    let older = r#"[{"op": "remove", "path": "/spec/versions/0/additionalPrinterColumns"},
                    {"op": "remove", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/pod"}]"#;
    server
        .kubectl(&["patch", "crd", CRD, "--type=json", "-p", older])
        .expect_success();
    assert!(!is_current(server));
}

fn is_current(server: &ApiServer) -> bool {
    let path = "jsonpath={.spec.versions[0].additionalPrinterColumns[0].name} \
                {.spec.versions[0].schema.openAPIV3Schema.properties.spec.properties.pod.type}";
    let found = server
        .kubectl(&["get", "crd", CRD, "-o", path])
        .expect_success();
    found.stdout == "Ready object"
}

/// Lists the chart's objects in the cluster by label; not the definition, which has no labels.
fn installed_objects(server: &ApiServer) -> Vec<String> {
    let types = ["api-resources", "--verbs=list", "-o", "name"];
    let types = server.kubectl(&types).expect_success().stdout;
    let types = types.lines().collect::<Vec<_>>().join(",");
    let labels = "app.kubernetes.io/part-of=smart-mqtt";
    let get = ["get", &types, "-A", "-l", labels, "-o", "name"];
    let found = server.kubectl(&get).expect_success().stdout;
    found.lines().map(str::to_owned).collect()
}

#[test]
fn the_definition_is_updated_and_survives_uninstalling_with_the_listeners() {
    let server = server();
    let chart = chart();
    let chart = chart.to_str().unwrap();
    let install = ["install", RELEASE, chart, "-n", NAMESPACE];
    helm_with_job(&server, &install);
    assert!(is_current(&server));
    let all = installed_objects(&server);
    assert!(all.iter().any(|one| one.contains("deployment")), "{all:?}");
    assert!(!all.iter().any(|one| one.contains(JOB)), "{all:?}");

    age_the_definition(&server);
    let more = [
        "upgrade",
        RELEASE,
        chart,
        "-n",
        NAMESPACE,
        "--set",
        "concurrency=9",
    ];
    helm_with_job(&server, &more);
    assert!(is_current(&server));

    // A rollback runs no hook: the definition stays.
    let rollback = ["rollback", RELEASE, "1", "-n", NAMESPACE];
    try_helm(&server, &rollback).expect_success();
    assert!(is_current(&server));

    server
        .kubectl_with_input(&["apply", "-f", "-"], LISTENER)
        .expect_success();
    let uninstall = ["uninstall", RELEASE, "-n", NAMESPACE, "--wait"];
    try_helm(&server, &uninstall).expect_success();
    assert_eq!(installed_objects(&server), [""; 0]);
    let mine = ["get", "mtl", "mine", "-n", "iot"];
    server.kubectl(&mine).expect_success();

    // An installation also updates the definition of an earlier release.
    age_the_definition(&server);
    helm_with_job(&server, &install);
    assert!(is_current(&server));
    server.kubectl(&mine).expect_success();
}

/// An operator must not run with an unknown definition. The failed Job stays for an hour, for its pod's log; its account
/// and permissions are deleted at once.
#[test]
fn a_failed_update_of_the_definition_stops_the_upgrade() {
    let server = server();
    let chart = chart();
    let args = ["install", RELEASE, chart.to_str().unwrap(), "-n", NAMESPACE];
    let helm = helm_up_to_its_job(&server, &args);
    end_job(&server, FAILED);
    assert!(!helm.wait_exit(LONG).success(), "{}", helm.log());
    assert_eq!(installed_objects(&server), [format!("job.batch/{JOB}")]);
    // A retry, once the cause is gone: the old Job does not prevent it.
    let again = ["upgrade", "--install", RELEASE, args[2], "-n", NAMESPACE];
    helm_with_job(&server, &again);
    let all = installed_objects(&server);
    assert!(all.iter().any(|one| one.contains("deployment")), "{all:?}");
}

#[test]
fn every_ci_case_is_installed_and_leaves_nothing() {
    let server = server();
    let monitors = assets::prometheus_operator_crds();
    let apply = ["apply", "--server-side", "-f", monitors.to_str().unwrap()];
    server.kubectl(&apply).expect_success();
    let chart = chart();
    for values in ci_values() {
        let (case, values) = (case(&values), values.to_str().unwrap());
        let install = ["install", RELEASE, chart.to_str().unwrap(), "-n", NAMESPACE];
        // No controller runs the Job here.
        let more = ["--no-hooks", "--values", values];
        let output = try_helm(&server, &[&install[..], &more].concat()).expect_success();
        assert!(
            output.stdout.contains("kubectl"),
            "{case}: {}",
            output.stdout
        );
        assert!(
            !output.stderr.contains("arning"),
            "{case}: {}",
            output.stderr
        );
        let all = installed_objects(&server);
        assert!(
            all.iter().any(|one| one.contains("deployment")),
            "{case}: {all:?}"
        );
        let uninstall = ["uninstall", RELEASE, "-n", NAMESPACE, "--no-hooks"];
        try_helm(&server, &uninstall).expect_success();
        eventually(LONG, &format!("{case}: all objects are deleted"), || {
            installed_objects(&server).is_empty().then_some(())
        });
    }
}

#[test]
fn a_second_operator_for_the_same_namespaces_is_rejected() {
    let server = server();
    let chart = chart();
    let chart = chart.to_str().unwrap();
    let install = |release: &str, namespace: &str, more: &[&str]| {
        let args = ["install", release, chart, "-n", namespace, "--no-hooks"];
        try_helm(&server, &[&args[..], more].concat())
    };
    let one = ["--set", "watchNamespace=iot"];
    install("one", NAMESPACE, &one).expect_success();
    let second = install("two", "other", &one);
    assert!(!second.status.success());
    assert!(
        second.stderr.contains("Role \"mqtt-tls-operator\""),
        "{}",
        second.stderr
    );
    install("three", "other", &["--set", "watchNamespace=other"]).expect_success();
    for release in [("one", NAMESPACE), ("three", "other")] {
        let uninstall = ["uninstall", release.0, "-n", release.1];
        try_helm(&server, &uninstall).expect_success();
    }
    install("all", NAMESPACE, &[]).expect_success();
    let second = install("all-too", "other", &[]);
    assert!(!second.status.success());
    assert!(
        second.stderr.contains("ClusterRole \"mqtt-tls-operator\""),
        "{}",
        second.stderr
    );
}

#[test]
fn the_administrator_of_a_namespace_can_install_into_it() {
    let server = server();
    let crd = root().join("deploy/crd.yaml");
    server
        .kubectl(&["apply", "--server-side", "-f", crd.to_str().unwrap()])
        .expect_success();
    let binding = ["create", "rolebinding", "team", "-n", "iot", "--user=team"];
    server
        .kubectl(&[&binding[..], &["--clusterrole=cluster-admin"]].concat())
        .expect_success();
    let chart = chart();
    let install = ["install", RELEASE, chart.to_str().unwrap(), "-n", "iot"];
    let own = [
        "--skip-crds",
        "--set",
        "watchNamespace=iot,crds.upgrade=false",
    ];
    let as_team = |args: &[&str]| {
        let mut command = helm_at(&server, args);
        command.env("KUBECONFIG", server.kubeconfig_for("team", &[]));
        run(command, b"", LONG)
    };
    let all = as_team(&[&install[..], &["--skip-crds", "--no-hooks"]].concat());
    assert!(all.stderr.contains("forbidden"), "{}", all.stderr);
    as_team(&["uninstall", RELEASE, "-n", "iot", "--ignore-not-found"]).expect_success();
    as_team(&[&install[..], &own].concat()).expect_success();
}
