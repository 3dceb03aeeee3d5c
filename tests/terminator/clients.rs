//! Which clients are refused for their certificates, with which alert and reason, as OpenSSL and Go see it.

mod openssl_ca;
mod rehearsal;
mod revocation;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use mqtt_tls_config::ClientAuthMode::Require;
use mqtt_tls_config::{
    ClientAuth, ClientRule, Config, Pem, Revocation, RuleField, RuleMatching, WhenUnknown,
};
use serde_json::Value;
use tests::clients::go::GoClient;
use tests::clients::openssl::SClient;
use tests::pki::{Ca, DAY, Leaf};
use tests::wait::eventually;
use tests::{ports, workdir};

use crate::fixture::{Fixture, SOON, trust};

const VERSIONS: [&str; 2] = ["-tls1_2", "-tls1_3"];

/// A terminator for clients that send nothing, with a file of revocation lists.
struct Gate {
    fixture: Fixture,
    crls: PathBuf,
}

impl Gate {
    fn start(lists: &str, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_with(Some(lists), change)
    }

    /// Without lists, there is no file yet.
    fn start_with(lists: Option<&str>, change: impl FnOnce(&mut Config)) -> Self {
        let fixture = Fixture::start_with_crls(ports::free_addr(), lists, |config| {
            config.timeouts.first_packet = Duration::from_millis(100);
            change(config);
        });
        let crls = Fixture::crls_beside(&fixture.file);
        Self { fixture, crls }
    }

    /// Connects as OpenSSL does with a version; returns the number of the alert (RFC 8446, section 6), or `None` if the
    /// handshake succeeded.
    fn alert_in(&self, version: &str, name: &str, device: Option<&Leaf>) -> Option<u8> {
        let mut client = SClient::unverified(self.fixture.addr(), name).arg(version);
        if let Some(device) = device {
            client = client.identity(device);
        }
        // In TLS 1.3 a client learns of its refusal when it reads.
        let seen = client.until_server_closes().run(b"");
        let alert = seen.stderr.split("alert number ").nth(1);
        assert!(
            alert.is_some() || seen.stdout.contains("Cipher is"),
            "{seen:?}"
        );
        let number = alert?.split(|char: char| !char.is_ascii_digit()).next();
        number?.parse().ok()
    }

    #[track_caller]
    fn refuses(&self, device: &Leaf, alert: u8) {
        for version in VERSIONS {
            let found = self.alert_in(version, "localhost", Some(device));
            assert_eq!(found, Some(alert), "{version}");
        }
    }

    #[track_caller]
    fn serves(&self, device: &Leaf) {
        for version in VERSIONS {
            let found = self.alert_in(version, "localhost", Some(device));
            assert_eq!(found, None, "{version}");
        }
    }

    fn count(&self, metric: &str, host: &str, reason: &str) -> f64 {
        let line = format!(
            "mqtt_tls_client_certificates_{metric}_total{{host=\"{host}\",reason=\"{reason}\"}}"
        );
        self.fixture.metric(&line)
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.fixture.get("/status").1).unwrap()
    }

    /// Replaces the file of lists, and waits until the terminator has read it with this outcome once more.
    #[track_caller]
    fn replace_lists(&self, lists: &str, outcome: &str) {
        let line = format!(
            "mqtt_tls_revocation_list_loads_total{{outcome=\"{outcome}\",source=\"file\"}}"
        );
        let before = self.fixture.metric(&line);
        workdir::replace(&self.crls, lists);
        eventually(SOON, &format!("lists are read: {outcome}"), || {
            (self.fixture.metric(&line) > before).then_some(())
        });
    }
}

fn device(ca: &Ca, name: &str) -> Leaf {
    ca.leaf().common_name(name).client_auth().issue()
}

/// Revocation that refuses what it does not know.
fn strict() -> Revocation {
    Revocation {
        when_outdated: WhenUnknown::Refuse,
        when_unlisted: WhenUnknown::Refuse,
        ..Revocation::default()
    }
}

fn rule(field: RuleField, matching: RuleMatching, value: &str) -> ClientRule {
    ClientRule {
        field,
        matching,
        value: value.to_owned(),
    }
}

/// A bundle of several CAs.
fn trusting(cas: &[&Ca]) -> ClientAuth {
    let bundle: String = cas.iter().map(|ca| ca.cert_pem()).collect();
    ClientAuth {
        ca: Some(Pem::new(bundle)),
        ..trust(Require, cas[0])
    }
}

