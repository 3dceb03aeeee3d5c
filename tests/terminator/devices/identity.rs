//! Devices that are asked for a certificate: devices with one send it, and devices without one are accepted if
//! it is optional.

use mqtt_tls_config::ClientAuthMode;
use tests::broker::Mosquitto;
use tests::clients::devices::{Device, Stack};
use tests::pki::{Ca, KeyKind, Leaf};

use super::{KINDS, listener};
use crate::fixture::{Fixture, trust};

const VERSIONS: [&str; 2] = ["1.2", "1.3"];

/// Connects without a certificate where it is optional, and with each kind of key where one is required.
#[track_caller]
fn sends_its_certificate(stack: Stack) {
    let ca = Ca::new("device CA");
    let leaf = |kind| ca.leaf().common_name("device 1").client_auth().key(kind);
    let leaves = KINDS.map(|kind| (kind, leaf(kind).issue()));
    let mut failures = vec![];
    let listening = |mode| {
        let broker = Mosquitto::shared().addr();
        listener(broker, KeyKind::P256, |config| {
            config.client_auth = trust(mode, &ca);
        })
    };
    let optional = listening(ClientAuthMode::Optional);
    let required = listening(ClientAuthMode::Require);
    for version in VERSIONS {
        if version == "1.3" && stack == Stack::MbedTls {
            continue;
        }
        failures.extend(refused(stack, &optional, version, None));
        for (kind, leaf) in &leaves {
            let failure = refused(stack, &required, version, Some(leaf));
            failures.extend(failure.map(|failure| format!("{kind:?}: {failure}")));
        }
        // paho-mqtt would retry until its deadline.
        let refused_without =
            stack == Stack::Paho || refused(stack, &required, version, None).is_some();
        assert!(refused_without, "{stack}, TLS {version}: let in without");
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// Returns the device's error if it is not served.
fn refused(stack: Stack, to: &Fixture, version: &str, leaf: Option<&Leaf>) -> Option<String> {
    let device = Device::new(stack, to.addr(), &to.ca).version(version);
    let device = match leaf {
        Some(leaf) => device.identity(leaf),
        None => device,
    };
    let seen = device.run();
    let served = seen.error.is_empty() && seen.acked == 1;
    (!served).then(|| format!("{stack}, TLS {version}: {seen:?}"))
}

#[test]
fn openssl_device_at_mosquitto_sends_its_certificate() {
    sends_its_certificate(Stack::OpenSsl);
}

#[test]
fn gnutls_at_mosquitto_sends_its_certificate() {
    sends_its_certificate(Stack::GnuTls);
}

#[test]
fn mbedtls_at_mosquitto_sends_its_certificate() {
    sends_its_certificate(Stack::MbedTls);
}

#[test]
fn wolfssl_at_mosquitto_sends_its_certificate() {
    sends_its_certificate(Stack::WolfSsl);
}

#[test]
fn paho_at_mosquitto_sends_its_certificate() {
    sends_its_certificate(Stack::Paho);
}

#[test]
fn mqtt_js_at_mosquitto_sends_its_certificate() {
    sends_its_certificate(Stack::MqttJs);
}
