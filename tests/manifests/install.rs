//! `helm install`, `upgrade` and `uninstall` against a real API server. There are no controllers and no pods
//! here: where a Job must run, the test runs its program, with the rights of the Job's account.

use std::process::Command;

use tests::apiserver::ApiServer;
use tests::process::{Finished, Process, run};
use tests::wait::eventually;
use tests::{assets, programs};

use crate::render::{LONG, NAMESPACE, RELEASE, case, chart, ci_values, helm, root};

/// The Job that brings the resource definition up to date, and its account.
const JOB: &str = "mqtt-tls-operator-crd";

const CRD: &str = "mqtttlslisteners.mqtt.smartboot.tech";

/// What the Job's controller would say of one that is done.
const DONE: &str = r#"{"status": {"succeeded": 1, "ready": 0,
  "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:01Z",
  "conditions": [{"type": "SuccessCriteriaMet", "status": "True", "lastTransitionTime": "2026-01-01T00:00:01Z"},
                 {"type": "Complete", "status": "True", "lastTransitionTime": "2026-01-01T00:00:01Z"}]}}"#;

/// And of one whose pods all failed.
const FAILED: &str = r#"{"status": {"failed": 4, "ready": 0, "startTime": "2026-01-01T00:00:00Z",
  "conditions": [{"type": "FailureTarget", "status": "True", "reason": "BackoffLimitExceeded", "lastTransitionTime": "2026-01-01T00:00:01Z"},
                 {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "lastTransitionTime": "2026-01-01T00:00:01Z"}]}}"#;

const LISTENER: &str = "
apiVersion: mqtt.smartboot.tech/v1alpha1
kind: MqttTlsListener
metadata: {name: mine, namespace: iot}
spec: {certificates: [{secretRef: {name: absent}}], backend: {service: {name: smart-mqtt}}}
";

/// A server with the namespaces that the values speak of.
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

/// A command of the administrator's.
fn helm_at(server: &ApiServer, args: &[&str]) -> Command {
    let mut command = helm();
    command.env("KUBECONFIG", server.kubeconfig()).args(args);
    command
}

fn try_helm(server: &ApiServer, args: &[&str]) -> Finished {
    run(helm_at(server, args), b"", LONG)
}

/// Starts helm, and waits until its hook's Job is there, and not one that failed earlier.
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

/// What the Job's controller would write into its status.
fn end_job(server: &ApiServer, status: &str) {
    let patch = ["patch", "job", JOB, "-n", NAMESPACE, "--subresource=status"];
    server
        .kubectl(&[&patch[..], &["--type=merge", "-p", status]].concat())
        .expect_success();
}

/// Runs helm, and what its hook's Job would run.
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

/// Makes the resource definition what it was in some earlier release.
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

/// Everything in the cluster that is ours, by its labels; not the definition, which has none.
fn what_is_there(server: &ApiServer) -> Vec<String> {
    let types = ["api-resources", "--verbs=list", "-o", "name"];
    let types = server.kubectl(&types).expect_success().stdout;
    let types = types.lines().collect::<Vec<_>>().join(",");
    let labels = "app.kubernetes.io/part-of=smart-mqtt";
    let get = ["get", &types, "-A", "-l", labels, "-o", "name"];
    let found = server.kubectl(&get).expect_success().stdout;
    found.lines().map(str::to_owned).collect()
}

#[test]
fn the_definition_is_brought_up_to_date_and_stays_with_what_users_made() {
    let server = server();
    let chart = chart();
    let chart = chart.to_str().unwrap();
    let install = ["install", RELEASE, chart, "-n", NAMESPACE];
    helm_with_job(&server, &install);
    assert!(is_current(&server));
    let all = what_is_there(&server);
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
    assert_eq!(what_is_there(&server), [""; 0]);
    let mine = ["get", "mtl", "mine", "-n", "iot"];
    server.kubectl(&mine).expect_success();

    // What an earlier release left is brought up to date by an installation too.
    age_the_definition(&server);
    helm_with_job(&server, &install);
    assert!(is_current(&server));
    server.kubectl(&mine).expect_success();
}

/// The operator of a release must not run on a definition that it does not know. The Job is for whoever reads its
/// pod's log, and goes an hour later; its account and rights go at once.
#[test]
fn a_definition_that_cannot_be_brought_up_to_date_stops_the_upgrade() {
    let server = server();
    let chart = chart();
    let args = ["install", RELEASE, chart.to_str().unwrap(), "-n", NAMESPACE];
    let helm = helm_up_to_its_job(&server, &args);
    end_job(&server, FAILED);
    assert!(!helm.wait_exit(LONG).success(), "{}", helm.log());
    assert_eq!(what_is_there(&server), [format!("job.batch/{JOB}")]);
    // Once more, when the reason is gone: what is left is not in the way.
    let again = ["upgrade", "--install", RELEASE, args[2], "-n", NAMESPACE];
    helm_with_job(&server, &again);
    let all = what_is_there(&server);
    assert!(all.iter().any(|one| one.contains("deployment")), "{all:?}");
}

#[test]
fn every_case_of_values_is_installed_and_leaves_nothing() {
    let server = server();
    let monitors = assets::prometheus_operator_crds();
    let apply = ["apply", "--server-side", "-f", monitors.to_str().unwrap()];
    server.kubectl(&apply).expect_success();
    let chart = chart();
    for values in ci_values() {
        let (case, values) = (case(&values), values.to_str().unwrap());
        let install = ["install", RELEASE, chart.to_str().unwrap(), "-n", NAMESPACE];
        // Nobody would run the Job here.
        let more = ["--no-hooks", "--values", values];
        let said = try_helm(&server, &[&install[..], &more].concat()).expect_success();
        assert!(said.stdout.contains("kubectl"), "{case}: {}", said.stdout);
        assert!(!said.stderr.contains("arning"), "{case}: {}", said.stderr);
        let all = what_is_there(&server);
        assert!(
            all.iter().any(|one| one.contains("deployment")),
            "{case}: {all:?}"
        );
        let uninstall = ["uninstall", RELEASE, "-n", NAMESPACE, "--no-hooks"];
        try_helm(&server, &uninstall).expect_success();
        eventually(LONG, &format!("{case}: all is gone"), || {
            what_is_there(&server).is_empty().then_some(())
        });
    }
}

#[test]
fn a_second_operator_for_the_same_namespaces_is_refused() {
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
fn whoever_has_a_namespace_alone_installs_into_it() {
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
