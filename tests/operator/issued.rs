//! Certificates that cert-manager's own controllers issue for a listener, in a cluster that does not have cert-manager at first.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::ResourceExt;
use kube::api::ListParams;
use mqtt_tls_config::Config;
use mqtt_tls_judge::certificate::{self, Facts};
use mqtt_tls_judge::pem::Part;
use mqtt_tls_operator::kinds::certificate::Certificate;
use tests::apiserver::ApiServer;
use tests::cert_manager;
use tests::process::Process;
use tests::wait::eventually_async;

use crate::fixture::{Fixture, SOON, start_operator};

/// Allows for the backoff of a watch that has failed several times.
const NOTICED: Duration = Duration::from_secs(90);

/// A CA that issues for its namespace.
const ISSUERS: &str = "apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {name: self-signed}
spec: {selfSigned: {}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: ca}
spec:
  isCA: true
  commonName: CA
  secretName: ca
  privateKey: {algorithm: ECDSA, size: 256, rotationPolicy: Never}
  issuerRef: {name: self-signed}
---
apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {name: ca}
spec: {ca: {secretName: ca}}
";

fn listener(certificates: &str) -> String {
    format!(
        "apiVersion: mqtt.smartboot.tech/v1alpha1
kind: MqttTlsListener
metadata: {{name: edge}}
spec:
  certificates:
{certificates}
  backend: {{address: {{host: broker.example.com}}}}
  hosts:
  - names: [a.example.com, '*.a.example.com']
"
    )
}

/// The facts about a configuration's default certificate.
fn facts(config: &Config) -> Facts {
    let judged = certificate::judge(&[Part::file(config.pem.expose())]);
    Facts::clone(judged.unwrap().facts())
}

