//! `/connections`: who is behind each open connection, on loopback only and where it is switched on.

use mqtt_tls_config::ClientAuthMode::Optional;
use mqtt_tls_config::{Identity, Mismatch, Naming, NamingAction, WithoutCertificate};
use serde_json::Value;
use tests::clients::tls::Connector;
use tests::mqtt::{self, Version};
use tests::pki::Ca;
use tests::wait::eventually;

use crate::fixture::{Fixture, SOON, Scripted, trust};

fn listed(fixture: &Fixture, query: &str) -> Value {
    let (status, text) = fixture.get(&format!("/connections{query}"));
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

fn count(fixture: &Fixture, query: &str) -> usize {
    listed(fixture, query)["connections"]
        .as_array()
        .unwrap()
        .len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_found_by_the_socket_that_the_broker_sees() {
    let (devices, backend) = (Ca::new("devices"), Scripted::start().await);
    let fixture = Fixture::start_with(backend.addr(), |config| {
        config.admin.connections = true;
        config.client_auth = trust(Optional, &devices);
        config.identity = Some(Identity {
            user_name: Some(Naming {
                template: "factory-{cn}".to_owned(),
                action: NamingAction::Set,
                mismatch: Mismatch::Overwrite,
            }),
            client_id: None,
            without_certificate: Some(WithoutCertificate {
                user_name: Some("guest".to_owned()),
                client_id_prefix: None,
            }),
            ..Identity::default()
        });
    });
    let leaf = devices.leaf().common_name("p7").client_auth().issue();
    let connectors = [
        ("first", fixture.client()),
        ("second", Connector::with_identity(&fixture.ca, &leaf)),
    ];
    let mut open = Vec::new();
    for (id, connector) in connectors {
        let mut client = connector.connect(fixture.addr()).await.unwrap();
        client.send(&mqtt::connect(Version::V5, id)).await.unwrap();
        let peer = backend.accept_any().await;
        let ours = client.tcp().local_addr().unwrap().to_string();
        let theirs = peer.0.peer_addr().unwrap().to_string();
        open.push((id, client, peer, ours, theirs));
    }
    for (id, _, _, ours, theirs) in &open {
        let found = listed(&fixture, &format!("?backend={theirs}"));
        assert_eq!(found["next"], Value::Null);
        let found = &found["connections"];
        assert_eq!(found.as_array().unwrap().len(), 1, "{found}");
        assert_eq!(found[0]["clientId"], *id);
        assert_eq!(found[0]["address"], **ours);
        assert_eq!(found[0]["backend"], **theirs);
        assert_eq!(found[0]["host"], Value::Null);
        let identity = if *id == "second" {
            "factory-p7".into()
        } else {
            Value::Null
        };
        assert_eq!(found[0]["identity"], identity);
        assert!(found[0]["since"].as_str().unwrap().ends_with('Z'));
    }
    assert_eq!(count(&fixture, "?identity=factory-p7&clientId=second"), 1);
    assert_eq!(count(&fixture, "?address=127.0.0.1"), 2);
    assert_eq!(count(&fixture, "?address=127.0.0.2"), 0);
    let first = listed(&fixture, "?limit=1");
    let after = first["next"].as_str().unwrap();
    let second = listed(&fixture, &format!("?limit=1&after={after}"));
    assert_ne!(first["connections"], second["connections"]);
    drop(open);
    eventually(SOON, "ended connections are not listed", || {
        (count(&fixture, "") == 0).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_listed_unless_it_is_wanted() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start(backend.addr());
    let (status, text) = fixture.get("/connections");
    assert_eq!(status, 404);
    assert!(text.contains("`connections: true`"), "{text}");
    let mut config = fixture.config.clone();
    config.admin.connections = true;
    let before = fixture.client().open(fixture.addr()).await.unwrap();
    backend.accept().await;
    fixture.rewrite(&config);
    fixture.wait_for_generation(2);
    // The connection from before is not known.
    assert_eq!(count(&fixture, ""), 0);
    drop(before);
    for (query, said) in [
        ("?limit=x", "limit"),
        ("?unknown=1", "unknown"),
        ("?after=x", "after"),
    ] {
        let (status, text) = fixture.get(&format!("/connections{query}"));
        assert_eq!(status, 400);
        assert!(text.contains(said), "{text}");
    }
}
