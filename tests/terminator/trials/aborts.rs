//! What counts as an abort, and what does not.

use std::net::IpAddr;
use std::time::Duration;

use mqtt_tls_config::ClientAuthMode::Require;
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use serde_json::json;
use tests::clients::tls::{Connector, TlsClient, connect_from};
use tests::hello::{self, Hello};
use tests::mqtt;
use tests::pki::Ca;
use tests::wait::eventually;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Trying, broker, loopback};
use crate::fixture::{SOON, trust};

/// Alerts that devices send about a certificate, and others that they send instead.
const ALERTS: [(u8, &str); 17] = [
    (40, "handshake_failure"),
    (42, "bad_certificate"),
    (43, "unsupported_certificate"),
    (44, "certificate_revoked"),
    (45, "certificate_expired"),
    (46, "certificate_unknown"),
    (48, "unknown_ca"),
    (49, "access_denied"),
    (51, "decrypt_error"),
    (80, "internal_error"),
    (10, "unexpected_message"),
    (22, "record_overflow"),
    (47, "illegal_parameter"),
    (50, "decode_error"),
    (71, "insufficient_security"),
    (113, "bad_certificate_status_response"),
    (255, "other"),
];

/// Sends a ClientHello, and reads the beginning of the answer.
pub(super) async fn hear(trying: &Trying, from: IpAddr, hello: &Hello) -> TcpStream {
    let client = connect_from(Some(from), trying.fixture.addr()).await;
    let mut client = client.unwrap();
    client.write_all(&hello.records()).await.unwrap();
    let mut answer = [0; 64];
    client.read_exact(&mut answer).await.unwrap();
    client
}

