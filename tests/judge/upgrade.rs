//! An upgrade takes no listener down: chains that an earlier release served are served with a warning, and new
//! ones are validated strictly. Tests each chain that can never verify with the terminator's file and the
//! operator's plan.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use mqtt_tls_config::{ClientAuth, ClientAuthMode, Config, Pem};
use mqtt_tls_operator::crd::{MqttTlsListener, MqttTlsListenerStatus};
use mqtt_tls_operator::kinds::Child;
use mqtt_tls_operator::plan::conditions;
use mqtt_tls_operator::plan::conditions::judged::{Judged, Outcome};
use mqtt_tls_operator::plan::environment::Environment;
use mqtt_tls_operator::plan::names::Name;
use mqtt_tls_operator::plan::notices::{Notice, notices};
use mqtt_tls_operator::plan::objects::Applied;
use mqtt_tls_operator::plan::world::World;
use mqtt_tls_operator::plan::{Plan, plan};
use mqtt_tls_terminator::{Terminator, load};
use tests::wait::eventually;
use tests::{ports, workdir};

use crate::chains::never;
use crate::material::{folder, leaf, openssl, root};

const DRAIN: Duration = Duration::from_secs(30);

const SOON: Duration = Duration::from_secs(20);

/// Returns a configuration with this PEM, on free ports.
fn config(pem: &str) -> Config {
    let mut config = Config::new(ports::free_port(), Pem::new(pem.to_owned()));
    config.host = Some("127.0.0.1".parse().unwrap());
    config.admin.port = ports::free_port();
    config
}

fn write(config: &Config) -> PathBuf {
    let file = workdir::scratch("upgrade").join("config.yaml");
    std::fs::write(&file, config.to_yaml().expose()).unwrap();
    file
}

