//! Who gets the candidate, and which connections are counted.

use mqtt_tls_config::{
    Certificate, Group, Host, PROBE_CANDIDATE_PROTOCOL, PROBE_PROTOCOL, Protocol, Tickets,
};
use rustls::HandshakeKind;
use rustls::client::Resumption;
use rustls::version::{TLS12, TLS13};
use tests::clients::openssl::SClient;
use tests::clients::tls::Connector;
use tests::mqtt;
use tests::pki::KeyKind;

use super::{Got, Trying, broker, loopback};

#[tokio::test(flavor = "multi_thread")]
async fn the_share_decides() {
    let trying = Trying::start(0).await;
    let both = trying.both();
    for _ in 0..8 {
        assert_eq!(trying.connect(&both).await.unwrap(), Got::Current);
    }
    assert!(
        trying.counts().is_null(),
        "without a draw nothing is counted"
    );
    trying.follow(10_000, Vec::new());
    for _ in 0..8 {
        assert_eq!(trying.connect(&both).await.unwrap(), Got::Candidate);
    }
    assert_eq!(trying.counts()["candidate"]["served"], 8);
    trying.follow(5_000, Vec::new());
    let mut candidates = 0;
    for _ in 0..64 {
        candidates += u64::from(trying.connect(&both).await.unwrap() == Got::Candidate);
    }
    assert!((1..64).contains(&candidates), "one in 2^63 runs fails");
    let second = &trying.shown()["counts"][1];
    assert_eq!(second["share"], 5_000);
    assert_eq!(second["candidate"]["served"], candidates);
    assert_eq!(second["current"]["served"], 64 - candidates);
    let series = "mqtt_tls_trial_handshakes_total{arm=\"candidate\",outcome=\"served\"}";
    let expected = f64::from(u32::try_from(candidates).unwrap() + 8);
    trying.fixture.wait_for_metric(series, expected);
}

/// The certificate is chosen twice then. What a client got and what is counted are the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_hello_retry_request_keeps_the_draw() {
    let trying = Trying::start_with(broker().await, 5_000, |config| {
        config.tls.groups = vec![Group::P384];
    });
    // It would remember the group.
    let both = trying
        .both()
        .configure(|config| config.resumption = Resumption::disabled());
    let mut candidates = 0;
    for _ in 0..40 {
        let connected = both.connect_mqtt(trying.fixture.addr(), "device").await;
        let client = connected.unwrap();
        let kind = client.session().handshake_kind();
        assert_eq!(kind, Some(HandshakeKind::FullWithHelloRetryRequest));
        candidates += u64::from(trying.got(&client) == Got::Candidate);
    }
    let counts = trying.counts();
    assert_eq!(counts["candidate"]["served"], candidates);
    assert_eq!(counts["current"]["served"], 40 - candidates);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resumed_session_is_not_counted() {
    let trying = Trying::start_with(broker().await, 10_000, |config| {
        config.tls.tickets = Tickets::All;
    });
    for (index, version) in [&TLS12, &TLS13].into_iter().enumerate() {
        let cas = [&trying.fixture.ca, &trying.new_ca];
        let device = Connector::build_of(&cas, None, &[version]);
        for is_resumed in [false, true, true] {
            let connected = device.connect_mqtt(trying.fixture.addr(), "device").await;
            let kind = connected.unwrap().session().handshake_kind();
            assert_eq!(kind == Some(HandshakeKind::Resumed), is_resumed);
        }
        assert_eq!(trying.counts()["candidate"]["served"], index + 1);
    }
}

/// It would be locked out after the trial, so it is counted, and does not suffer meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_verify_the_candidates_key_gets_the_current_one() {
    let trying = Trying::start_of(KeyKind::Rsa2048, broker().await, 10_000, |_| {});
    let device = |schemes: &str| {
        let client = SClient::new(trying.fixture.addr(), &trying.fixture.ca);
        client
            .args(&["-sigalgs", schemes])
            .run(&mqtt::first_packet())
    };
    for _ in 0..2 {
        let seen = device("ECDSA+SHA256");
        assert!(seen.stdout.contains("Verify return code: 0"), "{seen:?}");
    }
    trying.wait_for("/candidate/unable", 2);
    assert_eq!(trying.counts()["candidate"]["unableDevices"], 1);
    let counts = trying.counts();
    assert_eq!(
        (
            &counts["candidate"]["aborted"],
            &counts["current"]["served"]
        ),
        (&0.into(), &0.into())
    );
    let seen = device("ECDSA+SHA256:RSA-PSS+SHA256");
    assert!(!seen.stdout.contains("Verify return code: 0"), "{seen:?}");
    trying.wait_for("/candidate/aborted", 1);
}

