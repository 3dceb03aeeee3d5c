//! Session resumption by `tls.tickets`. rustls' TLS 1.3 tickets have a nonce of 32 bytes: OpenSSL, GnuTLS,
//! Node.js, Go and rustls accept them, wolfSSL does not, and Mbed TLS 2.28 has no TLS 1.3.

use mqtt_tls_config::Tickets;
use tests::broker::Mosquitto;
use tests::clients::devices::{Device, Stack};
use tests::pki::KeyKind;

use super::client::{Call, Client};
use super::listener;
use crate::fixture::Fixture;

fn with_tickets(tickets: Tickets) -> Fixture {
    listener(Mosquitto::shared().addr(), KeyKind::P256, |config| {
        config.tls.tickets = tickets;
    })
}

/// Reports whether the client's second connection resumes the session of the first.
#[track_caller]
fn resumes(client: Client, to: &Fixture, version: &'static str) -> bool {
    let call = Call {
        version: Some(version),
        twice: true,
        ..Call::default()
    };
    let session = client.connect(to, call);
    session
        .unwrap_or_else(|error| panic!("{client:?}, TLS {version}: {error}"))
        .resumed
}

/// No tickets, tickets for TLS 1.2 (the default), and tickets for both.
#[track_caller]
fn resumes_as_configured(client: Client) {
    for (tickets, tls_1_2, tls_1_3) in [
        (Tickets::None, false, false),
        (Tickets::default(), true, false),
        (Tickets::All, true, true),
    ] {
        let to = with_tickets(tickets);
        assert_eq!(resumes(client, &to, "1.2"), tls_1_2, "{tickets:?}, TLS 1.2");
        if client.has_tls_1_3() && takes_tickets_of_tls_1_3(client) {
            assert_eq!(resumes(client, &to, "1.3"), tls_1_3, "{tickets:?}, TLS 1.3");
        }
    }
}

fn takes_tickets_of_tls_1_3(client: Client) -> bool {
    client != Client::Program(Stack::WolfSsl)
}

#[test]
fn openssl_device_with_mosquitto_resumes_as_configured() {
    resumes_as_configured(Client::Program(Stack::OpenSsl));
}

#[test]
fn gnutls_with_mosquitto_resumes_as_configured() {
    resumes_as_configured(Client::Program(Stack::GnuTls));
}

#[test]
fn mbedtls_with_mosquitto_resumes_as_configured() {
    resumes_as_configured(Client::Program(Stack::MbedTls));
}

#[test]
fn wolfssl_with_mosquitto_resumes_as_configured() {
    resumes_as_configured(Client::Program(Stack::WolfSsl));
}

#[test]
fn mqtt_js_with_mosquitto_resumes_as_configured() {
    resumes_as_configured(Client::Program(Stack::MqttJs));
}

#[test]
fn go_client_with_mosquitto_resumes_as_configured() {
    resumes_as_configured(Client::Go);
}

#[test]
fn rustls_with_mosquitto_resumes_as_configured() {
    resumes_as_configured(Client::Rustls);
}

/// Each read fails, except in versions with room for the nonce. This is the reason for the default.
#[test]
fn wolfssl_with_mosquitto_and_all_tickets_shakes_hands_in_tls_1_3() {
    let to = with_tickets(Tickets::All);
    let seen = Device::new(Stack::WolfSsl, to.addr(), &to.ca)
        .version("1.3")
        .run();
    assert_eq!(seen.version, "TLSv1.3", "{seen:?}");
    let nonce_does_not_fit = seen.error.contains("-425");
    assert!(nonce_does_not_fit || seen.error.is_empty(), "{seen:?}");
}

/// Connects twice without a requested version; the second connection used to fail.
#[test]
fn wolfssl_with_mosquitto_comes_back_by_default() {
    let to = with_tickets(Tickets::default());
    let call = Call {
        twice: true,
        ..Call::default()
    };
    let session = Client::Program(Stack::WolfSsl).connect(&to, call).unwrap();
    assert_eq!(
        (session.version.as_str(), session.resumed),
        ("TLSv1.3", false)
    );
}
