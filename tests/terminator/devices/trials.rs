//! Devices and the candidate of a certificate that they cannot verify: each stack refuses it in its own way, in each version of TLS,
//! and is served with the current certificate when it tries again.

use tests::broker::Mosquitto;
use tests::clients::devices::{Device, Stack};

use crate::trials::Trying;

/// How a stack refuses a certificate of a root that it does not have, by version of TLS; `|` separates alternatives.
fn refuses(stack: Stack, versions: &[(&str, &str)]) {
    for (version, alert) in versions {
        let trying = Trying::start_with(Mosquitto::shared().addr(), 10_000, |_| {});
        let addr = trying.fixture.addr();
        let connect = || {
            Device::new(stack, addr, &trying.fixture.ca)
                .version(version)
                .run()
        };
        let seen = connect();
        assert!(!seen.error.is_empty(), "{stack} {version}: {seen:?}");
        trying.wait_for("/candidate/aborted", 1);
        let shown = trying.shown();
        let counted = alert
            .split('|')
            .filter_map(|one| shown["alerts"][one].as_u64());
        assert_eq!(counted.sum::<u64>(), 1, "{stack} {version}: {shown}");
        for _ in 0..2 {
            let seen = connect();
            assert!(
                seen.error.is_empty() && seen.acked == 1,
                "{stack} {version}: {seen:?}"
            );
        }
        trying.wait_for("/candidate/confirmed", 1);
        assert_eq!(trying.avoided().len(), 1, "{stack} {version}");
    }
}

#[test]
fn openssl_device_refuses_a_candidate_once_at_mosquitto() {
    refuses(
        Stack::OpenSsl,
        &[("1.2", "unknown_ca"), ("1.3", "unknown_ca")],
    );
}

#[test]
fn gnutls_refuses_a_candidate_once_at_mosquitto() {
    refuses(Stack::GnuTls, &[("1.2", "cut"), ("1.3", "cut")]);
}

#[test]
fn mbedtls_refuses_a_candidate_once_at_mosquitto() {
    refuses(Stack::MbedTls, &[("1.2", "unknown_ca")]);
}

#[test]
fn wolfssl_refuses_a_candidate_once_at_mosquitto() {
    refuses(
        Stack::WolfSsl,
        &[("1.2", "unknown_ca"), ("1.3", "unknown_ca")],
    );
}

#[test]
fn paho_refuses_a_candidate_once_at_mosquitto() {
    refuses(Stack::Paho, &[("1.2", "unknown_ca"), ("1.3", "unknown_ca")]);
}

/// Node verifies after its part of the handshake, and closes the connection: perhaps before the server has read the rest.
#[test]
fn mqtt_js_refuses_a_candidate_once_at_mosquitto() {
    let either = "cut|no_first_packet";
    refuses(Stack::MqttJs, &[("1.2", either), ("1.3", either)]);
}
