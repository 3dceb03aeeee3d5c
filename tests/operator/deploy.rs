//! A cluster accepts what is in `deploy/`: base and samples, with server-side validation, and the operator's own
//! pod under restricted pod security.

use std::process::Command;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ObjectMeta;
use tests::apiserver::ApiServer;
use tests::process::run;
use tests::programs;

use crate::fixture::{Fixture, SOON, installed, root, start_operator};

fn folder(name: &str) -> String {
    root()
        .join("deploy")
        .join(name)
        .to_str()
        .unwrap()
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn base_and_samples_are_accepted() {
    let server = installed().await;
    let namespace = server.namespace("samples").await;
    let dry = [
        "apply",
        "--server-side",
        "--dry-run=server",
        "--validate=strict",
        "--force-conflicts",
    ];
    let (base, samples) = (folder("base"), folder("samples"));
    let base = [&dry[..], &["-k", &base]].concat();
    let output = server.kubectl(&base).expect_success().stderr;
    assert!(!output.contains("Warning"), "{output}");
    let samples = [&dry[..], &["-n", &namespace, "-k", &samples]].concat();
    let output = server.kubectl(&samples).expect_success().stderr;
    assert!(!output.contains("Warning"), "{output}");
}

/// With the README's commands, by client-side and by server-side apply.
#[tokio::test(flavor = "multi_thread")]
async fn everything_installs_at_once_into_an_empty_cluster() {
    let server = ApiServer::start();
    let (all, samples) = (folder(""), folder("samples"));
    server.kubectl(&["apply", "-k", &all]).expect_success();
    let crd = run(
        {
            let mut command = Command::new(programs::operator());
            command.arg("crd");
            command
        },
        b"",
        SOON,
    )
    .expect_success();
    let output = server
        .kubectl_with_input(&["apply", "-f", "-"], &crd.stdout)
        .expect_success();
    assert!(output.stdout.contains("unchanged"), "{}", output.stdout);
    let server_side = ["apply", "--server-side", "--force-conflicts", "-k", &all];
    server.kubectl(&server_side).expect_success();
    let established = "--for=condition=Established";
    let crd = "crd/mqtttlslisteners.mqtt.smartboot.tech";
    server.kubectl(&["wait", established, crd]).expect_success();
    let found = server
        .kubectl(&["get", "deployment", "-n", "smart-mqtt-tls"])
        .expect_success()
        .stdout;
    assert!(found.contains("mqtt-tls-operator"), "{found}");
    // It watches all namespaces.
    let operator = start_operator(&server, &[]);
    server.kubectl(&["apply", "-k", &samples]).expect_success();
    let (wait, unresolved) = ("wait", "--for=condition=ResolvedRefs=false");
    server
        .kubectl(&[
            wait,
            unresolved,
            "mtl/edge",
            "mtl/mutual",
            "mtl/from-plugin",
        ])
        .expect_success();
    let explained = server
        .kubectl(&["explain", "mqtttlslistener.spec.clientAuth"])
        .expect_success()
        .stdout;
    assert!(explained.contains("caRef"), "{explained}");
    assert!(operator.is_running());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_pod_passes_restricted_pod_security() {
    let cluster = Fixture::without_operator("own-pod").await;
    let text = std::fs::read_to_string(root().join("deploy/base/operator.yaml")).unwrap();
    let value = mqtt_tls_config::yaml::value(&text).unwrap();
    let mut pod = serde_json::to_value(&value["spec"]["template"]).unwrap();
    pod["apiVersion"] = "v1".into();
    pod["kind"] = "Pod".into();
    pod["metadata"]["name"] = "operator".into();
    // No controller here creates the service account.
    pod["spec"]["serviceAccountName"] = "default".into();
    let account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: default}\n";
    cluster.apply(account);
    cluster.apply(&pod.to_string());
}

/// Its Deployments and pods are admitted without a warning, also with a port that needs a sysctl.
#[tokio::test(flavor = "multi_thread")]
async fn the_terminators_pass_restricted_pod_security() {
    let cluster = Fixture::start("restricted").await;
    let namespace = cluster.namespace.as_str();
    let warn = "pod-security.kubernetes.io/warn=restricted";
    let label = ["label", "namespace", namespace, warn];
    cluster.server.kubectl(&label).expect_success();
    for (name, more) in [("edge", ""), ("low", "  port: 443\n")] {
        cluster
            .put_tls(&format!("{name}-tls"), &cluster.leaf(name))
            .await;
        cluster.apply_listener(name, more);
        let made = cluster.child::<Deployment>(name).await;
        let template = made.spec.clone().unwrap().template;
        let deployment = Deployment {
            metadata: ObjectMeta {
                name: Some(format!("{name}-again")),
                ..ObjectMeta::default()
            },
            ..made
        };
        let pod = Pod {
            metadata: ObjectMeta {
                name: Some(format!("{name}-pod")),
                ..template.metadata.unwrap()
            },
            spec: template.spec,
            status: None,
        };
        cluster.make_pod(name, &format!("{name}-mqtts-1")).await;
        let objects = [
            serde_json::to_string(&deployment).unwrap(),
            serde_json::to_string(&pod).unwrap(),
        ];
        for object in objects {
            let dry = ["create", "--dry-run=server", "-n", namespace, "-f", "-"];
            let output = cluster
                .server
                .kubectl_with_input(&dry, &object)
                .expect_success();
            assert_eq!(output.stderr, "", "{object}");
        }
    }
}
