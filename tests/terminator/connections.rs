//! `/connections`: who is behind each open connection, on loopback only and where it is switched on.

use std::net::Ipv6Addr;

use mqtt_tls_config::ClientAuthMode::Optional;
use mqtt_tls_config::{Host, Identity, Mismatch, Naming, NamingAction, WithoutCertificate};
use serde_json::Value;
use tests::clients::tls::Connector;
use tests::mqtt::{self, Version};
use tests::pki::Ca;
use tests::wait::eventually;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

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

/// Sends an HTTP GET from an address, for a host; returns the whole answer.
async fn ask_from(from: [u8; 4], port: u16, path: &str, host: &str) -> String {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let mut stream = socket.connect(([127, 0, 0, 1], port).into()).await.unwrap();
    let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// A web page whose name leads to loopback, and another pod behind a mesh's sidecar.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_shown_to_another_address_or_under_another_name() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start_with(backend.addr(), |config| config.admin.connections = true);
    let port = fixture.config.admin.port;
    for path in ["/connections", "/handshakes"] {
        for (from, host, status) in [
            ([127, 0, 0, 1], "localhost:9883", " 200 "),
            ([127, 0, 0, 1], "evil.example:9883", " 403 "),
            ([127, 0, 0, 6], "localhost:9883", " 403 "),
        ] {
            let answer = ask_from(from, port, path, host).await;
            assert!(answer.contains(status), "{from:?} {host}: {answer}");
            assert!(answer.contains("x-content-type-options: nosniff\r\n"));
        }
    }
}

/// Each thread has a list of its own; a host is found by its first name, and clients may come by IPv6.
#[tokio::test(flavor = "multi_thread")]
async fn connections_of_all_threads_and_hosts_are_listed_with_ipv6_addresses() {
    let backend = Scripted::start().await;
    let fixture = Fixture::start_with(backend.addr(), |config| {
        config.admin.connections = true;
        config.host = Some(Ipv6Addr::LOCALHOST.into());
        config.hosts = vec![Host::new(vec!["localhost".to_owned()])];
    });
    let mut open = Vec::new();
    for index in 0..16 {
        let connector = match index % 2 {
            0 => fixture.client(),
            _ => fixture.client().server_name("127.0.0.1"),
        };
        let mut client = connector.connect(fixture.addr()).await.unwrap();
        let connect = mqtt::connect(Version::V311, &index.to_string());
        client.send(&connect).await.unwrap();
        open.push((client, backend.accept_any().await));
    }
    eventually(SOON, "all are listed", || {
        (count(&fixture, "") == 16).then_some(())
    });
    assert_eq!(count(&fixture, "?address=::1"), 16);
    let found = listed(&fixture, "?host=localhost");
    let found = found["connections"].as_array().unwrap();
    assert_eq!(found.len(), 8);
    assert!(found.iter().all(|one| one["host"] == "localhost"));
    let ours = open[0].0.tcp().local_addr().unwrap().to_string();
    let encoded = ours.replace('[', "%5B").replace(']', "%5D");
    assert_eq!(count(&fixture, &format!("?address={encoded}")), 1);
    // In pages, each once.
    let (mut after, mut seen) = (String::new(), std::collections::BTreeSet::new());
    loop {
        let page = listed(&fixture, &format!("?limit=3{after}"));
        for one in page["connections"].as_array().unwrap() {
            assert!(seen.insert(one["clientId"].as_str().unwrap().to_owned()));
        }
        let Some(next) = page["next"].as_str() else {
            break;
        };
        after = format!("&after={next}");
    }
    assert_eq!(seen.len(), 16);
}
