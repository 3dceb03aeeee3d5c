//! Shared code of the plan's tests: generated certificates, a world from YAML, and the checks that every plan must
//! pass. It must not contain a test.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{self as core, ConfigMap, Secret, Service};
use mqtt_tls_config::yaml::{self, Value};
use mqtt_tls_judge::pem::Part;
use mqtt_tls_judge::revocation::crl::{Crl, Issuer};
use mqtt_tls_judge::revocation::source::{Bounds, find};
use mqtt_tls_judge::{authorities, certificate};
use mqtt_tls_operator::kinds::certificate::Certificate;
use mqtt_tls_operator::kinds::{Child, Object};
use mqtt_tls_operator::plan::environment::Environment;
use mqtt_tls_operator::plan::grants::{Grant, Grants};
use mqtt_tls_operator::plan::names::{MANAGER, Name};
use mqtt_tls_operator::plan::objects::{Children, Objects, Wanted};
use mqtt_tls_operator::plan::pod::Pod;
use mqtt_tls_operator::plan::world::World;
use mqtt_tls_terminator::settings::{Judgement, Settings};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, SerialNumber,
};

/// Certificates by their names in the inputs: `@edge.crt`, `@edge.key`, `@edge.pem`; `@edge.chain` is a digest of its chain.
pub(crate) struct Pki(BTreeMap<String, String>);

impl Pki {
    /// Generates all certificates. The dates are fixed, so that messages are the same in each run.
    pub(crate) fn new() -> Self {
        let ca = authority("test CA");
        let mut texts = BTreeMap::from([
            ("@ca.crt".to_owned(), ca.pem()),
            ("@other-ca.crt".to_owned(), authority("other CA").pem()),
            ("@ca.crl".to_owned(), list(&ca, 2025, 2027)),
            ("@ca-outdated.crl".to_owned(), list(&ca, 2025, 2026)),
            ("@ca-older.crl".to_owned(), list(&ca, 2024, 2027)),
            (
                "@demo-broken.pem".to_owned(),
                "-----BEGIN CERTIFICATE-----\nAA==\n".to_owned(),
            ),
        ]);
        for (name, years) in [
            ("edge", (2025, 2027)),
            ("edge-renewed", (2025, 2028)),
            ("second", (2025, 2029)),
            ("expired", (2020, 2021)),
            ("future", (2027, 2028)),
        ] {
            let mut params = CertificateParams::new(vec![format!("{name}.example.com")]).unwrap();
            params.distinguished_name.push(DnType::CommonName, name);
            params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
            params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
            let key = KeyPair::generate().unwrap();
            let certificate = params.signed_by(&key, &ca).unwrap().pem();
            let pem = format!("{certificate}{}", key.serialize_pem());
            let judged = certificate::judge(&[Part::file(&pem)]).unwrap();
            texts.insert(format!("@{name}.chain"), judged.chain_digest());
            texts.insert(format!("@{name}.pem"), pem);
            texts.insert(format!("@{name}.crt"), certificate);
            texts.insert(format!("@{name}.key"), key.serialize_pem());
        }
        Self(texts)
    }

    /// Returns the text of a name, or the argument if it is not a name.
    pub(crate) fn text(&self, name: &str) -> String {
        self.0.get(name).cloned().unwrap_or_else(|| name.to_owned())
    }

    /// Replaces PEM blocks and digests of chains by their names.
    pub(crate) fn redacted(&self, text: &str) -> String {
        let is_digest = |name: &str| name.rsplit('.').next() == Some("chain");
        let mut text = text.to_owned();
        for (name, digest) in self.0.iter().filter(|(name, _)| is_digest(name)) {
            text = text.replace(digest, name);
        }
        let mut redacted = String::new();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let trimmed = line.trim_start();
            if !trimmed.starts_with("-----BEGIN ") {
                redacted.push_str(line);
                redacted.push('\n');
                continue;
            }
            let mut block = vec![trimmed];
            let rest = lines.by_ref().map(str::trim);
            for line in rest {
                block.push(line);
                if line.starts_with("-----END ") {
                    break;
                }
            }
            let block = block.join("\n");
            let known = self
                .0
                .iter()
                .find(|(_, pem)| pem.replace('\r', "").trim_end() == block);
            let name = known.map_or("(unknown)", |(name, _)| name);
            let indentation = &line[..line.len() - trimmed.len()];
            redacted.extend([indentation, name, "\n"]);
        }
        redacted
    }

    /// Reports whether a text contains one of the private keys.
    pub(crate) fn shows_a_key(&self, text: &str) -> bool {
        let keys = self
            .0
            .iter()
            .filter(|(name, _)| name.rsplit('.').next() == Some("key"));
        // One line of the key is enough, and indentation does not break it.
        keys.filter_map(|(_, key)| key.lines().nth(1))
            .any(|line| text.contains(line))
    }
}

