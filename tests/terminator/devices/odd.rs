//! Devices with unusual settings. All of these connect, except for those that have nothing in common with the
//! terminator, which get handshake_failure.

use tests::broker::Mosquitto;
use tests::clients::devices::{Device, Stack};
use tests::mqtt::{self, Version};
use tests::pki::{Ca, KeyKind};
use tests::wait::eventually;

use super::{KINDS, listener, start};
use crate::fixture::{Fixture, SOON};

type Options = &'static [(&'static str, &'static str)];

fn run(stack: Stack, to: &Fixture, options: Options) -> tests::clients::devices::Seen {
    let device = Device::new(stack, to.addr(), &to.ca);
    options
        .iter()
        .fold(device, |device, (name, value)| device.option(name, value))
        .run()
}

/// Connects with each of the unusual settings and each kind of certificate.
#[track_caller]
fn connects(stack: Stack, odd: &[Options]) {
    let mut failures = vec![];
    for kind in KINDS {
        let to = listener(Mosquitto::shared().addr(), kind, |_| {});
        for options in odd {
            let seen = run(stack, &to, options);
            if !seen.error.is_empty() || seen.acked == 0 {
                failures.push(format!("{stack}, {kind:?}, {options:?}: {seen:?}"));
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// Expects alert 40, handshake_failure, and the outcome `incompatible`.
#[track_caller]
fn gets_handshake_failure(stack: Stack, odd: &[Options]) {
    let to = listener(Mosquitto::shared().addr(), KeyKind::P256, |_| {});
    for options in odd {
        let seen = run(stack, &to, options);
        assert!(
            seen.error.ends_with("alert 40"),
            "{stack}, {options:?}: {seen:?}"
        );
    }
    eventually(SOON, "each is counted as incompatible", || {
        (incompatible(&to) == odd.len().to_string()).then_some(())
    });
}

/// Returns the number of incompatible handshakes of all versions.
fn incompatible(to: &Fixture) -> String {
    let (_, text) = to.get("/metrics");
    let lines = text
        .lines()
        .filter(|line| line.starts_with("mqtt_tls_handshakes_total{outcome=\"incompatible\""));
    let counts = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    counts.sum::<f64>().to_string()
}

#[test]
fn openssl_device_at_mosquitto_may_be_odd() {
    connects(
        Stack::OpenSsl,
        &[
            &[("sni", "none")],
            &[("sni", "127.0.0.1")],
            &[("sni", "unknown.example")],
            &[("sni", "LOCALHOST")],
            &[("sni", "localhost.")],
            &[("sni", "my_host")],
            &[("alpn", "mqtt")],
            &[("alpn", "x-amzn-mqtt-ca"), ("version", "1.2")],
            &[("fragment", "512"), ("echo", "40000")],
            &[("fragment", "1024"), ("version", "1.2"), ("echo", "40000")],
            &[("buffer", "2048"), ("echo", "40000")],
            &[("groups", "P-256")],
            &[("groups", "P-256"), ("version", "1.2")],
            &[("groups", "P-384")],
            &[("groups", "X25519")],
            &[
                ("suites", "TLS_CHACHA20_POLY1305_SHA256"),
                ("version", "1.3"),
            ],
            &[("suites", "CHACHA20"), ("version", "1.2")],
            &[("suites", "AES128+AESGCM"), ("version", "1.2")],
            &[("no_ems", "1"), ("version", "1.2")],
            &[("no_ems", "1"), ("version", "1.2"), ("rounds", "2")],
        ],
    );
}

/// The reason for the warning `StapleRequired`.
#[test]
fn gnutls_rejects_a_must_staple_certificate() {
    let ca = Ca::new("server CA");
    let leaf = ca.leaf().dns("localhost").must_staple().issue();
    let to = start(ca, leaf, Mosquitto::shared().addr(), |_| {});
    let seen = run(Stack::GnuTls, &to, &[]);
    assert!(seen.error.contains("certificate"), "{seen:?}");
    let status = to.terminator.status();
    let reasons: Vec<_> = status
        .warnings
        .iter()
        .map(|warning| warning.reason)
        .collect();
    assert_eq!(reasons, ["StapleRequired"]);
    assert_eq!(run(Stack::OpenSsl, &to, &[]).error, "");
}

#[test]
fn gnutls_at_mosquitto_may_be_odd() {
    connects(
        Stack::GnuTls,
        &[
            &[("sni", "none")],
            &[("alpn", "mqtt")],
            &[("fragment", "512"), ("echo", "40000")],
            &[("fragment", "512"), ("version", "1.2"), ("echo", "40000")],
            &[("buffer", "2048"), ("echo", "40000")],
            &[("groups", "SECP256R1")],
            &[("groups", "SECP256R1"), ("version", "1.2")],
            &[("suites", ":-CIPHER-ALL:+CHACHA20-POLY1305")],
            &[("suites", ":-CIPHER-ALL:+AES-128-GCM")],
            &[
                ("suites", ":%NO_TICKETS"),
                ("version", "1.2"),
                ("rounds", "2"),
            ],
            &[("suites", ":%DISABLE_TLS13_COMPAT_MODE")],
            &[("suites", ":%SSL3_RECORD_VERSION"), ("version", "1.2")],
            &[("no_ems", "1"), ("version", "1.2")],
            &[("no_reneg", "1"), ("version", "1.2")],
        ],
    );
}

#[test]
fn mbedtls_at_mosquitto_may_be_odd() {
    connects(
        Stack::MbedTls,
        &[
            &[("alpn", "mqtt")],
            &[("fragment", "512"), ("echo", "40000")],
            &[("buffer", "2048"), ("echo", "40000")],
            &[("groups", "secp256r1")],
            &[("no_ems", "1")],
            &[("no_ems", "1"), ("rounds", "2")],
        ],
    );
}

#[test]
fn wolfssl_at_mosquitto_may_be_odd() {
    connects(
        Stack::WolfSsl,
        &[
            &[("sni", "none")],
            &[("sni", "127.0.0.1")],
            &[("alpn", "mqtt")],
            &[("fragment", "512"), ("echo", "40000")],
            &[("fragment", "512"), ("version", "1.2"), ("echo", "40000")],
            &[("buffer", "2048"), ("echo", "40000")],
            &[("groups", "SECP256R1")],
            &[("groups", "SECP256R1"), ("version", "1.2")],
            &[("no_ems", "1"), ("version", "1.2")],
            &[("no_ems", "1"), ("version", "1.2"), ("rounds", "2")],
        ],
    );
}

#[test]
fn openssl_device_at_mosquitto_without_anything_in_common_gets_an_alert() {
    gets_handshake_failure(
        Stack::OpenSsl,
        &[
            &[("suites", "TLS_AES_128_CCM_SHA256"), ("version", "1.3")],
            &[("suites", "ECDHE-ECDSA-AES128-CCM"), ("version", "1.2")],
            &[("suites", "kRSA"), ("version", "1.2")],
            &[("suites", "DHE"), ("version", "1.2")],
            &[("suites", "ECDHE+SHA1:ECDHE+SHA256"), ("version", "1.2")],
            // The leaf is an ECDSA one.
            &[("suites", "ECDHE+aRSA"), ("version", "1.2")],
            &[("groups", "P-521")],
            &[("groups", "P-521"), ("version", "1.2")],
            &[("groups", "ffdhe2048"), ("version", "1.3")],
        ],
    );
}

#[test]
fn gnutls_at_mosquitto_without_anything_in_common_gets_an_alert() {
    gets_handshake_failure(
        Stack::GnuTls,
        &[
            &[("suites", ":-CIPHER-ALL:+AES-128-CCM")],
            &[("suites", ":-MAC-ALL:+SHA1")],
            &[
                ("suites", ":-SIGN-ALL:+SIGN-RSA-SHA256"),
                ("version", "1.2"),
            ],
            &[
                ("suites", ":-SIGN-ALL:+SIGN-RSA-SHA1:+SIGN-ECDSA-SHA1"),
                ("version", "1.2"),
            ],
            // Without extensions there are no signature schemes.
            &[("suites", ":%NO_EXTENSIONS"), ("version", "1.2")],
        ],
    );
}

#[test]
fn mbedtls_at_mosquitto_without_anything_in_common_gets_an_alert() {
    gets_handshake_failure(
        Stack::MbedTls,
        &[
            &[("suites", "TLS-ECDHE-ECDSA-WITH-AES-128-CCM-8")],
            &[("suites", "TLS-ECDHE-RSA-WITH-AES-128-CBC-SHA256")],
            &[("suites", "TLS-RSA-WITH-AES-128-GCM-SHA256")],
        ],
    );
}

#[test]
fn wolfssl_at_mosquitto_without_anything_in_common_gets_an_alert() {
    gets_handshake_failure(
        Stack::WolfSsl,
        &[
            &[("suites", "ECDHE-ECDSA-AES128-CCM-8"), ("version", "1.2")],
            &[("suites", "ECDHE-RSA-AES128-SHA256"), ("version", "1.2")],
            &[("suites", "TLS13-AES128-CCM-SHA256"), ("version", "1.3")],
        ],
    );
}

/// Some clients write a packet's header, length and body separately.
#[tokio::test(flavor = "multi_thread")]
async fn rustls_at_mosquitto_may_send_each_byte_alone() {
    let to = listener(Mosquitto::shared().addr(), KeyKind::P256, |_| {});
    let connector = to.client().one_byte_segments();
    let mut client = connector.connect(to.addr()).await.unwrap();
    let connect = mqtt::connect(Version::V311, "device-bytes");
    client.send_one_byte_records(&connect).await.unwrap();
    assert!(client.read_packet().await.unwrap().accepts());
    client.send_one_byte_records(&mqtt::PINGREQ).await.unwrap();
    let answer = client.read_packet().await.unwrap();
    assert_eq!(answer.head, mqtt::PINGRESP[0]);
}
