//! Devices on common TLS stacks, with each stack's default settings, against the default configuration: each
//! gets its CONNACK and its PUBACK, with each kind of certificate and each version of TLS.
//!
//! A failure names the stack and its error.

mod client;
mod identity;
mod odd;
mod policy;
mod records;
mod tickets;
mod trials;

use std::net::SocketAddr;

use mqtt_tls_config::Config;
use tests::broker::{Mosquitto, SmartMqtt};
use tests::clients::devices::Stack;
use tests::pki::{Ca, KeyKind, Leaf};

use crate::fixture::{self, Fixture};
use client::{Call, Client};

const KINDS: [KeyKind; 2] = [KeyKind::P256, KeyKind::Rsa2048];

/// Starts a terminator whose certificates, including the root, have keys of one kind.
fn listener(backend: SocketAddr, kind: KeyKind, change: impl FnOnce(&mut Config)) -> Fixture {
    let ca = Ca::with_key("server CA", kind);
    let leaf = ca.leaf().dns("localhost").ip("127.0.0.1").key(kind).issue();
    start(ca, leaf, backend, change)
}

/// Starts a terminator with this certificate.
fn start(ca: Ca, leaf: Leaf, backend: SocketAddr, change: impl FnOnce(&mut Config)) -> Fixture {
    let mut config = fixture::config(&leaf, backend);
    change(&mut config);
    let file = fixture::write(&config);
    let terminator = fixture::start(file.as_path().into());
    Fixture {
        ca,
        leaf,
        config,
        file,
        terminator,
    }
}

/// Connects with no version requested, and with each; a message of several records is echoed.
fn reaches_mosquitto(client: Client) {
    let mut failures = vec![];
    for kind in KINDS {
        let listener = listener(Mosquitto::shared().addr(), kind, |_| {});
        for version in [None, Some("1.2"), Some("1.3")] {
            if version == Some("1.3") && !client.has_tls_1_3() {
                continue;
            }
            let call = Call {
                version,
                echo: 40_000,
                ..Call::default()
            };
            let newest = if client.has_tls_1_3() { "1.3" } else { "1.2" };
            let failure = match client.connect(&listener, call) {
                Ok(session) if session.version.ends_with(version.unwrap_or(newest)) => continue,
                Ok(session) => format!("negotiated {}", session.version),
                Err(error) => error,
            };
            failures.push(format!("{client:?}, {kind:?}, TLS {version:?}: {failure}"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// smart-mqtt loses messages published to a topic while it is created, so this test expects no echo.
fn reaches_smart_mqtt(client: Client) {
    let listener = listener(SmartMqtt::shared().addr(), KeyKind::P256, |_| {});
    let session = client.connect(&listener, Call::default());
    session.unwrap_or_else(|error| panic!("{client:?}: {error}"));
}

#[test]
fn openssl_device_reaches_mosquitto() {
    reaches_mosquitto(Client::Program(Stack::OpenSsl));
}

#[test]
fn openssl_device_reaches_smart_mqtt() {
    reaches_smart_mqtt(Client::Program(Stack::OpenSsl));
}

#[test]
fn gnutls_reaches_mosquitto() {
    reaches_mosquitto(Client::Program(Stack::GnuTls));
}

#[test]
fn gnutls_reaches_smart_mqtt() {
    reaches_smart_mqtt(Client::Program(Stack::GnuTls));
}

#[test]
fn mbedtls_reaches_mosquitto() {
    reaches_mosquitto(Client::Program(Stack::MbedTls));
}

#[test]
fn mbedtls_reaches_smart_mqtt() {
    reaches_smart_mqtt(Client::Program(Stack::MbedTls));
}

#[test]
fn wolfssl_reaches_mosquitto() {
    reaches_mosquitto(Client::Program(Stack::WolfSsl));
}

#[test]
fn wolfssl_reaches_smart_mqtt() {
    reaches_smart_mqtt(Client::Program(Stack::WolfSsl));
}

#[test]
fn paho_reaches_mosquitto() {
    reaches_mosquitto(Client::Program(Stack::Paho));
}

#[test]
fn paho_reaches_smart_mqtt() {
    reaches_smart_mqtt(Client::Program(Stack::Paho));
}

#[test]
fn mqtt_js_reaches_mosquitto() {
    reaches_mosquitto(Client::Program(Stack::MqttJs));
}

#[test]
fn mqtt_js_reaches_smart_mqtt() {
    reaches_smart_mqtt(Client::Program(Stack::MqttJs));
}

#[test]
fn go_client_reaches_mosquitto() {
    reaches_mosquitto(Client::Go);
}

#[test]
fn go_client_reaches_smart_mqtt() {
    reaches_smart_mqtt(Client::Go);
}

#[test]
fn rustls_reaches_mosquitto() {
    reaches_mosquitto(Client::Rustls);
}

#[test]
fn rustls_reaches_smart_mqtt() {
    reaches_smart_mqtt(Client::Rustls);
}

#[test]
fn mosquitto_clients_reach_mosquitto() {
    reaches_mosquitto(Client::Mosquitto);
}

#[test]
fn mosquitto_clients_reach_smart_mqtt() {
    reaches_smart_mqtt(Client::Mosquitto);
}