#[test]
fn each_refusal_has_its_alert_its_reason_and_its_counter() {
    let (listed, stale, unlisted) = (Ca::new("listed"), Ca::new("stale"), Ca::new("unlisted"));
    let (good, revoked) = (device(&listed, "pump-1"), device(&listed, "pump-2"));
    let now = SystemTime::now();
    let lists = listed.crl(&[&revoked]) + &stale.crl_of(&[], now - 3 * DAY, now - DAY);
    let gate = Gate::start(&lists, |config| {
        config.client_auth = ClientAuth {
            rules: vec![
                rule(RuleField::Dns, RuleMatching::Suffix, ".pumps.example"),
                rule(RuleField::CommonName, RuleMatching::Prefix, "pump-"),
            ],
            revocation: Some(strict()),
            ..trusting(&[&listed, &stale, &unlisted])
        };
    });
    gate.serves(&good);
    let by_other_name = listed.leaf().dns("a.pumps.example").client_auth().issue();
    gate.serves(&by_other_name);
    let expired = listed.leaf().common_name("pump-3").client_auth().expired();
    let early = listed
        .leaf()
        .common_name("pump-4")
        .client_auth()
        .not_yet_valid();
    for (refused, reason, alert) in [
        (device(&Ca::new("listed"), "pump-1"), "bad_signature", 51),
        (
            device(&Ca::new("strangers"), "pump-1"),
            "unknown_issuer",
            48,
        ),
        (expired.issue(), "expired", 45),
        (early.issue(), "not_yet_valid", 45),
        (revoked, "revoked", 44),
        (listed.leaf().common_name("pump-5").issue(), "purpose", 43),
        (device(&listed, "valve-1"), "no_rule_matches", 49),
        (device(&stale, "pump-1"), "outdated_list", 46),
        (device(&unlisted, "pump-1"), "unlisted", 46),
    ] {
        gate.refuses(&refused, alert);
        let counted = gate.count("refused", "", reason);
        assert!((counted - 2.0).abs() < 0.5, "{reason}: {counted}");
        let entry = eventually(SOON, &format!("the journal has {reason}"), || {
            let (_, body) = gate.fixture.get("/handshakes");
            let mut entries: Vec<Value> = serde_json::from_str(&body).unwrap();
            (entries.first()?["certificateReason"] == reason).then(|| entries.swap_remove(0))
        });
        assert_eq!(entry["reason"], "client_certificate_refused", "{entry}");
        assert!(
            entry["certificate"].as_str().unwrap().starts_with("CN="),
            "{entry}"
        );
        // Go sees the same: each of its errors names the alert.
        let client = GoClient::handshake(gate.fixture.addr(), &gate.fixture.ca);
        let seen = client.identity(&refused).versions("1.2", "1.2").run();
        assert!(
            seen.error.contains("remote error: tls: "),
            "{reason}: {seen:?}"
        );
    }
    for version in VERSIONS {
        assert_eq!(gate.alert_in(version, "localhost", None), Some(116));
    }
    gate.fixture.wait_for_metric(
        "mqtt_tls_client_certificates_refused_total{host=\"\",reason=\"missing\"}",
        // Go sends no certificate of a CA that is not asked for.
        3.0,
    );
}

/// Public CAs issue no certificates for clients any more.
#[test]
fn a_certificate_for_servers_is_accepted_on_request() {
    let devices = Ca::new("devices");
    let public = devices
        .intermediate("public")
        .leaf()
        .dns("p7.example")
        .issue();
    let start = |accepts| {
        Gate::start("", |config| {
            config.client_auth = ClientAuth {
                accept_server_purpose: accepts,
                ..trust(Require, &devices)
            };
        })
    };
    start(false).refuses(&public, 43);
    let lenient = start(true);
    lenient.serves(&public);
    lenient.serves(&device(&devices, "pump-1"));
    lenient.refuses(&device(&Ca::new("strangers"), "pump-1"), 48);
}

#[test]
fn rules_change_without_a_restart_and_a_bad_one_is_refused_at_its_key() {
    let devices = Ca::new("devices");
    let (pump, valve) = (device(&devices, "pump-1"), device(&devices, "valve-1"));
    let gate = Gate::start("", |config| config.client_auth = trust(Require, &devices));
    gate.serves(&valve);
    let mut config = gate.fixture.config.clone();
    config.client_auth.rules = vec![rule(RuleField::CommonName, RuleMatching::Prefix, "pump-")];
    gate.fixture.rewrite(&config);
    gate.fixture.wait_for_generation(2);
    gate.refuses(&valve, 49);
    gate.serves(&pump);
    config.client_auth.rules = vec![
        rule(RuleField::CommonName, RuleMatching::Prefix, "pump-"),
        rule(RuleField::Dns, RuleMatching::Suffix, "example.com"),
    ];
    gate.fixture.rewrite(&config);
    let (reason, message) = gate.fixture.wait_for_refusal();
    assert_eq!(reason, "ClientRules");
    assert!(
        message.starts_with("clientAuth.rules[1]: the suffix"),
        "{message}"
    );
    gate.refuses(&valve, 49);
    // The counters outlive reloads.
    let counted = gate.count("refused", "", "no_rule_matches");
    assert!((counted - 4.0).abs() < 0.5, "{counted}");
}