/// The names of the listener's Certificates.
async fn issued(cluster: &Fixture) -> Vec<String> {
    let all = cluster.api::<Certificate>();
    let all = all.list(&ListParams::default()).await.unwrap();
    let names = all.iter().map(ResourceExt::name_any);
    names
        .filter(|name| name.starts_with("edge-mqtts-"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_gets_its_certificates_from_cert_manager() {
    // Other tests must not find cert-manager's definitions.
    let server: &'static ApiServer = Box::leak(Box::new(ApiServer::start()));
    let mut cluster = Fixture::on(server, "issued").await;
    cluster.start_operator();
    cluster.apply(&listener("  - issuerRef: {name: ca}"));
    let refs = cluster
        .wait_for("edge", "ResolvedRefs", "False", "CertManagerNotFound")
        .await;
    let to_do = "install cert-manager";
    assert!(refs.message.contains(to_do), "{}", refs.message);
    let _controllers = cert_manager::start(server);
    let webhook = cert_manager::start_webhook(server);
    // Before there is an issuer, it says what cert-manager says.
    let look = || async {
        let status = cluster.listener("edge").await.status.unwrap_or_default();
        let mut conditions = status.conditions.into_iter();
        conditions.find(|one| one.reason == "CertificateNotIssued")
    };
    let waits = eventually_async(NOTICED, "cert-manager is noticed", look).await;
    let to_do = "kubectl describe certificate edge-mqtts-";
    assert!(waits.message.contains(to_do), "{}", waits.message);
    let name = is_issued(&cluster).await;
    is_renewed_and_replaced(&cluster, &name).await;
    a_temporary_certificate_is_not_served(&cluster).await;
    what_the_webhook_refuses_is_said(&cluster, webhook).await;
}

/// Users who may write listeners must not have certificates made by any issuer.
#[tokio::test(flavor = "multi_thread")]
async fn the_operator_may_restrict_issuers() {
    let mut cluster = Fixture::without_operator("issuers").await;
    let args = ["--namespace", &cluster.namespace, "--issuers", "Issuer/ca"];
    cluster.operator = Some(start_operator(cluster.server, &args));
    for (issuer, reason) in [
        ("kind: ClusterIssuer, name: ca", "IssuerNotPermitted"),
        ("name: other", "IssuerNotPermitted"),
        ("name: ca", "Accepted"),
    ] {
        cluster.apply(&listener(&format!("  - issuerRef: {{{issuer}}}")));
        let status = if reason == "Accepted" {
            "True"
        } else {
            "False"
        };
        cluster.wait_for("edge", "Accepted", status, reason).await;
    }
}

/// Creates the issuer, and checks what it issues. Returns the Certificate's name.
async fn is_issued(cluster: &Fixture) -> String {
    cluster.apply(ISSUERS);
    cluster.wait_until_programmed("edge").await;
    let config = cluster
        .wait_for_config("edge", "the certificate", |_| true)
        .await;
    // The names are those of the host, which has no certificate of its own.
    let facts = facts(&config);
    assert_eq!(facts.dns_names, ["a.example.com", "*.a.example.com"]);
    assert_eq!(facts.key, "ECDSA P-256");
    // What devices are to trust is published.
    let maps = cluster.api::<ConfigMap>();
    let look = || async { maps.get_opt("edge-mqtts-ca").await.unwrap() };
    let published = eventually_async(SOON, "the CA is published", look).await;
    let secret = cluster.api::<Secret>().get("ca").await.unwrap();
    let ca = secret.data.unwrap()["tls.crt"].0.clone();
    assert_eq!(published.data.unwrap()["ca.crt"].as_bytes(), ca);
    cluster.put_tls("edge-tls", &cluster.leaf("edge")).await;
    cluster.writes_nothing_more().await;
    let mut names = issued(cluster).await;
    assert_eq!(names.len(), 1);
    names.remove(0)
}

async fn is_renewed_and_replaced(cluster: &Fixture, name: &str) {
    // Another lifetime and an address change it: by its first name it is another one.
    let other = "  - issuerRef: {name: ca}\n    duration: 48h\n    ipAddresses: [192.0.2.1]";
    cluster.apply(&listener(other));
    let has_address = |config: &Config| facts(config).ip_addresses.len() == 1;
    cluster
        .wait_for_config("edge", "another certificate", has_address)
        .await;
    let look = || async { (issued(cluster).await.len() == 1).then_some(()) };
    eventually_async(SOON, "the first Certificate is deleted", look).await;
    assert_ne!(issued(cluster).await, [name]);
    // With another name, the same one is issued again.
    let same = issued(cluster).await;
    cluster.apply(&listener(&format!(
        "{other}\n    usages: [server auth]\n    renewBefore: 1h"
    )));
    cluster.wait_until_programmed("edge").await;
    assert_eq!(issued(cluster).await, same);

    // A Secret instead: the Certificate goes, and its Secret stays.
    cluster.apply(&listener("  - secretRef: {name: edge-tls}"));
    let is_of_the_secret = |config: &Config| {
        facts(config)
            .dns_names
            .first()
            .is_some_and(|name| name == "edge.example.com")
    };
    let config = cluster.wait_for_config("edge", "the Secret's certificate", is_of_the_secret);
    assert!(config.await.certificates.is_empty());
    let maps = cluster.api::<ConfigMap>();
    let look = || async {
        let is_published = maps.get_opt("edge-mqtts-ca").await.unwrap().is_some();
        (issued(cluster).await.is_empty() && !is_published).then_some(())
    };
    eventually_async(SOON, "neither Certificate nor CA is left", look).await;
    let secrets = cluster.api::<Secret>();
    assert!(secrets.get_opt(name).await.unwrap().is_some());
}

/// cert-manager makes one where the issuer is not there yet. No device could verify it, and what came after it would be tried first.
async fn a_temporary_certificate_is_not_served(cluster: &Fixture) {
    let certificate = "apiVersion: cert-manager.io/v1
kind: Certificate
metadata:
  name: soon
  annotations: {cert-manager.io/issue-temporary-certificate: 'true'}
spec:
  secretName: soon
  dnsNames: [soon.example.com]
  privateKey: {algorithm: ECDSA, size: 256, rotationPolicy: Always}
  issuerRef: {name: later}
";
    cluster.apply(certificate);
    cluster.apply(&listener("  - secretRef: {name: soon}"));
    cluster
        .wait_for("edge", "ResolvedRefs", "False", "TemporaryCertificate")
        .await;
    let is_as_before =
        |config: &Config| facts(config).dns_names == ["edge.example.com", "*.example.com"];
    cluster
        .wait_for_config("edge", "the certificate before", is_as_before)
        .await;
    let issuer = "apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {name: later}
spec: {ca: {secretName: ca}}
";
    cluster.apply(issuer);
    let is_issued = |config: &Config| {
        let found = facts(config);
        (found.issuer.as_str(), found.dns_names.len()) == ("CN=CA", 1) && config.candidate.is_none()
    };
    cluster
        .wait_for_config("edge", "the real certificate", is_issued)
        .await;
}

/// A duration under an hour, which it refuses as well, does not reach it: the listener's own rules refuse that.
async fn what_the_webhook_refuses_is_said(cluster: &Fixture, webhook: Process) {
    // A kind of another project, without its group.
    let certificates = |issuer: &str| {
        format!(
            "  - secretRef: {{name: edge-tls}}\n  - issuerRef: {{{issuer}}}\n    optional: true"
        )
    };
    cluster.apply(&listener(&certificates(
        "kind: AWSPCAClusterIssuer, name: ca",
    )));
    says(cluster, "must be one of Issuer or ClusterIssuer").await;
    // It holds back no renewal of another one.
    let renewed = cluster.leaf("edge");
    cluster.put_tls("edge-tls", &renewed).await;
    let is_renewed = |config: &Config| facts(config).fingerprint == renewed.fingerprint();
    cluster
        .wait_for_config("edge", "the renewed certificate", is_renewed)
        .await;

    // The webhook does not answer.
    webhook.kill();
    cluster.apply(&listener(&certificates("name: ca")));
    says(cluster, "failed calling webhook").await;
    let _webhook = cert_manager::start_webhook(cluster.server);
    cluster.wait_until_programmed("edge").await;
    assert_eq!(issued(cluster).await.len(), 1);
}

/// Waits until a condition shows a refusal of a Certificate with these words.
async fn says(cluster: &Fixture, words: &str) {
    let look = || async {
        let status = cluster.listener("edge").await.status.unwrap_or_default();
        let mut conditions = status.conditions.into_iter();
        conditions.find(|one| one.reason == "Refused" && one.message.contains(words))
    };
    let refused = eventually_async(SOON, words, look).await;
    assert_eq!((&*refused.type_, &*refused.status), ("Programmed", "False"));
    let message = &refused.message;
    assert!(message.contains("Certificate edge-mqtts-"), "{message}");
}