/// Metrics rise before the counts of a trial. An abort that comes later is counted, and nothing before it was.
async fn one_more_is_the_only_one(trying: &Trying) {
    drop(hear(trying, loopback(200), &Hello::default()).await);
    trying.wait_for("/candidate/aborted", 1);
    assert_eq!(trying.avoided().len(), 1, "{}", trying.shown());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_alert_counts_by_its_name() {
    let trying = Trying::start(10_000).await;
    for (version, others) in [
        (&[hello::TLS12][..], 0),
        (&[hello::TLS13, hello::TLS12], 100),
    ] {
        for (address, (code, _)) in (others..).zip(ALERTS) {
            let hello = Hello::default().versions(version);
            let mut client = hear(&trying, loopback(address), &hello).await;
            client.write_all(&[21, 3, 3, 0, 2, 2, code]).await.unwrap();
        }
    }
    let count = u64::try_from(ALERTS.len()).unwrap();
    trying.wait_for("/candidate/aborted", 2 * count);
    let alerts = trying.shown()["alerts"].clone();
    for (_, name) in ALERTS {
        assert_eq!(alerts[name], 2, "{alerts}");
    }
    let own = trying.avoided().len();
    assert_eq!(u64::try_from(own).unwrap(), 2 * count, "each is remembered");
}

/// Small clients and modems send no alert.
#[tokio::test(flavor = "multi_thread")]
async fn a_cut_or_a_pause_in_the_handshake_is_an_abort() {
    let trying = Trying::start_with(broker().await, 10_000, |config| {
        config.timeouts.handshake = Duration::from_millis(500);
    });
    let hello = Hello::default();
    drop(hear(&trying, loopback(1), &hello).await);
    let reset = hear(&trying, loopback(2), &hello).await;
    reset.set_zero_linger().unwrap();
    drop(reset);
    trying.wait_for("/candidate/aborted", 2);
    let _silent = hear(&trying, loopback(3), &hello).await;
    trying.wait_for("/candidate/aborted", 3);
    assert_eq!(trying.shown()["alerts"], json!({"cut": 2, "timeout": 1}));
}

/// Nothing was shown to a client that leaves after a HelloRetryRequest, or sends half a ClientHello, or gets none of its suites.
#[tokio::test(flavor = "multi_thread")]
async fn what_ends_before_the_certificate_is_no_abort() {
    let trying = Trying::start(10_000).await;
    let retried = Hello::default().groups(&[0x001e, 0x001d]);
    drop(hear(&trying, loopback(1), &retried).await);
    let left = |outcome: &str, version: &str| {
        format!(
            "mqtt_tls_handshakes_total{{outcome=\"{outcome}\",version=\"{version}\",kind=\"none\"}}"
        )
    };
    trying
        .fixture
        .wait_for_metric(&left("left_after_certificate", "1.3"), 1.0);
    let half = connect_from(Some(loopback(2)), trying.fixture.addr()).await;
    let mut half = half.unwrap();
    half.write_all(&Hello::default().records()[..50])
        .await
        .unwrap();
    drop(half);
    trying.fixture.wait_for_metric(&left("cut", "none"), 1.0);
    let nothing = Hello::default().versions(&[hello::TLS12]).suites(&[0x002f]);
    let client = connect_from(Some(loopback(3)), trying.fixture.addr()).await;
    let mut client = client.unwrap();
    client.write_all(&nothing.records()).await.unwrap();
    let mut alert = Vec::new();
    client.read_to_end(&mut alert).await.unwrap();
    trying
        .fixture
        .wait_for_metric(&left("incompatible", "1.2"), 1.0);
    one_more_is_the_only_one(&trying).await;
}

/// Some devices check a certificate after the handshake.
#[tokio::test(flavor = "multi_thread")]
async fn a_success_without_a_first_packet_is_an_abort() {
    let trying = Trying::start_with(broker().await, 10_000, |config| {
        config.timeouts.first_packet = Duration::from_millis(500);
    });
    let cas = [&trying.fixture.ca, &trying.new_ca];
    let mut count = 0;
    for version in [&TLS12, &TLS13] {
        let mut connect = async || -> TlsClient {
            count += 1;
            let device = Connector::build_of(&cas, None, &[version]);
            let device = device.bound_to(loopback(count));
            device.connect(trying.fixture.addr()).await.unwrap()
        };
        connect().await.close_notify().await.unwrap();
        connect().await.fin().unwrap();
        connect().await.reset().unwrap();
        let mut half = connect().await;
        half.send(&mqtt::first_packet()[..5]).await.unwrap();
        drop(half);
        let mut silent = connect().await;
        silent.read_to_end().await;
    }
    trying.wait_for("/candidate/aborted", count.into());
    assert_eq!(trying.shown()["alerts"], json!({"no_first_packet": count}));
    assert_eq!(trying.counts()["candidate"]["served"], 0);
}

/// It has taken the certificate, and is refused for its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_refused_is_not_counted() {
    let devices = Ca::new("devices");
    let trying = Trying::start_with(broker().await, 10_000, |config| {
        config.client_auth = trust(Require, &devices);
    });
    let mut refused = 0.0;
    for version in [&TLS12, &TLS13] {
        let cas = [&trying.fixture.ca, &trying.new_ca];
        let device = Connector::build_of(&cas, None, &[version]);
        assert!(trying.connect(&device).await.is_err());
        refused += 1.0;
        let line = "mqtt_tls_client_certificates_refused_total{host=\"\",reason=\"missing\"}";
        trying.fixture.wait_for_metric(line, refused);
    }
    one_more_is_the_only_one(&trying).await;
    // What is no CONNECT is refused after the handshake.
    let trying = Trying::start(10_000).await;
    let mut client = trying.both().connect(trying.fixture.addr()).await.unwrap();
    client.send(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    client.read_to_end().await;
    trying
        .fixture
        .wait_for_metric("mqtt_tls_connections_ended_total{end=\"not_mqtt\"}", 1.0);
    one_more_is_the_only_one(&trying).await;
}

/// A device's retries count as one abort, on either certificate.
#[tokio::test(flavor = "multi_thread")]
async fn who_aborts_everything_counts_once_and_is_not_confirmed() {
    let trying = Trying::start(5_000).await;
    let stranger = Ca::new("another CA");
    for version in [&TLS12, &TLS13] as [&'static SupportedProtocolVersion; 2] {
        let device = Connector::build(&stranger, None, &[version]);
        for _ in 0..12 {
            assert!(trying.connect(&device).await.is_err());
        }
    }
    eventually(SOON, "each is counted once", || {
        let counts = trying.counts();
        let of = |count: &str| {
            let arms = ["current", "candidate"].map(|arm| counts[arm][count].as_u64());
            arms.into_iter().flatten().sum::<u64>()
        };
        assert!(of("aborted") <= 2 && of("confirmed") == 0, "{counts}");
        (of("aborted") == 2).then_some(())
    });
}
