//! Names from clients' certificates: the CONNECT that the broker gets, and the CONNACK of a client that is refused.

mod attacks;
mod brokers;
mod shared;

use mqtt_tls_config::ClientAuthMode::{Optional, Require};
use mqtt_tls_config::{
    ClientAuthMode, Config, Host, Identity, Mismatch, Naming, NamingAction, WithoutCertificate,
};
use mqtt_tls_terminator::Terminator;
use proptest::prelude::*;
use proptest::test_runner::{Config as Runs, TestRunner};
use tests::clients::tls::{Connector, End, TlsClient};
use tests::mqtt::{self, Version};
use tests::pki::{Ca, Leaf};

use crate::fixture::{self, Fixture, Scripted, trust};

/// A naming by the certificate's common name.
fn by_common_name(action: NamingAction, mismatch: Mismatch) -> Naming {
    Naming {
        template: "{cn}".to_owned(),
        action,
        mismatch,
    }
}

/// User names from certificates.
fn user_names(naming: Naming) -> Identity {
    Identity {
        user_name: Some(naming),
        client_id: None,
        without_certificate: None,
        ..Identity::default()
    }
}

/// User names from certificates, whatever clients send.
fn overwritten() -> Identity {
    user_names(by_common_name(NamingAction::Set, Mismatch::Overwrite))
}

/// A terminator with identities, and a scripted broker.
struct Named {
    fixture: Fixture,
    devices: Ca,
    backend: Scripted,
}

impl Named {
    async fn start(mode: ClientAuthMode, identity: Identity) -> Self {
        Self::start_with(mode, identity, |_| {}).await
    }

    async fn start_with(
        mode: ClientAuthMode,
        identity: Identity,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let (devices, backend) = (Ca::new("devices"), Scripted::start().await);
        let fixture = Fixture::start_with(backend.addr(), |config| {
            config.client_auth = trust(mode, &devices);
            config.identity = Some(identity);
            change(config);
        });
        Self {
            fixture,
            devices,
            backend,
        }
    }

    fn device(&self, name: &str) -> Leaf {
        self.devices.leaf().common_name(name).client_auth().issue()
    }

    /// Connects as a device, or without a certificate, and sends a first packet.
    async fn send(&self, device: Option<&Leaf>, packet: &[u8]) -> TlsClient {
        let connector = match device {
            Some(leaf) => Connector::with_identity(&self.fixture.ca, leaf),
            None => self.fixture.client(),
        };
        let mut client = connector.connect(self.fixture.addr()).await.unwrap();
        client.send(packet).await.unwrap();
        client
    }

    /// Checks the CONNECT that the broker gets.
    async fn forwards(&self, device: Option<&Leaf>, packet: &[u8], expected: &[u8]) {
        let mut client = self.send(device, packet).await;
        let mut peer = self.backend.accept_any().await;
        assert_eq!(peer.read_exact(expected.len()).await, expected);
        peer.send(fixture::CONNACK).await;
        assert!(client.read_packet().await.unwrap().accepts());
    }

    /// Checks that a client gets this answer, and then close_notify.
    async fn refuses(&self, device: Option<&Leaf>, packet: &[u8], answer: &[u8]) {
        let mut client = self.send(device, packet).await;
        let (found, end) = client.read_to_end().await;
        assert_eq!((&*found, end), (answer, End::CloseNotify));
    }