/// After the trial it would get another certificate of its name, so the trial is not about it.
#[tokio::test(flavor = "multi_thread")]
async fn who_has_another_certificate_to_get_is_not_counted() {
    let trying = Trying::start_of(KeyKind::Rsa2048, broker().await, 10_000, |config| {
        config.certificates = vec![Certificate::new(config.pem.clone())];
    });
    let device = |schemes: &str| {
        let client = SClient::new(trying.fixture.addr(), &trying.fixture.ca);
        client
            .args(&["-sigalgs", schemes])
            .run(&mqtt::first_packet())
    };
    let seen = device("ECDSA+SHA256");
    assert!(seen.stdout.contains("Verify return code: 0"), "{seen:?}");
    let opened = "mqtt_tls_connections_opened_total";
    trying.fixture.wait_for_metric(opened, 1.0);
    assert!(trying.counts().is_null(), "{}", trying.shown());
    device("ECDSA+SHA256:RSA-PSS+SHA256");
    trying.wait_for("/candidate/aborted", 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_gets_the_candidate_only_if_it_asks_for_it() {
    let trying = Trying::start(10_000).await;
    let probe = |marks: &[&[u8]]| {
        let marks = marks.iter().map(|mark| mark.to_vec()).collect();
        trying
            .both()
            .configure(|config| config.alpn_protocols = marks)
    };
    let addr = trying.fixture.addr();
    let plain = probe(&[PROBE_PROTOCOL]).connect(addr).await.unwrap();
    assert_eq!(trying.got(&plain), Got::Current);
    trying.follow(0, Vec::new());
    let marked = probe(&[PROBE_PROTOCOL, PROBE_CANDIDATE_PROTOCOL]);
    let marked = marked.connect(addr).await.unwrap();
    assert_eq!(trying.got(&marked), Got::Candidate);
    let alone = probe(&[PROBE_CANDIDATE_PROTOCOL])
        .connect(addr)
        .await
        .unwrap();
    assert_eq!(trying.got(&alone), Got::Current, "it is no probe");
    assert!(trying.counts().is_null(), "no probe is counted");
}

/// Other protocols have no first packet: any byte is one, before the backend is dialed or after it.
#[tokio::test(flavor = "multi_thread")]
async fn of_another_protocol_the_first_byte_counts() {
    let trying = Trying::start_with(broker().await, 10_000, |config| {
        config.protocol = Protocol::Tcp;
    });
    let mut served = trying.both().connect(trying.fixture.addr()).await.unwrap();
    let mut silent = trying.both().bound_to(loopback(1));
    silent = silent.configure(|config| config.alpn_protocols = vec![b"x".to_vec()]);
    let mut silent = silent.connect(trying.fixture.addr()).await.unwrap();
    let opened = "mqtt_tls_connections_opened_total";
    trying.fixture.wait_for_metric(opened, 2.0);
    assert!(trying.counts().is_null());
    served.send(b"x").await.unwrap();
    trying.wait_for("/candidate/served", 1);
    silent.close_notify().await.unwrap();
    trying.wait_for("/candidate/aborted", 1);
    assert_eq!(trying.shown()["alerts"]["no_first_packet"], 1);
    served.close_notify().await.unwrap();
    trying
        .fixture
        .wait_for_metric("mqtt_tls_connections_open", 0.0);
    assert_eq!(trying.counts()["candidate"]["aborted"], 1);
}

/// A host has a trial of its own, or that of the listener whose certificate it serves.
#[tokio::test(flavor = "multi_thread")]
async fn hosts_have_candidates_too() {
    let trying = Trying::start_with(broker().await, 10_000, |config| {
        let own = Host {
            pem: Some(config.pem.clone()),
            ..Host::new(vec!["own.example".to_owned()])
        };
        let inherits = Host::new(vec!["localhost".to_owned()]);
        config.hosts = vec![own, inherits];
    });
    assert_eq!(
        trying.connect(&trying.both()).await.unwrap(),
        Got::Candidate
    );
    let own = trying.both().server_name("own.example");
    assert_eq!(trying.connect(&own).await.unwrap(), Got::Current);
    assert_eq!(trying.counts()["candidate"]["served"], 1);
}
