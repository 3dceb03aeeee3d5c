//! `DryRun`: each client is served, counted as it would be refused, and has no identity.

use mqtt_tls_config::ClientAuthMode::{DryRun, Require};
use mqtt_tls_config::{
    ClientAuth, Identity, Mismatch, Naming, NamingAction, RuleField, RuleMatching, Tickets,
    WithoutCertificate,
};
use tests::clients::go::GoClient;
use tests::clients::openssl::{SClient, is_resumed};
use tests::clients::tls::Connector;
use tests::mqtt::{self, Version};
use tests::pki::Ca;

use super::{Gate, VERSIONS, device, rule, strict, trusting};
use crate::fixture::{CONNACK, Fixture, Scripted, trust};

#[test]
fn each_client_is_served_and_counted_as_it_would_be_refused() {
    let (devices, unlisted) = (Ca::new("devices"), Ca::new("unlisted"));
    let (good, revoked) = (device(&devices, "pump-1"), device(&devices, "pump-2"));
    let gate = Gate::start(&devices.crl(&[&revoked]), |config| {
        config.client_auth = ClientAuth {
            mode: DryRun,
            rules: vec![rule(RuleField::CommonName, RuleMatching::Prefix, "pump-")],
            revocation: Some(strict()),
            ..trusting(&[&devices, &unlisted])
        };
    });
    let expired = devices.leaf().common_name("pump-3").client_auth().expired();
    for (served, reason) in [
        (device(&Ca::new("strangers"), "pump-1"), "unknown_issuer"),
        (expired.issue(), "expired"),
        (revoked, "revoked"),
        (devices.leaf().common_name("pump-5").issue(), "purpose"),
        (device(&devices, "valve-1"), "no_rule_matches"),
        (device(&unlisted, "pump-1"), "unlisted"),
    ] {
        gate.serves(&served);
        let counted = gate.count("would_refuse", "", reason);
        assert!((counted - 2.0).abs() < 0.5, "{reason}: {counted}");
    }
    for version in VERSIONS {
        assert_eq!(gate.alert_in(version, "localhost", None), None);
    }
    let counted = gate.count("would_refuse", "", "missing");
    assert!((counted - 2.0).abs() < 0.5, "{counted}");
    gate.serves(&good);
    let client = GoClient::handshake(gate.fixture.addr(), &gate.fixture.ca);
    assert_eq!(client.identity(&good).run().error, "");
    let counted: f64 = gate
        .fixture
        .get("/metrics")
        .1
        .lines()
        .filter(|line| line.starts_with("mqtt_tls_client_certificates_would_refuse_total{"))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum();
    assert!(
        (counted - 14.0).abs() < 0.5,
        "a good client counts nowhere: {counted}"
    );
    assert_eq!(gate.status()["clientAuth"], "DryRun");
    // What is rehearsed then holds, with the same counters from now on.
    let mut config = gate.fixture.config.clone();
    config.client_auth.mode = mqtt_tls_config::ClientAuthMode::Require;
    gate.fixture.rewrite(&config);
    gate.fixture.wait_for_generation(2);
    gate.refuses(&device(&devices, "valve-1"), 49);
    gate.serves(&good);
}

/// A kind of key that is not supported is refused by a verifier of signatures, which a dry run must not have.
#[test]
fn a_key_that_cannot_be_verified_is_served() {
    let devices = Ca::new("devices");
    let gate = Gate::start("", |config| {
        config.client_auth = ClientAuth {
            mode: DryRun,
            ..trust(DryRun, &devices)
        };
    });
    let folder = tests::workdir::scratch("weak");
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let mut make = std::process::Command::new("openssl");
    make.args([
        "req",
        "-x509",
        "-newkey",
        "rsa:1024",
        "-nodes",
        "-subj",
        "/CN=weak",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ]);
    make.args(["-days", "2", "-keyout", &path("key"), "-out", &path("cert")]);
    assert!(
        tests::process::run(make, b"", crate::fixture::SOON)
            .status
            .success()
    );
    for version in VERSIONS {
        let client = SClient::unverified(gate.fixture.addr(), "localhost").arg(version);
        let client = client.args(&["-cert", &path("cert"), "-key", &path("key")]);
        // OpenSSL itself would not use such a key.
        let client = client.args(&["-cipher", "DEFAULT@SECLEVEL=0"]);
        let seen = client.until_server_closes().run(b"");
        assert!(
            !seen.stderr.contains("alert number"),
            "{version}: {}",
            seen.stderr
        );
        assert!(
            seen.stdout.contains("Cipher is"),
            "{version}: {}",
            seen.stdout
        );
    }
    let counted = gate.count("would_refuse", "", "unknown_issuer");
    assert!((counted - 2.0).abs() < 0.5, "{counted}");
}

