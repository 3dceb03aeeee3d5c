//! Several hosts behind one port: each is rendered, proved and reported by its own objects, and one that is not right
//! changes nothing for the others.

use std::fmt::Write as _;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams};
use mqtt_tls_config::{ClientAuthMode, Config, UnknownNames};
use mqtt_tls_operator::crd::{HOSTS_MAX, HostStatus, NAMES_MAX};
use tests::pki::Ca;
use tests::pods::write;
use tests::wait::eventually_async;

use crate::fixture::{Fixture, SOON, listener};
use crate::prove::{broker, mounted, start};

/// Two hosts beside the listener.
const HOSTS: &str = "  replicas: 1
  unknownNames: Refuse
  hosts:
  - names: [a.example.com, '*.a.example.com']
    certificates: [{secretRef: {name: a-tls}}]
    clientAuth: {mode: Require, caRef: {kind: ConfigMap, name: a-ca}}
    backend: {address: {host: broker-a.example.com}}
  - names: [b.example.com]
    certificates: [{secretRef: {name: b-tls}}]
";

async fn put_map(cluster: &Fixture, name: &str, ca: &Ca) {
    let map = ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some([("ca.crt".to_owned(), ca.cert_pem())].into()),
        ..ConfigMap::default()
    };
    let params = PatchParams::apply("user").force();
    let maps = cluster.api::<ConfigMap>();
    maps.patch(name, &params, &Patch::Apply(&map))
        .await
        .unwrap();
}

/// Waits until the status lists exactly these hosts, with these reasons.
async fn wait_for_hosts(cluster: &Fixture, wanted: &[(&str, &str)]) -> Vec<HostStatus> {
    let look = || async {
        let hosts = cluster.listener("edge").await.status?.hosts;
        let found = hosts.iter().map(|host| (&*host.name, &*host.reason));
        found.eq(wanted.iter().copied()).then_some(hosts)
    };
    eventually_async(SOON, &format!("the status lists {wanted:?}"), look).await
}

