//! Devices and `tls.minVersion`, `maxVersion`, `suites`, `groups` and `alpn`: each stack gets what is configured, and fails
//! where it has nothing in common with it.

use mqtt_tls_config::{Alpn, AlpnProtocol, Backend, Config, Group, Suite, TlsVersion};
use tests::broker::Mosquitto;
use tests::clients::devices::{Device, Seen, Stack};
use tests::pki::KeyKind;
use tests::ports;

use super::{KINDS, listener};
use crate::fixture::Fixture;

const STACKS: [Stack; 4] = [
    Stack::OpenSsl,
    Stack::GnuTls,
    Stack::MbedTls,
    Stack::WolfSsl,
];

/// The TLS versions of a stack.
fn versions(stack: Stack) -> &'static [&'static str] {
    if stack == Stack::MbedTls {
        &["1.2"]
    } else {
        &["1.2", "1.3"]
    }
}

fn with(kind: KeyKind, change: impl FnOnce(&mut Config)) -> Fixture {
    listener(Mosquitto::shared().addr(), kind, change)
}

fn is_served(seen: &Seen) -> bool {
    seen.error.is_empty() && seen.acked == 1
}

#[test]
fn devices_at_mosquitto_get_the_versions_that_are_on() {
    for (change, on) in [
        (
            (|config: &mut Config| config.tls.min_version = TlsVersion::Tls13) as fn(&mut Config),
            "1.3",
        ),
        (|config| config.tls.max_version = TlsVersion::Tls12, "1.2"),
    ] {
        let to = with(KeyKind::P256, change);
        for stack in STACKS {
            for version in versions(stack) {
                let seen = Device::new(stack, to.addr(), &to.ca).version(version).run();
                assert_eq!(
                    is_served(&seen),
                    *version == on,
                    "{stack} {version}: {seen:?}"
                );
            }
            // A device that is not limited to a version finds the one that is on.
            let seen = Device::new(stack, to.addr(), &to.ca).run();
            let finds = versions(stack).contains(&on);
            assert_eq!(is_served(&seen), finds, "{stack}: {seen:?}");
            assert!(!finds || seen.version.ends_with(on), "{stack}: {seen:?}");
        }
    }
}

#[test]
fn devices_at_mosquitto_get_the_suites_that_are_on() {
    for kind in KINDS {
        let to = with(kind, |config| {
            config.tls.suites = vec![Suite::ChaCha20, Suite::EcdsaChaCha20, Suite::RsaChaCha20];
        });
        for stack in STACKS {
            for version in versions(stack) {
                let seen = Device::new(stack, to.addr(), &to.ca).version(version).run();
                assert!(is_served(&seen), "{stack} {version} {kind:?}: {seen:?}");
                let cipher = seen.cipher.to_uppercase();
                assert!(cipher.contains("CHACHA20"), "{stack} {version}: {cipher}");
            }
        }
        for (version, suites) in [("1.2", "AESGCM"), ("1.3", "TLS_AES_128_GCM_SHA256")] {
            let device = Device::new(Stack::OpenSsl, to.addr(), &to.ca);
            let seen = device.version(version).option("suites", suites).run();
            assert!(seen.error.ends_with("alert 40"), "{version}: {seen:?}");
        }
    }
}

#[test]
fn devices_at_mosquitto_get_the_groups_that_are_on() {
    for group in [Group::P256, Group::P384, Group::X25519] {
        let to = with(KeyKind::P256, |config| config.tls.groups = vec![group]);
        for stack in STACKS {
            for version in versions(stack) {
                let seen = Device::new(stack, to.addr(), &to.ca).version(version).run();
                assert!(is_served(&seen), "{stack} {version} {group:?}: {seen:?}");
            }
        }
        let other = if group == Group::P256 {
            "P-384"
        } else {
            "P-256"
        };
        for version in ["1.2", "1.3"] {
            let device = Device::new(Stack::OpenSsl, to.addr(), &to.ca);
            let seen = device.version(version).option("groups", other).run();
            assert!(
                seen.error.ends_with("alert 40"),
                "{version} {group:?}: {seen:?}"
            );
        }
    }
}

/// mosquitto is behind one protocol only.
fn amzn(required: bool) -> impl FnOnce(&mut Config) {
    move |config| {
        let mosquitto = std::mem::replace(
            &mut config.backend,
            Backend {
                host: "127.0.0.1".to_owned(),
                port: ports::free_port(),
            },
        );
        config.tls.alpn = Alpn {
            protocols: vec![
                AlpnProtocol {
                    name: "mqtt".to_owned(),
                    backend: None,
                },
                AlpnProtocol {
                    name: "x-amzn-mqtt-ca".to_owned(),
                    backend: Some(mosquitto),
                },
            ],
            required,
        };
    }
}

#[test]
fn devices_reach_mosquitto_by_the_protocol_that_they_negotiate() {
    let to = with(KeyKind::P256, amzn(false));
    for stack in STACKS {
        for version in versions(stack) {
            for (protocol, reaches) in [
                (Some("x-amzn-mqtt-ca"), true),
                (Some("mqtt"), false),
                (Some("http/1.1"), false),
                (None, false),
            ] {
                let device = Device::new(stack, to.addr(), &to.ca).version(version);
                let device = match protocol {
                    Some(protocol) => device.option("alpn", protocol),
                    None => device,
                };
                let seen = device.run();
                assert_eq!(
                    is_served(&seen),
                    reaches,
                    "{stack} {version} {protocol:?}: {seen:?}"
                );
                // The handshake succeeds with any protocol, and with none.
                assert!(
                    seen.version.ends_with(version),
                    "{stack} {version} {protocol:?}: {seen:?}"
                );
            }
        }
    }
}

#[test]
fn devices_without_a_required_protocol_do_not_reach_mosquitto() {
    let to = with(KeyKind::P256, amzn(true));
    let alert = "mqtt_tls_handshakes_total{outcome=\"no_application_protocol\",version=\"none\",kind=\"none\"}";
    let mut refused = 0.0;
    for stack in STACKS {
        for version in versions(stack) {
            let device = || Device::new(stack, to.addr(), &to.ca).version(version);
            let seen = device().option("alpn", "x-amzn-mqtt-ca").run();
            assert!(is_served(&seen), "{stack} {version}: {seen:?}");
            for other in [device(), device().option("alpn", "http/1.1")] {
                let seen = other.run();
                assert!(
                    !seen.error.is_empty() && seen.acked == 0,
                    "{stack} {version}: {seen:?}"
                );
                refused += 1.0;
            }
        }
    }
    to.wait_for_metric(alert, refused);
}
