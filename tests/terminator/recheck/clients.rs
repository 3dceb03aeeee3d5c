//! The end of a connection whose client is refused, as clients and brokers see it that are not ours.

use tests::broker::Mosquitto;
use tests::clients::mosquitto::{Endpoint, Subscriber};
use tests::clients::openssl::SClient;
use tests::mqtt::{self, Version};

use super::Judging;
use crate::fixture::SOON;

/// The broker sees a FIN, so it publishes the will; the other subscriber goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_mosquitto_client_that_is_revoked_leaves_its_will() {
    let broker = Mosquitto::start();
    let judging = Judging::start(
        |ca| ca.crl(&[]),
        |config| {
            "127.0.0.1".clone_into(&mut config.backend.host);
            config.backend.port = broker.port();
        },
    )
    .await;
    let (bad, good) = (judging.device("bad"), judging.device("good"));
    let endpoint = Endpoint::tls(judging.fixture.config.port, &judging.fixture.ca);
    let plain = Endpoint::plain(broker.addr());
    let mut wills = Subscriber::start(&plain.subscribe("wills/#"));
    let revoked = endpoint.clone().identity(&bad).subscribe("news").id("bad");
    let revoked = revoked.arg("--will-topic").arg("wills/bad");
    let revoked = Subscriber::start(&revoked.arg("--will-payload").arg("gone"));
    let mut stays = Subscriber::start(&endpoint.identity(&good).subscribe("news"));
    judging.list(&judging.devices.crl(&[&bad]));
    assert_eq!(wills.next_message(), "wills/bad gone");
    // It tries to connect again, in vain.
    let refused = "mqtt_tls_handshakes_total{outcome=\"client_certificate_refused\",version=\"1.3\",kind=\"none\"}";
    revoked.process().wait_until("it is refused", SOON, || {
        (judging.fixture.metric(refused) > 0.5).then_some(())
    });
    plain
        .publish("news")
        .payload("still here")
        .send()
        .expect_success();
    assert_eq!(stays.next_message(), "news still here");
    assert!(revoked.messages().is_empty());
}

/// OpenSSL reads close_notify, and ends without an error.
#[tokio::test(flavor = "multi_thread")]
async fn an_openssl_client_that_is_revoked_gets_close_notify() {
    for version in ["-tls1_2", "-tls1_3"] {
        let judging = Judging::start(|ca| ca.crl(&[]), |_| {}).await;
        let bad = judging.device("bad");
        let client = SClient::new(judging.fixture.addr(), &judging.fixture.ca).identity(&bad);
        let client = client.arg(version).arg("-msg").until_server_closes();
        let connect = mqtt::connect(Version::V311, "bad");
        let running = tokio::task::spawn_blocking(move || client.run(&connect));
        let mut peer = judging.backend.accept_any().await;
        let expected = mqtt::connect(Version::V311, "bad");
        assert_eq!(peer.read_exact(expected.len()).await, expected);
        judging.list(&judging.devices.crl(&[&bad]));
        assert_eq!(peer.read_to_end().await, (Vec::new(), Ok(())));
        drop(peer);
        let finished = running.await.unwrap().expect_success();
        assert!(
            finished
                .stdout
                .contains("Alert [length 0002], warning close_notify"),
            "{}",
            finished.stdout
        );
    }
}