fn names(config: &Config) -> Vec<&str> {
    config.hosts.iter().map(|host| &*host.names[0]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_host_follows_its_own_objects() {
    let cluster = Fixture::start("hosts").await;
    cluster.put_tls("edge-tls", &cluster.leaf("edge")).await;
    let (a, devices) = (cluster.leaf("a"), Ca::new("devices of a"));
    cluster.put_tls("a-tls", &a).await;
    cluster.apply_listener("edge", HOSTS);
    // The second host has no Secret, and the first no CA.
    let wrong = wait_for_hosts(
        &cluster,
        &[
            ("a.example.com", "CaNotFound"),
            ("b.example.com", "SecretNotFound"),
        ],
    )
    .await;
    assert!(wrong[0].message.contains("ConfigMap a-ca"), "{wrong:?}");
    let refs = cluster
        .wait_for("edge", "ResolvedRefs", "False", "CaNotFound")
        .await;
    let second = "hosts[1] (b.example.com): Secret b-tls does not exist";
    assert!(refs.message.contains(second), "{}", refs.message);
    put_map(&cluster, "a-ca", &devices).await;
    let config = cluster
        .wait_for_config("edge", "the first host", |config| !config.hosts.is_empty())
        .await;
    assert_eq!(names(&config), ["a.example.com"]);
    assert_eq!(config.unknown_names, UnknownNames::Refuse);
    let host = &config.hosts[0];
    let auth = host.client_auth.as_ref().unwrap();
    assert_eq!(auth.mode, ClientAuthMode::Require);
    assert_eq!(host.backend.as_ref().unwrap().host, "broker-a.example.com");

    cluster.put_tls("b-tls", &cluster.leaf("b")).await;
    wait_for_hosts(&cluster, &[]).await;
    // What is lost stays served, and the client authentication stays.
    let maps = cluster.api::<ConfigMap>();
    maps.delete("a-ca", &DeleteParams::default()).await.unwrap();
    wait_for_hosts(&cluster, &[("a.example.com", "CaNotFound")]).await;
    let renewed = cluster.leaf("b");
    cluster.put_tls("b-tls", &renewed).await;
    let is_new = |config: &Config| {
        let pem = config.hosts[1].pem.as_ref();
        pem.is_some_and(|pem| pem.expose().contains(renewed.key_pem.trim()))
    };
    let config = cluster
        .wait_for_config("edge", "the renewed certificate of the other", is_new)
        .await;
    assert_eq!(names(&config), ["a.example.com", "b.example.com"]);
    let auth = config.hosts[0].client_auth.as_ref().unwrap();
    let ca = auth.ca.as_ref().map(|ca| ca.expose().trim_end().to_owned());
    assert_eq!(ca.as_deref(), Some(devices.cert_pem().trim_end()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificates_of_hosts_are_proved() {
    let cluster = Fixture::start("prove-hosts").await;
    let (_broker, port) = broker().await;
    for name in ["edge", "a", "b"] {
        let leaf = cluster.leaf(name);
        cluster.put_tls(&format!("{name}-tls"), &leaf).await;
    }
    put_map(&cluster, "a-ca", &Ca::new("devices of a")).await;
    cluster.apply_listener("edge", HOSTS);
    cluster.wait_until_programmed("edge").await;
    cluster.run_pods("edge").await;
    let pod = start(&cluster, "edge-mqtts-1", port).await;
    let served = "CertificateServed";
    cluster.wait_for("edge", served, "True", served).await;

    // After a renewal, the pod runs the wanted version with another certificate for one of the hosts.
    let renewed = cluster.leaf("b");
    cluster.put_tls("b-tls", &renewed).await;
    let is_new = |config: &Config| {
        let pem = config.hosts[1].pem.as_ref();
        pem.is_some_and(|pem| pem.expose().contains(renewed.key_pem.trim()))
    };
    cluster
        .wait_for_config("edge", "it is rendered", is_new)
        .await;
    let mut config = mounted(&cluster, pod.ip, port).await;
    config.hosts[1].pem = config.hosts[0].pem.clone();
    write(&pod.file, &config);
    let other = cluster
        .wait_for("edge", served, "False", "OtherCertificate")
        .await;
    assert!(
        other.message.contains("(b.example.com: "),
        "{}",
        other.message
    );
    // The broker's name does not exist.
    let unreached = cluster
        .wait_for("edge", "BackendReachable", "Unknown", "NotReachedYet")
        .await;
    let said = "host a.example.com, broker-a.example.com:1883: ";
    assert!(unreached.message.contains(said), "{}", unreached.message);
    let secret = cluster.child::<Secret>("edge").await;
    let annotations = secret.metadata.annotations.unwrap();
    let sources = &annotations["mqtt.smartboot.tech/sources"];
    assert!(sources.contains("\"name\":\"b-tls\""), "{sources}");
}

/// Returns the manifest of a listener with so many hosts, each of which has so many names.
fn many(hosts: usize, names: usize) -> String {
    let mut manifest = listener("edge", "edge-tls", "  hosts:\n");
    for host in 0..hosts {
        let names: Vec<String> = (0..names)
            .map(|name| format!("device-{name}.tenant-{host}.example.com"))
            .collect();
        let names = names.join(", ");
        writeln!(manifest, "  - names: [{names}]").unwrap();
    }
    manifest
}

#[tokio::test(flavor = "multi_thread")]
async fn the_most_hosts_and_names_are_rendered_and_more_are_refused() {
    let cluster = Fixture::start("most-hosts").await;
    cluster.put_tls("edge-tls", &cluster.leaf("edge")).await;
    cluster.apply(&many(HOSTS_MAX, NAMES_MAX / HOSTS_MAX));
    cluster.wait_until_programmed("edge").await;
    cluster
        .wait_for_config("edge", "all hosts", |config| {
            config.hosts.len() == HOSTS_MAX
        })
        .await;
    cluster.apply(&many(10, 100));
    cluster
        .wait_for_config("edge", "all names", |config| config.hosts.len() == 10)
        .await;
    let args = [
        "apply",
        "--server-side",
        "-n",
        &cluster.namespace,
        "-f",
        "-",
    ];
    for (manifest, why) in [
        (many(11, 91), "all hosts together have more than 1000 names"),
        (many(HOSTS_MAX + 1, 1), "spec.hosts: Too many: 65"),
        (many(1, 101), "spec.hosts[0].names: Too many: 101"),
    ] {
        let refused = cluster.server.kubectl_with_input(&args, &manifest);
        assert!(!refused.status.success());
        assert!(refused.stderr.contains(why), "{}", refused.stderr);
    }
}
