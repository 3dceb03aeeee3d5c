//! What makes the verdict about a connected client change, and what does not.

use std::time::Duration;

use mqtt_tls_config::ClientAuthMode::{DryRun, None as Nothing, Optional, Require};
use mqtt_tls_config::{ClientRule, Config, Host, HostTls, Pem, RuleField, RuleMatching};
use tests::clients::tls::{Connector, End};
use tests::pki::Ca;

use super::{Judging, LONG, strict};
use crate::fixture::{Fixture, Scripted, trust};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_revoked_is_closed_and_others_go_on() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let judging = Judging::start(|ca| ca.crl(&[]), |_| {}).await;
        let (bad, good) = (judging.device("bad"), judging.device("good"));
        let connector = Connector::build(&judging.fixture.ca, Some(&bad), &[version]);
        let mut revoked = judging.connect_by(&connector).await;
        let mut stays = judging.connect(&good).await;
        // What the client has sent is delivered, and what the broker has sent as well.
        revoked.client.send(b"last words").await.unwrap();
        assert_eq!(revoked.peer.read_exact(10).await, b"last words");
        judging.list(&judging.devices.crl(&[&bad]));
        revoked.ends().await;
        judging.wait_for("revoked", 1.0);
        judging.wait_for("ok", 1.0);
        stays.lives().await;
        assert!((judging.closed() - 1.0).abs() < 0.5);
        let (_, journal) = judging.fixture.get("/handshakes");
        let journal: serde_json::Value = serde_json::from_str(&journal).unwrap();
        assert_eq!(journal[0]["reason"], "certificate_refused");
        assert_eq!(journal[0]["certificateReason"], "revoked");
        assert_eq!(journal[0]["certificate"], "CN=bad");
    }
}