    /// Checks how many clients were refused for a reason, and that the broker has seen none of them.
    async fn has_refused(&self, end: &str, count: f64) {
        let line = format!("mqtt_tls_connections_ended_total{{end=\"{end}\"}}");
        self.fixture.wait_for_metric(&line, count);
        let honest = self.device("honest");
        let sent = mqtt::connect_as(Version::V311, "first at the broker", "honest");
        self.forwards(Some(&honest), &sent, &sent).await;
        let status = self.fixture.terminator.status();
        assert_eq!(status.backend.reachable, Some(true));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_name_is_set_from_the_certificate() {
    let named = Named::start(Require, overwritten()).await;
    let device = named.device("pump 7");
    for version in Version::ALL {
        let expected = mqtt::connect_as(version, "mine", "pump 7");
        for sent in [
            mqtt::connect(version, "mine"),
            mqtt::connect_as(version, "mine", "someone else"),
            expected.clone(),
        ] {
            named.forwards(Some(&device), &sent, &expected).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_another_name_is_refused_by_a_connack_of_its_version() {
    let named = Named::start(
        Require,
        Identity {
            client_id: Some(by_common_name(NamingAction::Require, Mismatch::Refuse)),
            ..user_names(by_common_name(NamingAction::Set, Mismatch::Refuse))
        },
    )
    .await;
    let device = named.device("honest");
    for (version, user_name, client_id) in [
        (Version::V31, &[0x20, 2, 0, 4][..], &[0x20, 2, 0, 2][..]),
        (Version::V311, &[0x20, 2, 0, 4], &[0x20, 2, 0, 2]),
        (Version::V5, &[0x20, 3, 0, 0x86, 0], &[0x20, 3, 0, 0x85, 0]),
    ] {
        let sent = mqtt::connect_as(version, "honest", "other");
        named.refuses(Some(&device), &sent, user_name).await;
        for id in ["other", ""] {
            let sent = mqtt::connect_as(version, id, "honest");
            named.refuses(Some(&device), &sent, client_id).await;
        }
        let (sent, expected) = (
            mqtt::connect(version, "honest"),
            mqtt::connect_as(version, "honest", "honest"),
        );
        named.forwards(Some(&device), &sent, &expected).await;
    }
    let line = "mqtt_tls_connections_ended_total{end=\"identity_mismatch\"}";
    named.fixture.wait_for_metric(line, 9.0);
    assert_eq!(
        named.fixture.terminator.status().backend.reachable,
        Some(true)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_client_id_is_filled() {
    let naming = Naming {
        template: "line-1/{cn}".to_owned(),
        action: NamingAction::Set,
        mismatch: Mismatch::Refuse,
    };
    let identity = Identity {
        user_name: None,
        client_id: Some(naming),
        without_certificate: None,
        ..Identity::default()
    };
    let named = Named::start(Require, identity).await;
    let device = named.device("p7");
    for version in Version::ALL {
        let expected = mqtt::connect(version, "line-1/p7");
        let sent = mqtt::connect(version, "");
        named.forwards(Some(&device), &sent, &expected).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_certificate_gets_names_of_its_own() {
    let named = Named::start(
        Optional,
        Identity {
            client_id: Some(by_common_name(NamingAction::Set, Mismatch::Overwrite)),
            without_certificate: Some(WithoutCertificate {
                user_name: Some("guest".to_owned()),
                client_id_prefix: Some("guest-".to_owned()),
            }),
            ..overwritten()
        },
    )
    .await;
    let claim = mqtt::connect_as(Version::V5, "p7", "p7");
    let expected = mqtt::connect_as(Version::V5, "guest-p7", "guest");
    named.forwards(None, &claim, &expected).await;
    let device = named.device("p7");
    named.forwards(Some(&device), &claim, &claim).await;
    // No certificate gives a name of those without one.
    let guest = named.device("guest");
    let not_authorized = [0x20, 3, 0, 0x87, 0];
    named.refuses(Some(&guest), &claim, &not_authorized).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_has_an_identity_of_its_own() {
    let (devices, backend) = (Ca::new("devices"), Scripted::start().await);
    let fixture = Fixture::start_with(backend.addr(), |config| {
        config.client_auth = trust(Require, &devices);
        // Each begins with a text of its own: both hosts have the same broker.
        let naming = |template: &str| Naming {
            template: template.to_owned(),
            ..by_common_name(NamingAction::Set, Mismatch::Overwrite)
        };
        config.identity = Some(user_names(naming("b/{cn}")));
        config.hosts = vec![Host {
            identity: Some(user_names(naming("a/{cn}"))),
            ..Host::new(vec!["localhost".to_owned()])
        }];
    });
    let leaf = devices.leaf().common_name("p7").client_auth().issue();
    for (name, user_name) in [("localhost", "a/p7"), ("127.0.0.1", "b/p7")] {
        let connector = Connector::with_identity(&fixture.ca, &leaf).server_name(name);
        let mut client = connector.connect(fixture.addr()).await.unwrap();
        let sent = mqtt::connect(Version::V311, "any");
        client.send(&sent).await.unwrap();
        let expected = mqtt::connect_as(Version::V311, "any", user_name);
        let mut peer = backend.accept_any().await;
        assert_eq!(peer.read_exact(expected.len()).await, expected);
    }
}

/// A CONNECT with a will of QoS 2 that is retained, a password, and in MQTT 5 properties; `level` may be that of a bridge.
fn full(name: &str, level: u8, client_id: &str, user_name: Option<&str>) -> Vec<u8> {
    let text = |text: &[u8]| {
        let length = u16::try_from(text.len()).unwrap();
        [&length.to_be_bytes(), text].concat()
    };
    let flags = 0b0011_0110 | if user_name.is_some() { 0b1100_0000 } else { 0 };
    let mut body = text(name.as_bytes());
    body.extend([level, flags, 1, 44]);
    let is_5 = level & 0x7F == 5;
    if is_5 {
        body.extend(b"\x15\x11\0\0\0\x0a\x21\0\x14\x26\0\x04name\0\x01x\x22\0\x05");
    }
    body.extend(text(client_id.as_bytes()));
    if is_5 {
        body.extend(b"\x0c\x18\0\0\0\x05\x03\0\x04text");
    }
    body.extend(text("will/é".as_bytes()));
    body.extend(text(b"\0\xff gone"));
    if let Some(user_name) = user_name {
        body.extend(text(user_name.as_bytes()));
        body.extend(text(b"\0pass\xff"));
    }
    mqtt::packet(0x10, &body)
}

/// Will, password, properties, flags and the bit of bridges, whatever becomes of the names.
#[tokio::test(flavor = "multi_thread")]
async fn each_other_field_is_kept() {
    let identity = Identity {
        client_id: Some(by_common_name(NamingAction::Set, Mismatch::Overwrite)),
        ..overwritten()
    };
    let named = Named::start(Require, identity).await;
    let device = named.device("pump 7");
    for (name, level) in [("MQIsdp", 3), ("MQTT", 4), ("MQTT", 5)] {
        for level in [level, level | 0x80] {
            let expected = full(name, level, "pump 7", Some("pump 7"));
            let sent = full(name, level, "a longer name than that", Some("p8"));
            named.forwards(Some(&device), &sent, &expected).await;
            // Without a user name there is no password; the flag of the name is set.
            let sent = full(name, level, "", None);
            let mut expected = full(name, level, "pump 7", None);
            let at = 2 + 2 + name.len() + 1;
            expected[at] |= 0b1000_0000;
            expected.extend(b"\0\x06pump 7");
            expected[1] += 8;
            named.forwards(Some(&device), &sent, &expected).await;
        }
    }
}

/// A reload with another `identity`: an open connection goes on, and the next one gets the other name.
#[tokio::test(flavor = "multi_thread")]
async fn another_identity_concerns_new_connections_only() {
    let named = Named::start(Require, overwritten()).await;
    let device = named.device("p7");
    let sent = mqtt::connect(Version::V311, "mine");
    let mut open = named.send(Some(&device), &sent).await;
    let mut peer = named.backend.accept_any().await;
    let expected = mqtt::connect_as(Version::V311, "mine", "p7");
    assert_eq!(peer.read_exact(expected.len()).await, expected);
    let mut config = named.fixture.config.clone();
    let identity = config.identity.as_mut().unwrap();
    identity.user_name.as_mut().unwrap().template = "b/{cn}".to_owned();
    named.fixture.rewrite(&config);
    named.fixture.wait_for_generation(2);
    let expected = mqtt::connect_as(Version::V311, "mine", "b/p7");
    named.forwards(Some(&device), &sent, &expected).await;
    open.send(&mqtt::PINGREQ).await.unwrap();
    assert_eq!(peer.read_exact(2).await, mqtt::PINGREQ);
    peer.send(&mqtt::PINGRESP).await;
    assert_eq!(open.read_exact(2).await.unwrap(), mqtt::PINGRESP);
}

/// Version, client ID and user name of a CONNECT, the packets behind it by first byte and body, and where it is cut.
type Case = (
    Version,
    String,
    Option<String>,
    Vec<(u8, Vec<u8>)>,
    Vec<prop::sample::Index>,
);

/// Whatever packets follow the CONNECT, in whatever pieces.
#[test]
fn what_follows_the_connect_passes_unchanged() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let named = runtime.block_on(Named::start(Require, overwritten()));
    let device = named.device("p7");
    let connector = Connector::with_identity(&named.fixture.ca, &device);
    let strategy = (
        prop::sample::select(Version::ALL.to_vec()),
        "\\PC{0,20}",
        prop::option::of("\\PC{0,20}"),
        prop::collection::vec(
            // An AUTH, 0xF0, would end the connection.
            (0x20..=0xEF_u8, prop::collection::vec(any::<u8>(), 0..9_000)),
            0..4,
        ),
        prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    );
    let passes = |(version, id, user, packets, cuts): Case| {
        let packets = packets.iter().map(|(head, body)| mqtt::packet(*head, body));
        let rest = packets.collect::<Vec<_>>().concat();
        let mut sent = match &user {
            Some(user) => mqtt::connect_as(version, &id, user),
            None => mqtt::connect(version, &id),
        };
        sent.extend(&rest);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(sent.len())).collect();
        cuts.extend([0, sent.len()]);
        cuts.sort_unstable();
        let expected = [mqtt::connect_as(version, &id, "p7"), rest].concat();
        runtime.block_on(async {
            let mut client = connector.connect(named.fixture.addr()).await.unwrap();
            for pair in cuts.windows(2) {
                client.send(&sent[pair[0]..pair[1]]).await.unwrap();
            }
            client.close_notify().await.unwrap();
            let mut peer = named.backend.accept_any().await;
            prop_assert_eq!(peer.read_to_end().await, (expected, Ok(())));
            Ok(())
        })
    };
    TestRunner::new(Runs::with_cases(64))
        .run(&strategy, passes)
        .unwrap();
}

#[test]
fn an_identity_that_cannot_be_applied_is_refused() {
    let ca = Ca::new("root");
    let leaf = ca.leaf().dns("localhost").issue();
    let refusal = |change: &dyn Fn(&mut Config)| {
        let mut config = fixture::config(&leaf, ([127, 0, 0, 1], 1883).into());
        config.client_auth = trust(Optional, &ca);
        config.identity = Some(overwritten());
        change(&mut config);
        let started = Terminator::start(fixture::write(&config).as_path().into(), None);
        started.err().map(|error| error.chain()).unwrap_or_default()
    };
    assert_eq!(refusal(&|_| {}), "");
    let template = |config: &mut Config, text: &str| {
        let naming = config.identity.as_mut().unwrap().user_name.as_mut();
        text.clone_into(&mut naming.unwrap().template);
    };
    for (change, expected) in [
        (
            &(|config: &mut Config| config.client_auth.mode = ClientAuthMode::None)
                as &dyn Fn(&mut Config),
            "identity: names come from clients' certificates",
        ),
        (
            &|config| template(config, "{cn"),
            "identity.userName.template: the template has a single `{`",
        ),
        (
            &|config| template(config, "everyone"),
            "identity.userName.template: the template names no field",
        ),
        (
            &|config| {
                let identity = config.identity.as_mut().unwrap();
                identity.without_certificate = Some(WithoutCertificate::default());
            },
            "identity.withoutCertificate: the user name comes from certificates",
        ),
    ] {
        let refused = refusal(change);
        assert!(refused.contains(expected), "{expected}: {refused}");
    }
}
