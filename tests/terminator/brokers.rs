//! MQTT 3.1, 3.1.1 and 5 at QoS 0, 1 and 2 through the terminator, with third-party brokers and clients.

use std::net::SocketAddr;

use tests::broker::{Mosquitto, SmartMqtt};
use tests::clients::go::GoClient;
use tests::clients::mosquitto::{Endpoint, Subscriber};
use tests::mqtt::Version;
use tests::wait::eventually;

use crate::fixture::{Fixture, SOON};

/// Each version and QoS: a message published through the terminator reaches a subscriber behind it.
fn messages_pass(broker: SocketAddr, tls_version: &str) {
    let fixture = Fixture::start(broker);
    let at = Endpoint::tls(fixture.config.port, &fixture.ca).tls_version(tls_version);
    for version in Version::ALL {
        for qos in 0..=2 {
            let topic = format!("through/{tls_version}/{version:?}/{qos}");
            let mut subscriber = Subscriber::start(&at.subscribe(&topic).version(version).qos(qos));
            at.publish(&topic)
                .version(version)
                .qos(qos)
                .payload("temperature 21")
                .send()
                .expect_success();
            assert_eq!(subscriber.next_message(), format!("{topic} temperature 21"));
        }
    }
    fixture.wait_for_metric(
        "mqtt_tls_connections_ended_total{end=\"backend_reset\"}",
        0.0,
    );
}

/// A message that takes many records, in both directions.
fn a_large_message_passes(broker: SocketAddr) {
    let fixture = Fixture::start(broker);
    let at = Endpoint::tls(fixture.config.port, &fixture.ca);
    let topic = "through/large";
    let mut subscriber = Subscriber::start(&at.subscribe(topic).qos(1));
    let payload = "0123456789abcdef".repeat(4096);
    at.publish(topic)
        .qos(1)
        .send_lines(std::slice::from_ref(&payload))
        .expect_success();
    assert_eq!(subscriber.next_message(), format!("{topic} {payload}"));
}

#[test]
fn mosquitto_over_tls_1_3() {
    messages_pass(Mosquitto::shared().addr(), "tlsv1.3");
}

#[test]
fn mosquitto_over_tls_1_2() {
    messages_pass(Mosquitto::shared().addr(), "tlsv1.2");
}

#[test]
fn mosquitto_with_a_large_message() {
    a_large_message_passes(Mosquitto::shared().addr());
}

#[test]
fn smart_mqtt_over_tls_1_3() {
    messages_pass(SmartMqtt::shared().addr(), "tlsv1.3");
}

#[test]
fn smart_mqtt_over_tls_1_2() {
    messages_pass(SmartMqtt::shared().addr(), "tlsv1.2");
}

#[test]
fn smart_mqtt_with_a_large_message() {
    a_large_message_passes(SmartMqtt::shared().addr());
}

#[test]
fn smart_mqtt_acknowledges_what_a_go_client_sends_before_it_closes() {
    let fixture = Fixture::start(SmartMqtt::shared().addr());
    for close in ["notify", "fin"] {
        let client = GoClient::mqtt(
            fixture.addr(),
            &fixture.ca,
            &format!("through/go/{close}"),
            20,
        );
        let seen = client.close(close).run();
        assert_eq!((seen.error.as_str(), seen.acked), ("", 20), "{seen:?}");
    }
    // The broker closes at the DISCONNECT, and the terminator may see that before the client's close.
    let ends = ["client_closed", "client_cut", "backend_closed"]
        .map(|end| format!("mqtt_tls_connections_ended_total{{end=\"{end}\"}}"));
    eventually(SOON, "both have ended", || {
        let ended: f64 = ends.iter().map(|line| fixture.metric(line)).sum();
        (ended > 1.5).then_some(())
    });
}