/// Each host has its own authorities and rules, and all have the same lists.
#[test]
fn hosts_with_authorities_of_their_own_share_the_lists() {
    let (devices, tenants) = (Ca::new("devices"), Ca::new("tenants"));
    let (pump, gone) = (device(&devices, "pump-1"), device(&devices, "pump-2"));
    let (tenant, former) = (device(&tenants, "t-1"), device(&tenants, "t-2"));
    let lists = devices.crl(&[&gone]) + &tenants.crl(&[&former]);
    let gate = Gate::start(&lists, |config| {
        config.client_auth = ClientAuth {
            revocation: Some(strict()),
            ..trust(Require, &devices)
        };
        config.hosts = vec![mqtt_tls_config::Host {
            names: vec!["tenant.example".to_owned()],
            pem: None,
            candidate: None,
            certificates: Vec::new(),
            client_auth: Some(ClientAuth {
                revocation: Some(strict()),
                ..trust(Require, &tenants)
            }),
            identity: None,
            backend: None,
            tls: mqtt_tls_config::HostTls::default(),
        }];
    });
    for version in VERSIONS {
        for (name, device, alert) in [
            ("localhost", &pump, None),
            ("localhost", &gone, Some(44)),
            ("localhost", &tenant, Some(48)),
            ("tenant.example", &tenant, None),
            ("tenant.example", &former, Some(44)),
            ("tenant.example", &pump, Some(48)),
        ] {
            let found = gate.alert_in(version, name, Some(device));
            assert_eq!(found, alert, "{version} {name}");
        }
    }
    for (host, reason) in [
        ("", "revoked"),
        ("", "unknown_issuer"),
        ("tenant.example", "revoked"),
        ("tenant.example", "unknown_issuer"),
    ] {
        let counted = gate.count("refused", host, reason);
        assert!((counted - 2.0).abs() < 0.5, "{host} {reason}: {counted}");
    }
    let lists = gate.status()["revocation"]["sources"][0]["lists"].clone();
    let issuers: Vec<&str> = lists
        .as_array()
        .unwrap()
        .iter()
        .map(|list| list["issuer"].as_str().unwrap())
        .collect();
    assert_eq!(issuers, ["CN=devices", "CN=tenants"]);
}

/// Runs `check FILE --crls LISTS`.
fn check(config: &Config, lists: &str) -> tests::process::Finished {
    let file = crate::fixture::write(config);
    let crls = file.with_file_name("crls");
    std::fs::write(&crls, lists).unwrap();
    let mut command = std::process::Command::new(tests::programs::terminator());
    command.arg("check").arg(&file).arg("--crls").arg(&crls);
    tests::process::run(command, b"", SOON)
}

#[test]
fn check_judges_rules_and_lists() {
    let (server, devices) = (Ca::new("server CA"), Ca::new("devices"));
    let leaf = server.leaf().dns("localhost").issue();
    let backend: SocketAddr = ([127, 0, 0, 1], 1883).into();
    let mut config = crate::fixture::config(&leaf, backend);
    config.client_auth = ClientAuth {
        revocation: Some(Revocation::default()),
        ..trust(Require, &devices)
    };
    let good = check(&config, &devices.crl(&[]));
    assert_eq!((good.status.code(), &*good.stderr), (Some(0), ""));
    let now = SystemTime::now();
    let stale = check(&config, &devices.crl_of(&[], now - 3 * DAY, now - DAY));
    assert_eq!(stale.status.code(), Some(0), "{stale:?}");
    let expected = "warning: --crls: the revocation list of CN=devices was to be replaced by ";
    assert!(stale.stderr.starts_with(expected), "{}", stale.stderr);
    let foreign = check(&config, &Ca::new("devices").crl(&[]));
    assert_eq!(foreign.status.code(), Some(1), "{foreign:?}");
    let expected = "--crls: the signature of the revocation list of CN=devices does not fit";
    assert!(foreign.stderr.contains(expected), "{}", foreign.stderr);
    config.client_auth.rules = vec![rule(RuleField::Spki, RuleMatching::Prefix, "ab")];
    let refused = check(&config, &devices.crl(&[]));
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let expected = "clientAuth.rules[0]: spki can be compared as a whole only";
    assert!(refused.stderr.contains(expected), "{}", refused.stderr);
}

/// Removes a file of lists.
fn remove(file: &Path) {
    std::fs::remove_file(file).unwrap();
}