/// The certificate was not verified when the session began, so it gives no name, and is not shown as the client's.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_counts_as_one_without_a_certificate() {
    let (devices, backend) = (Ca::new("devices"), Scripted::start().await);
    let fixture = Fixture::start_with(backend.addr(), |config| {
        config.client_auth = trust(DryRun, &devices);
        config.admin.connections = true;
        config.identity = Some(Identity {
            user_name: Some(Naming {
                template: "{cn}".to_owned(),
                action: NamingAction::Set,
                mismatch: Mismatch::Overwrite,
            }),
            without_certificate: Some(WithoutCertificate {
                user_name: Some("guest".to_owned()),
                client_id_prefix: None,
            }),
            ..Identity::default()
        });
    });
    let good = device(&devices, "admin");
    for version in Version::ALL {
        let connector = Connector::with_identity(&fixture.ca, &good);
        let mut client = connector.connect(fixture.addr()).await.unwrap();
        client
            .send(&mqtt::connect_as(version, "id", "admin"))
            .await
            .unwrap();
        let mut peer = backend.accept_any().await;
        let expected = mqtt::connect_as(version, "id", "guest");
        assert_eq!(peer.read_exact(expected.len()).await, expected);
        peer.send(CONNACK).await;
        assert!(client.read_packet().await.unwrap().accepts());
        let (_, shown) = fixture.get("/connections");
        assert!(!shown.contains("admin"), "{shown}");
    }
}

/// What a dry run has counted was not refused, and is there again with the next one.
#[test]
fn refusals_are_counted_from_the_end_of_a_dry_run() {
    let devices = Ca::new("devices");
    let foreign = device(&Ca::new("strangers"), "pump-1");
    let gate = Gate::start("", |config| config.client_auth = trust(DryRun, &devices));
    let has_counted = |metric: &str, count: f64| {
        let counted = gate.count(metric, "", "unknown_issuer");
        assert!((counted - count).abs() < 0.5, "{metric}: {counted}");
    };
    gate.serves(&foreign);
    has_counted("would_refuse", 2.0);
    let mut config = gate.fixture.config.clone();
    config.client_auth.mode = Require;
    gate.fixture.rewrite(&config);
    gate.fixture.wait_for_generation(2);
    has_counted("refused", 0.0);
    for count in [2.0, 4.0] {
        gate.refuses(&foreign, 48);
        has_counted("refused", count);
    }
    config.client_auth.mode = DryRun;
    gate.fixture.rewrite(&config);
    gate.fixture.wait_for_generation(3);
    has_counted("would_refuse", 2.0);
}

/// Where names come from certificates, none of which counts, a dry run would refuse all clients: that is said.
#[test]
fn names_without_a_fallback_are_warned_of() {
    let devices = Ca::new("devices");
    let gate = Gate::start("", |config| {
        config.client_auth = trust(DryRun, &devices);
        config.identity = Some(Identity {
            client_id: Some(Naming {
                template: "{cn}".to_owned(),
                action: NamingAction::Set,
                mismatch: Mismatch::Overwrite,
            }),
            ..Identity::default()
        });
    });
    let warnings = gate.status()["warnings"].clone();
    let is_said = |warning: &serde_json::Value| {
        warning["reason"] == "DryRunRefuses" && warning["key"] == "identity"
    };
    assert!(
        warnings.as_array().unwrap().iter().any(is_said),
        "{warnings}"
    );
}

/// A session that was not verified must not come back as one that was.
#[test]
fn no_tickets_are_issued() {
    let devices = Ca::new("devices");
    let gate = Gate::start("", |config| {
        config.client_auth = trust(DryRun, &devices);
        config.tls.tickets = Tickets::All;
    });
    let file = tests::workdir::scratch("session").join("session");
    let session = file.to_str().unwrap();
    for version in VERSIONS {
        let connect = |option| {
            let client = SClient::unverified(gate.fixture.addr(), "localhost").arg(version);
            client
                .args(&[option, session])
                .until_server_closes()
                .run(b"")
                .stdout
        };
        connect("-sess_out");
        assert!(!file.exists() || !is_resumed(&connect("-sess_in")));
    }
}