/// A revocation list that was made at the beginning of a year, and is to be replaced at the beginning of another.
fn list(ca: &CertifiedIssuer<'_, KeyPair>, made: i32, until: i32) -> String {
    let params = CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(made, 1, 1),
        next_update: rcgen::date_time_ymd(until, 1, 1),
        crl_number: SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(ca).unwrap().pem().unwrap()
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// The namespace of all objects.
pub(crate) const NAMESPACE: &str = "iot";

/// Another namespace.
pub(crate) const ELSEWHERE: &str = "elsewhere";

/// Returns the grants in the other namespace, if it has any.
pub(crate) fn grants(is_granted: bool) -> Grants {
    let from = serde_json::json!({"group": "mqtt.smartboot.tech", "kind": "MqttTlsListener", "namespace": NAMESPACE});
    let to = ["Secret", "ConfigMap"].map(|kind| serde_json::json!({"group": "", "kind": kind}));
    let grant = Grant {
        namespace: ELSEWHERE.to_owned(),
        version: None,
        spec: serde_json::from_value(serde_json::json!({"from": [from], "to": to})).unwrap(),
    };
    Grants::new(is_granted.then_some(grant).into_iter().collect())
}

/// Returns the settings of a cluster.
pub(crate) fn environment() -> Environment {
    Environment::cluster(
        "mqtt-tls-terminator:test".to_owned(),
        "cluster.local".to_owned(),
        std::time::Duration::from_secs(30),
    )
}

/// Returns the time of plans, unless a step sets another.
pub(crate) fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

/// Adds an object from a manifest to the world.
pub(crate) fn put(world: &mut World, document: Value, pki: &Pki) {
    let kind = document["kind"].as_str().unwrap().to_owned();
    match kind.as_str() {
        "MqttTlsListener" => {
            let status = world.listener.status.take();
            world.listener = read(document);
            let metadata = &mut world.listener.metadata;
            metadata
                .namespace
                .get_or_insert_with(|| NAMESPACE.to_owned());
            metadata.uid.get_or_insert_with(|| "uid-1".to_owned());
            metadata.generation.get_or_insert(1);
            world.listener.status = status;
        }
        "Secret" => {
            let mut secret: Secret = read(document);
            for (key, text) in secret.string_data.take().unwrap_or_default() {
                let bytes = ByteString(pki.text(&text).into_bytes());
                secret.data.get_or_insert_default().insert(key, bytes);
            }
            let name = secret.metadata.name.clone().unwrap();
            let namespace = secret.metadata.namespace.clone();
            if name.ends_with("-mqtts") {
                world.children.put(Child::Configuration, Arc::new(secret));
            } else {
                let namespace = namespace.as_deref().unwrap_or(NAMESPACE);
                world.secrets.insert(Name::new(namespace, &name), secret);
            }
        }
        "ConfigMap" => {
            let mut map: ConfigMap = read(document);
            map.data
                .iter_mut()
                .flatten()
                .for_each(|(_, text)| *text = pki.text(text));
            let namespace = map.metadata.namespace.as_deref().unwrap_or(NAMESPACE);
            let name = Name::new(namespace, map.metadata.name.as_ref().unwrap());
            world.config_maps.insert(name, map);
        }
        // As with Secrets, a Service with a child's name is a child; any other is the backend.
        "Service" => {
            let service: Service = read(document);
            let name = service.metadata.name.clone().unwrap();
            if name.ends_with("-mqtts") {
                world.children.put(Child::Service, Arc::new(service));
            } else {
                world.services.insert(Name::new(NAMESPACE, &name), service);
            }
        }
        "Deployment" => {
            let deployment: Deployment = read(document);
            world.children.put(Child::Deployment, Arc::new(deployment));
        }
        "Certificate" => {
            let certificate: Certificate = read(document);
            world
                .children
                .put(Child::Certificate, Arc::new(certificate));
        }
        "Pod" => world.pods.push(Pod::of(read::<core::Pod>(document))),
        other => panic!("unsupported kind: {other}"),
    }
}

fn read<T: serde::de::DeserializeOwned>(document: Value) -> T {
    yaml::from_value(document).unwrap()
}

/// Returns the children that the API server would have after applying the plan, each with the time of its last change.
pub(crate) fn applied(before: &Children, objects: &Objects, now: Timestamp) -> Children {
    let mut children = before.clone();
    for step in objects.clone().steps().0 {
        match step.wanted {
            Wanted::Present(object) => {
                let found = before.of_step(step.child, step.name.as_deref());
                let written = written(object.json(), found, now);
                let parse = step.child.row().parse;
                children.put(step.child, parse(written).unwrap());
            }
            Wanted::Absent => children.remove_step(step.child, step.name.as_deref()),
            Wanted::Kept => {}
        }
    }
    children
}

/// Returns an object as the API server has it after it was written, or was found to be the same.
fn written(
    mut wanted: serde_json::Value,
    found: Option<&Arc<dyn Object>>,
    now: Timestamp,
) -> serde_json::Value {
    let field = |object: &serde_json::Value| object["metadata"]["managedFields"].clone();
    let found = found.map(|found| found.json()).unwrap_or_default();
    let mut plain = found.clone();
    if let Some(metadata) = plain.pointer_mut("/metadata") {
        metadata.as_object_mut().unwrap().remove("managedFields");
    }
    let fields = serde_json::json!([{"manager": MANAGER, "operation": "Apply", "time": now}]);
    if found["kind"] == "Certificate" {
        // Applying does not touch it.
        wanted["status"] = found["status"].clone();
    }
    let is_same = plain == wanted && !field(&found).is_null();
    wanted["metadata"]["managedFields"] = if is_same { field(&found) } else { fields };
    wanted
}

/// Returns all planned objects as JSON, with their kinds.
pub(crate) fn planned(objects: &Objects) -> Vec<(&'static str, serde_json::Value)> {
    let steps = objects.clone().steps().0.into_iter();
    steps
        .filter_map(|step| match step.wanted {
            Wanted::Present(object) => Some((step.child.row().kind.name(), object.json())),
            Wanted::Absent | Wanted::Kept => None,
        })
        .collect()
}

/// Asserts that terminators can use each of the lists.
fn assert_loads(config: &mqtt_tls_config::Config, lists: &[u8]) {
    let hosts = config
        .hosts
        .iter()
        .filter_map(|host| host.client_auth.as_ref());
    let auths = std::iter::once(&config.client_auth).chain(hosts);
    let bundles = auths.filter_map(|auth| auth.ca.as_ref());
    let known: Vec<Issuer> = bundles
        .flat_map(|ca| {
            authorities::judge(Part::file(ca.expose()))
                .unwrap()
                .issuers()
                .to_vec()
        })
        .collect();
    let bounds = Bounds {
        bytes: 256 * 1024,
        entries: 100_000,
    };
    // Of a CA that has just been replaced, its list may not be there yet.
    if !lists.windows(5).any(|window| window == b"BEGIN") {
        return;
    }
    let found = find(lists, bounds).unwrap();
    let issuers = [&known[..], &found.issuers(&known)].concat();
    for list in &found.lists {
        Crl::load(list, &issuers, bounds).expect("terminators take each list");
    }
}

/// Checks the invariants of every plan.
pub(crate) fn check(world: &World, objects: &Objects, pki: &Pki) {
    let uid = world.listener.metadata.uid.clone().unwrap_or_default();
    for (kind, object) in planned(objects) {
        let metadata = &object["metadata"];
        let name = metadata["name"].as_str().unwrap();
        let label = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-';
        assert!(
            (name.len() <= 63 || ["Certificate", "Secret"].contains(&kind))
                && name.chars().all(label),
            "{kind}: {name} is not a DNS label"
        );
        assert!(
            name.starts_with(|char: char| char.is_ascii_lowercase()),
            "{kind}: {name}"
        );
        assert_eq!(
            metadata["namespace"],
            world.listener.metadata.namespace.as_deref().unwrap()
        );
        let owners = metadata["ownerReferences"].as_array().unwrap();
        assert_eq!(owners.len(), 1, "{kind}");
        assert_eq!(owners[0]["uid"], uid.as_str(), "{kind}");
        assert_eq!(owners[0]["controller"], true, "{kind}");
        assert_eq!(
            metadata["labels"]["app.kubernetes.io/managed-by"],
            "mqtt-tls-operator"
        );
        let text = object.to_string();
        assert!(
            !text.contains("PRIVATE KEY"),
            "{kind} contains a private key"
        );
        assert!(!pki.shows_a_key(&text), "{kind} contains a private key");
        let encoded = "LS0tLS1CRUdJTi";
        assert!(
            kind == "Secret" || !text.contains("config.yaml\":\""),
            "{kind}"
        );
        assert!(
            !text.contains(encoded) || kind == "Secret",
            "{kind} contains a PEM block"
        );
    }
    if let Some(secret) = objects.config_secret.present() {
        let bytes = &secret.data.as_ref().unwrap()["config.yaml"].0;
        let text = std::str::from_utf8(bytes).unwrap();
        let config =
            mqtt_tls_config::Config::parse(text).expect("the rendered configuration is valid");
        // Certificates of the tests are judged elsewhere; hosts together are not.
        let prepared = Settings::prepare(&config, Judgement::AtStart);
        prepared.expect("terminators serve the rendered configuration");
        if let Some(lists) = secret.data.as_ref().unwrap().get("crls") {
            assert_loads(&config, &lists.0);
        }
    }
}