/// Adds a CA to those that clients' certificates may chain to.
fn trust_too(config: &mut Config, others: &Ca) {
    let ca = config.client_auth.ca.take().unwrap();
    let both = format!("{}{}", ca.expose(), others.cert_pem());
    config.client_auth.ca = Some(Pem::new(both));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_with_other_entries_closes_no_one() {
    let judging = Judging::start(|ca| ca.crl(&[]), |_| {}).await;
    let (one, other) = (judging.device("one"), judging.device("other"));
    let mut connected = judging.connect(&one).await;
    judging.list(&judging.devices.crl(&[&other]));
    judging.wait_for("ok", 1.0);
    connected.lives().await;
}

/// The last good list covers its clients, whatever may be missing beside it.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_fails_closes_no_client_of_its_last_good_list() {
    let others = Ca::new("others");
    let judging = Judging::start(
        |ca| ca.crl(&[]),
        |config| {
            trust_too(config, &others);
            config.client_auth.revocation = Some(strict());
        },
    )
    .await;
    let mut listed = judging.connect(&judging.device("listed")).await;
    let unlisted = others.leaf().common_name("unlisted").client_auth().issue();
    let mut unlisted = judging.connect(&unlisted).await;
    judging.list("nothing");
    let broken = "mqtt_tls_revocation_list_loads_total{outcome=\"BrokenList\",source=\"file\"}";
    judging.fixture.wait_for_metric(broken, 1.0);
    judging.list(&judging.devices.crl_between(&[], -1, 3600));
    judging.wait_for("ok", 2.0);
    assert!(judging.closed().abs() < 0.5);
    listed.lives().await;
    unlisted.lives().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_that_is_removed_closes_its_clients() {
    let others = Ca::new("others");
    let judging = Judging::start(
        |ca| ca.crl(&[]),
        |config| {
            trust_too(config, &others);
        },
    )
    .await;
    let removed = judging.connect(&judging.device("a")).await;
    let other = others.leaf().common_name("b").client_auth().issue();
    let mut stays = judging.connect(&other).await;
    judging.change(|config| config.client_auth.ca = Some(Pem::new(others.cert_pem())));
    removed.ends().await;
    judging.wait_for("unknown_issuer", 1.0);
    judging.wait_for("ok", 1.0);
    stays.lives().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_or_purpose_that_changes_closes_whom_it_excludes() {
    let rule = |value: &str| ClientRule {
        field: RuleField::CommonName,
        matching: RuleMatching::Exact,
        value: value.to_owned(),
    };
    let judging = Judging::start(
        |ca| ca.crl(&[]),
        |config| config.client_auth.accept_server_purpose = true,
    )
    .await;
    let excluded = judging.connect(&judging.device("a")).await;
    let server = judging.devices.leaf().common_name("b").issue();
    let server = judging.connect(&server).await;
    let mut stays = judging.connect(&judging.device("b")).await;
    judging.change(|config| config.client_auth.rules = vec![rule("b")]);
    excluded.ends().await;
    judging.wait_for("no_rule_matches", 1.0);
    judging.wait_for("ok", 2.0);
    judging.change(|config| {
        config.client_auth.rules = vec![rule("b"), rule("c")];
        config.client_auth.accept_server_purpose = false;
    });
    server.ends().await;
    judging.wait_for("purpose", 1.0);
    judging.wait_for("ok", 3.0);
    stays.lives().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_expires_closes_its_client() {
    let judging = Judging::start(|ca| ca.crl(&[]), |_| {}).await;
    let short = judging.devices.leaf().client_auth();
    let short = short.valid_for(Duration::from_secs(3)).issue();
    let mut stays = judging.connect(&judging.device("long")).await;
    let expires = judging.connect(&short).await;
    expires.ends().await;
    judging.wait_for("expired", 1.0);
    stays.lives().await;
    // Those that do not expire are not judged.
    judging.wait_for("ok", 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_outdated_closes_clients_where_it_is_refused() {
    let accepting = Judging::start(|ca| ca.crl_between(&[], -60, 4), |_| {}).await;
    let refusing = Judging::start(
        |ca| ca.crl_between(&[], -60, 4),
        |config| config.client_auth.revocation = Some(strict()),
    )
    .await;
    let mut stays = accepting.connect(&accepting.device("a")).await;
    let closed = refusing.connect(&refusing.device("a")).await;
    closed.ends().await;
    refusing.wait_for("outdated_list", 1.0);
    stays.lives().await;
    // A new list lets it in again.
    refusing.list(&refusing.devices.crl_between(&[], -30, 3600));
    refusing.fixture.wait_for_metric(
        "mqtt_tls_revocation_list_loads_total{outcome=\"ok\",source=\"file\"}",
        2.0,
    );
    refusing.connect(&refusing.device("b")).await.lives().await;
}

/// What a client was admitted with is judged; whether clients are asked for a certificate concerns new ones.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_mode_closes_no_one_without_a_certificate() {
    let judging = Judging::start(
        |ca| ca.crl(&[]),
        |config| config.client_auth.mode = Optional,
    )
    .await;
    let anonymous = Connector::new(&judging.fixture.ca);
    let mut anonymous = judging.connect_by(&anonymous).await;
    let bad = judging.device("bad");
    let mut revoked = judging.connect(&bad).await;
    // These refuse no one.
    judging.change(|config| config.client_auth.mode = DryRun);
    judging.wait_for("ok", 1.0);
    revoked.lives().await;
    judging.list(&judging.devices.crl(&[&bad]));
    judging.wait_for("ok", 2.0);
    revoked.lives().await;
    judging.change(|config| config.client_auth.mode = Nothing);
    revoked.lives().await;
    assert!(judging.closed() < 0.5);
    judging.change(|config| config.client_auth.mode = Require);
    revoked.ends().await;
    anonymous.lives().await;
    assert!((judging.closed() - 1.0).abs() < 0.5);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_judged_by_the_host_that_has_their_name() {
    let tenants = Ca::new("tenants");
    let host = |ca: &Ca| Host {
        names: vec!["a.example".to_owned(), "*.b.example".to_owned()],
        pem: None,
        candidate: None,
        certificates: Vec::new(),
        client_auth: Some(trust(Require, ca)),
        identity: None,
        backend: None,
        tls: HostTls::default(),
    };
    let judging = Judging::start(
        |ca| ca.crl(&[]),
        |config| config.hosts = vec![host(&tenants)],
    )
    .await;
    let tenant = tenants.leaf().client_auth().issue();
    let connector = Connector::with_identity(&judging.fixture.ca, &tenant);
    let at = |name: &str| connector.clone().server_name(name);
    let mut exact = judging.connect_by(&at("a.example")).await;
    let mut wildcard = judging.connect_by(&at("x.b.example")).await;
    let mut listeners = judging.connect(&judging.device("a")).await;
    // The listener's own CA is of no concern to them.
    let next = Ca::new("next");
    let both = format!("{}{}", judging.devices.cert_pem(), next.cert_pem());
    judging.change(|config| {
        config.hosts = vec![host(&tenants)];
        config.client_auth.ca = Some(Pem::new(both.clone()));
    });
    judging.wait_for("ok", 3.0);
    for connected in [&mut exact, &mut wildcard, &mut listeners] {
        connected.lives().await;
    }
    judging.change(|config| {
        config.hosts = vec![host(&next)];
        config.client_auth.ca = Some(Pem::new(both));
    });
    exact.ends().await;
    wildcard.ends().await;
    listeners.lives().await;
    judging.wait_for("unknown_issuer", 2.0);
}

/// A name whose host is gone belongs to the listener itself.
#[tokio::test(flavor = "multi_thread")]
async fn clients_of_a_host_that_is_removed_are_judged_by_the_listener() {
    let tenants = Ca::new("tenants");
    let judging = Judging::start(
        |ca| ca.crl(&[]),
        |config| {
            config.hosts = vec![Host {
                names: vec!["localhost".to_owned()],
                pem: None,
                candidate: None,
                certificates: Vec::new(),
                client_auth: Some(trust(Require, &tenants)),
                identity: None,
                backend: None,
                tls: HostTls::default(),
            }];
        },
    )
    .await;
    let tenant = tenants.leaf().client_auth().issue();
    let closed = judging.connect(&tenant).await;
    judging.change(|config| config.hosts.clear());
    closed.ends().await;
    judging.wait_for("unknown_issuer", 1.0);
}

/// The handshake was before the change, and the first packet comes after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_opening_is_judged_too() {
    let judging = Judging::start(
        |ca| ca.crl(&[]),
        |config| config.timeouts.first_packet = LONG.min(Duration::from_secs(60)),
    )
    .await;
    let bad = judging.device("bad");
    let connector = Connector::with_identity(&judging.fixture.ca, &bad);
    let mut client = connector.connect(judging.fixture.addr()).await.unwrap();
    let line = "mqtt_tls_handshakes_total{outcome=\"ok\",version=\"1.3\",kind=\"full\"}";
    judging.fixture.wait_for_metric(line, 1.0);
    let mut other = judging.connect(&judging.device("other")).await;
    judging.list(&judging.devices.crl(&[&bad]));
    judging.wait_for("ok", 1.0);
    client.send(&tests::mqtt::first_packet()).await.unwrap();
    let mut peer = judging.backend.accept().await;
    assert_eq!(client.read_to_end().await, (Vec::new(), End::CloseNotify));
    assert_eq!(peer.read_to_end().await, (Vec::new(), Ok(())));
    other.lives().await;
}

/// A reload that changes nothing about certificates has nothing judged.
#[tokio::test(flavor = "multi_thread")]
async fn other_changes_judge_no_one() {
    let judging = Judging::start(|ca| ca.crl(&[]), |_| {}).await;
    let mut connected = judging.connect(&judging.device("a")).await;
    judging.change(|config| config.limits.connections = 1000);
    judging.list(&judging.devices.crl(&[]));
    // The list is another one.
    judging.wait_for("ok", 1.0);
    connected.lives().await;
}

/// Without client authentication there is nothing to judge.
#[tokio::test(flavor = "multi_thread")]
async fn a_listener_without_client_auth_judges_no_one() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    let mut client = fixture.client().open(fixture.addr()).await.unwrap();
    let mut peer = backend.accept().await;
    let mut config = fixture.config.clone();
    config.client_auth = trust(Require, &Ca::new("devices"));
    fixture.rewrite(&config);
    fixture.wait_for_generation(2);
    peer.send(b"!").await;
    assert_eq!(client.read_exact(1).await.unwrap(), b"!");
}