fn metrics(config: &Config) -> String {
    use std::io::{Read, Write};
    let at = (config.admin.host, config.admin.port);
    let mut stream = std::net::TcpStream::connect(at).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn good() -> String {
    leaf(&root("good root"), &[], |_| {}).pem()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminator_starts_with_a_chain_that_a_reload_would_refuse() {
    for (what, material, reason) in never() {
        let bad = config(&material.pem());
        let file = write(&bad);
        // `check` validates the file as a new one.
        let checked = load::check(&file, None).map(drop).unwrap_err();
        assert_eq!(checked.reason().name(), reason.name(), "{what}: {checked}");
        let mut terminator =
            Terminator::start(file.as_path().into(), None).unwrap_or_else(|error| {
                panic!("{what}: {}", error.chain());
            });
        let line = format!(
            "mqtt_tls_certificate_warning{{host=\"\",index=\"0\",reason=\"{}\"}} 1",
            reason.name()
        );
        eventually(SOON, &line, || metrics(&bad).contains(&line).then_some(()));
        // The same chain in a file with other changes is not new.
        let mut changed = bad.clone();
        changed.version = Some("other".to_owned());
        std::fs::write(&file, changed.to_yaml().expose()).unwrap();
        terminator.reload();
        eventually(SOON, "the change is active", || {
            (terminator.status().configuration.generation == 2).then_some(())
        });
        terminator.drain();
        terminator.ended().await;

        let file = write(&config(&good()));
        let mut terminator = Terminator::start(file.as_path().into(), None).unwrap();
        let mut changed = bad.clone();
        changed.admin.port = ports::free_port();
        std::fs::write(&file, changed.to_yaml().expose()).unwrap();
        terminator.reload();
        let refused = eventually(SOON, "the new chain is refused", || {
            terminator.status().configuration.last_error
        });
        assert_eq!(refused.reason, reason.name(), "{what}: {}", refused.message);
        assert_eq!(terminator.status().configuration.generation, 1);
        terminator.drain();
        terminator.ended().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminator_starts_with_authorities_that_a_reload_would_refuse() {
    let folder = folder();
    let make = "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out key";
    openssl(&folder, make);
    let weak = openssl(&folder, "req -x509 -key key -days 30 -subj /CN=devices");
    let trust = |pem: &str| ClientAuth {
        mode: ClientAuthMode::Require,
        ca: Some(Pem::new(pem.to_owned())),
        ..ClientAuth::default()
    };
    let mut old = config(&good());
    old.client_auth = trust(&weak);
    let file = write(&old);
    assert_eq!(
        load::check(&file, None)
            .map(drop)
            .unwrap_err()
            .reason()
            .name(),
        "UnusableAuthority"
    );
    let mut terminator = Terminator::start(file.as_path().into(), None).unwrap();
    let line =
        "mqtt_tls_certificate_warning{host=\"\",index=\"ca\",reason=\"UnusableAuthority\"} 1";
    eventually(SOON, line, || metrics(&old).contains(line).then_some(()));
    let mut new = old.clone();
    let other = openssl(&folder, "req -x509 -key key -days 31 -subj /CN=others");
    new.client_auth = trust(&other);
    std::fs::write(&file, new.to_yaml().expose()).unwrap();
    terminator.reload();
    let refused = eventually(SOON, "the new bundle is refused", || {
        terminator.status().configuration.last_error
    });
    assert_eq!(refused.reason, "UnusableAuthority", "{}", refused.message);
    terminator.drain();
    terminator.ended().await;
}

/// A listener, its Secret, and its rendered configuration.
struct Cluster {
    world: World,
    environment: Environment,
    status: Option<MqttTlsListenerStatus>,
}

impl Cluster {
    fn new(pem: &str) -> Self {
        let listener = serde_json::json!({
            "metadata": {"name": "edge", "namespace": "iot", "uid": "u", "generation": 1},
            "spec": {"certificates": [{"secretRef": {"name": "edge-tls"}}],
                     "backend": {"address": {"host": "broker"}}},
        });
        let listener: MqttTlsListener = serde_json::from_value(listener).unwrap();
        let mut cluster = Self {
            world: World::new(listener),
            environment: Environment::cluster(
                "image".to_owned(),
                "cluster.local".to_owned(),
                DRAIN,
            ),
            status: None,
        };
        cluster.put(pem.as_bytes());
        cluster
    }

    fn put(&mut self, pem: &[u8]) {
        let secret = Secret {
            data: Some(BTreeMap::from([(
                "pem".to_owned(),
                ByteString(pem.to_vec()),
            )])),
            ..Secret::default()
        };
        let name = Name::new("iot", "edge-tls");
        self.world.secrets.insert(name, secret);
    }

    /// Renders this PEM, as an earlier release would have.
    fn render(&mut self, pem: &str) {
        let mut secret = self.config_secret().unwrap().clone();
        let data = secret.data.as_mut().unwrap();
        let bytes = data.get_mut("config.yaml").unwrap();
        let mut config = Config::parse(std::str::from_utf8(&bytes.0).unwrap()).unwrap();
        config.pem = Pem::new(pem.to_owned());
        bytes.0 = config.to_yaml().expose().as_bytes().to_vec();
        self.world
            .children
            .put(Child::Configuration, Arc::new(secret));
    }

    fn config_secret(&self) -> Option<&Secret> {
        self.world.children.config_secret()
    }

    /// Plans and applies; returns the rendered PEM.
    fn reconcile(&mut self) -> Option<String> {
        let now = Timestamp::now();
        let Plan {
            objects,
            report,
            previous,
        } = plan(&self.world, &self.environment, now);
        if let Some(secret) = objects.config_secret.present() {
            let secret = Arc::new(secret.clone());
            self.world.children.put(Child::Configuration, secret);
        }
        let children = self.world.children.clone();
        let done = Applied {
            children,
            marked: BTreeMap::new(),
        };
        let outcome = Outcome::Done(&done);
        let judged = Judged::new(&self.world, &report, &previous, &outcome, now);
        let status = conditions::status(&judged);
        let events = notices(self.status.as_ref(), &status);
        // A warning has a condition, an event and a metric.
        let valid = status
            .conditions
            .iter()
            .find(|one| one.type_ == "CertificateValid");
        let valid = valid.filter(|valid| valid.status == "True" && valid.reason != valid.type_);
        if let (Some(valid), true) = (valid, self.status.is_none()) {
            let is_event = |event: &Notice| event.is_warning && event.reason == valid.reason;
            assert!(events.iter().any(is_event), "{events:?}");
            let reasons = judged.serving.reasons();
            let mut words = reasons.iter().map(|reason| reason.name());
            assert!(words.any(|word| word == valid.reason), "{reasons:?}");
        }
        self.world.listener.status = Some(status.clone());
        self.status = Some(status);
        self.config_secret().map(rendered)
    }

    fn condition(&self, type_: &str) -> (String, String, String) {
        let conditions = &self.status.as_ref().unwrap().conditions;
        let one = conditions.iter().find(|one| one.type_ == type_).unwrap();
        (one.status.clone(), one.reason.clone(), one.message.clone())
    }
}

#[test]
fn the_operator_keeps_chains_that_an_earlier_release_rendered() {
    for (what, material, reason) in never() {
        let bad = material.pem();
        let mut cluster = Cluster::new(&good());
        cluster.reconcile().unwrap();
        cluster.put(bad.as_bytes());
        cluster.render(&bad);
        cluster.status = None;
        assert_eq!(cluster.reconcile().unwrap(), bad.trim(), "{what}");
        let (status, word, message) = cluster.condition("CertificateValid");
        assert_eq!(
            (status.as_str(), word.as_str()),
            ("True", reason.name()),
            "{message}"
        );
        assert!(message.starts_with("Secret edge-tls: "), "{message}");
        assert_eq!(cluster.condition("ResolvedRefs").0, "True", "{what}");
        // It is renewed.
        let renewed = good();
        cluster.put(renewed.as_bytes());
        assert_eq!(cluster.reconcile().unwrap(), renewed.trim(), "{what}");
        assert_eq!(cluster.condition("CertificateValid").1, "CertificateValid");
    }
}

#[test]
fn the_operator_refuses_new_chains() {
    for (what, material, reason) in never() {
        let (good, bad) = (good(), material.pem());
        let mut cluster = Cluster::new(&bad);
        assert_eq!(cluster.reconcile(), None, "{what}");
        assert_eq!(cluster.condition("ResolvedRefs").1, reason.name(), "{what}");
        let mut cluster = Cluster::new(&good);
        assert_eq!(cluster.reconcile().unwrap(), good.trim());
        cluster.put(bad.as_bytes());
        assert_eq!(cluster.reconcile().unwrap(), good.trim(), "{what}");
        let (status, word, message) = cluster.condition("ResolvedRefs");
        assert_eq!(
            (status.as_str(), word.as_str()),
            ("False", reason.name()),
            "{message}"
        );
        assert!(
            message.contains("the previous certificate stays in use"),
            "{message}"
        );
    }
}

/// Returns the PEM in a config Secret.
fn rendered(secret: &Secret) -> String {
    let bytes = &secret.data.as_ref().unwrap()["config.yaml"].0;
    let config = Config::parse(std::str::from_utf8(bytes).unwrap()).unwrap();
    config.pem.expose().trim().to_owned()
}

/// `standalone` has no state from before: the files that it finds at startup may have been served.
#[test]
fn standalone_accepts_the_chains_that_it_finds_at_startup() {
    let (_, material, reason) = never().remove(0);
    let bad = material.pem();
    let process = |is_at_start| {
        let admin = "127.0.0.1:9883".parse().unwrap();
        Environment::process(None, DRAIN, admin, is_at_start)
    };
    let mut cluster = Cluster::new(&bad);
    cluster.environment = process(false);
    assert_eq!(cluster.reconcile(), None);
    let mut cluster = Cluster::new(&bad);
    cluster.environment = process(true);
    assert_eq!(cluster.reconcile().unwrap(), bad.trim());
    cluster.environment = process(false);
    assert_eq!(cluster.reconcile().unwrap(), bad.trim());
    assert_eq!(cluster.condition("CertificateValid").1, reason.name());
}

#[test]
fn a_secret_may_have_any_bytes_between_its_blocks() {
    let good = good();
    let mut cluster = Cluster::new("");
    cluster.put(&[b"friendlyName: M\xFCller\n", good.as_bytes()].concat());
    assert!(cluster.reconcile().unwrap().ends_with(good.trim()));
    let utf16: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (bytes, words) in [
        (
            [&[0xFF, 0xFE], &utf16[..]].concat(),
            "it is UTF-16; save it as UTF-8",
        ),
        (
            good.replacen("MII", "M\u{fc}", 1)
                .chars()
                .map(|char| char as u8)
                .collect(),
            "line 2 has a byte that is not UTF-8",
        ),
    ] {
        cluster.put(&bytes);
        cluster.reconcile().unwrap();
        let (_, reason, message) = cluster.condition("ResolvedRefs");
        assert_eq!(reason, "BrokenPem");
        let expected = format!("Secret edge-tls, key pem: {words}");
        assert!(message.starts_with(&expected), "{message}");
    }
}
