//! Names from certificates with real clients and brokers: mosquitto's own user names and passwords, and smart-mqtt.

use std::process::Command;
use std::time::Duration;

use mqtt_tls_config::ClientAuthMode::{Optional, Require};
use mqtt_tls_config::{Config, Identity, Mismatch, NamingAction, WithoutCertificate};
use tests::assets;
use tests::broker::{Mosquitto, SmartMqtt};
use tests::clients::devices::{Device, Stack};
use tests::clients::mosquitto::{Endpoint, Subscriber};
use tests::clients::tls::{Connector, End};
use tests::mqtt::{self, Version};
use tests::pki::{Ca, Leaf};
use tests::process::run;
use tests::workdir;

use super::{by_common_name, overwritten};
use crate::fixture::{Fixture, trust};

/// A mosquitto that knows the user `p7` with the password `secret`, who alone may use the topic `of/p7`. Clients without
/// a user name may use the harness' topic only.
fn guarded() -> Mosquitto {
    let folder = workdir::scratch("mosquitto-users");
    let (passwords, rights) = (folder.join("passwords"), folder.join("rights"));
    let mut command: Command = assets::installed("mosquitto_passwd");
    command
        .arg("-c")
        .arg("-b")
        .arg(&passwords)
        .args(["p7", "secret"]);
    run(command, b"", Duration::from_secs(20)).expect_success();
    let rules = "topic readwrite harness/#\n\nuser p7\ntopic readwrite of/p7\n";
    std::fs::write(&rights, rules).unwrap();
    Mosquitto::start_with(&format!(
        "password_file {}\nacl_file {}",
        passwords.display(),
        rights.display()
    ))
}

fn named(broker: std::net::SocketAddr, devices: &Ca, identity: Identity) -> Fixture {
    Fixture::start_with(broker, |config: &mut Config| {
        config.client_auth = trust(Require, devices);
        config.identity = Some(identity);
    })
}

fn device(devices: &Ca, name: &str) -> Leaf {
    devices.leaf().common_name(name).client_auth().issue()
}

/// Publishes as the device `p7` with its password, and as others with what they know of it.
fn authenticates_the_certificates_name(broker: std::net::SocketAddr, topic: &str) {
    let devices = Ca::new("devices");
    let fixture = named(broker, &devices, overwritten());
    let at = |leaf: &Leaf, user: &str, password: &str| {
        let at = Endpoint::tls(fixture.config.port, &fixture.ca).identity(leaf);
        at.arg("-u").arg(user).arg("-P").arg(password)
    };
    let (p7, p8) = (device(&devices, "p7"), device(&devices, "p8"));
    for version in Version::ALL {
        let listening = at(&p7, "p7", "secret").subscribe(topic).version(version);
        let mut subscriber = Subscriber::start(&listening.qos(1));
        // Another user name is overwritten, and the password is kept.
        let sending = at(&p7, "someone", "secret").publish(topic);
        let text = format!("{version:?}");
        let sending = sending.version(version).qos(1).payload(&text);
        sending.send().expect_success();
        assert_eq!(subscriber.next_message(), format!("{topic} {text}"));
        // Knowing user name and password of another device does not help.
        let stolen = at(&p8, "p7", "secret").publish(topic).version(version);
        assert!(!stolen.payload("stolen").send().status.success());
        let wrong = at(&p7, "p7", "wrong").publish(topic).version(version);
        assert!(!wrong.payload("wrong").send().status.success());
    }
}

#[test]
fn mosquitto_authenticates_the_certificates_name() {
    authenticates_the_certificates_name(guarded().addr(), "of/p7");
}

/// By a plugin, since smart-mqtt's own way to authenticate is one.
#[test]
fn smart_mqtt_authenticates_the_certificates_name() {
    let broker = SmartMqtt::start_with_users();
    // It loses messages that are published while their topic is being created.
    authenticates_the_certificates_name(broker.addr(), "harness/warm-up");
}

/// A broker that is a client itself: it asks for MQTT with the bit of bridges.
#[test]
fn a_mosquitto_bridge_is_named() {
    let (broker, devices) = (guarded(), Ca::new("devices"));
    let fixture = named(broker.addr(), &devices, overwritten());
    let (cert, key) = device(&devices, "p7").files();
    let ca = workdir::scratch("ca").join("ca.crt");
    std::fs::write(&ca, fixture.ca.cert_pem()).unwrap();
    let bridge = Mosquitto::start_with(&format!(
        "connection up\naddress localhost:{}\ntopic of/p7 out 1\nremote_username other\nremote_password secret\n\
         try_private true\nbridge_protocol_version mqttv311\nbridge_cafile {}\nbridge_certfile {}\nbridge_keyfile {}\n",
        fixture.config.port,
        ca.display(),
        cert.display(),
        key.display()
    ));
    let at = Endpoint::plain(broker.addr())
        .arg("-u")
        .arg("p7")
        .arg("-P")
        .arg("secret");
    let mut subscriber = Subscriber::start(&at.subscribe("of/p7").qos(1));
    let sending = Endpoint::plain(bridge.addr()).publish("of/p7");
    sending.qos(1).payload("bridged").send().expect_success();
    assert_eq!(subscriber.next_message(), "of/p7 bridged");
}

#[test]
fn mosquittos_clients_understand_the_refusal() {
    let devices = Ca::new("devices");
    let identity = Identity {
        user_name: Some(by_common_name(NamingAction::Require, Mismatch::Refuse)),
        client_id: None,
        without_certificate: None,
        ..Identity::default()
    };
    let fixture = named(Mosquitto::shared().addr(), &devices, identity);
    let at = Endpoint::tls(fixture.config.port, &fixture.ca).identity(&device(&devices, "p7"));
    for (version, said) in [
        (Version::V31, "bad user name or password"),
        (Version::V311, "bad user name or password"),
        (Version::V5, "Bad username or password"),
    ] {
        let call = at.publish("any").version(version).payload("any").arg("-u");
        let finished = call.arg("p8").send();
        assert!(!finished.status.success());
        let (found, said) = (finished.stderr.to_lowercase(), said.to_lowercase());
        let (found, said) = (found.replace(' ', ""), said.replace(' ', ""));
        assert!(found.contains(&said), "{version:?}: {}", finished.stderr);
    }
}

#[test]
fn paho_reaches_both_brokers_under_the_certificates_names() {
    for broker in [SmartMqtt::shared().addr(), Mosquitto::shared().addr()] {
        let devices = Ca::new("devices");
        let identity = Identity {
            client_id: Some(by_common_name(NamingAction::Set, Mismatch::Overwrite)),
            ..overwritten()
        };
        let fixture = named(broker, &devices, identity);
        let leaf = device(&devices, "paho-7");
        let seen = Device::new(Stack::Paho, fixture.addr(), &fixture.ca)
            .identity(&leaf)
            .echo(1000)
            .run();
        assert_eq!((seen.error.as_str(), seen.connack), ("", 0), "{seen:?}");
        assert_eq!((seen.acked, seen.received), (1, 1), "{seen:?}");
    }
}

/// mosquitto lets the user `paho-7` alone use other topics than the harness', so an echo shows the name.
#[test]
fn paho_gets_its_name_at_mosquitto_and_is_refused_without_a_certificate() {
    let rights = workdir::scratch("mosquitto-rights").join("rights");
    std::fs::write(
        &rights,
        "topic readwrite harness/#\n\nuser paho-7\ntopic readwrite #\n",
    )
    .unwrap();
    let broker = Mosquitto::start_with(&format!("acl_file {}", rights.display()));
    let devices = Ca::new("devices");
    let fixture = Fixture::start_with(broker.addr(), |config| {
        config.client_auth = trust(Optional, &devices);
        config.identity = Some(overwritten());
    });
    let leaf = device(&devices, "paho-7");
    for version in ["3.1.1", "5"] {
        let paho = || {
            let device = Device::new(Stack::Paho, fixture.addr(), &fixture.ca);
            device.option("mqtt", version).echo(1000)
        };
        let seen = paho().identity(&leaf).run();
        assert_eq!((seen.error.as_str(), seen.received), ("", 1), "{seen:?}");
        let refused = paho().run();
        let said = "paho-mqtt: ConnectionRefusedError: Not authorized";
        assert_eq!(refused.error, said, "{version}: {refused:?}");
    }
}

#[test]
fn smart_mqtt_takes_each_version_with_names_from_certificates() {
    let devices = Ca::new("devices");
    let fixture = Fixture::start_with(SmartMqtt::shared().addr(), |config| {
        config.client_auth = trust(Optional, &devices);
        config.identity = Some(Identity {
            without_certificate: Some(WithoutCertificate {
                user_name: Some("guest".to_owned()),
                client_id_prefix: None,
            }),
            ..overwritten()
        });
    });
    let plain = Endpoint::tls(fixture.config.port, &fixture.ca);
    let own = plain.clone().identity(&device(&devices, "p7"));
    for (at, kind) in [(plain, "guest"), (own, "device")] {
        for version in Version::ALL {
            let topic = format!("named/{kind}/{version:?}");
            let mut subscriber = Subscriber::start(&at.subscribe(&topic).version(version).qos(1));
            let sending = at.publish(&topic).version(version).qos(1).payload("any");
            sending.send().expect_success();
            assert_eq!(subscriber.next_message(), format!("{topic} any"));
        }
    }
}

/// smart-mqtt takes the names in a second CONNECT, so the terminator must end the connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_connect_changes_no_name_at_a_broker() {
    let devices = Ca::new("devices");
    let leaf = device(&devices, "p7");
    for broker in [SmartMqtt::shared().addr(), Mosquitto::shared().addr()] {
        let fixture = named(broker, &devices, overwritten());
        let connector = Connector::with_identity(&fixture.ca, &leaf);
        for version in [Version::V311, Version::V5] {
            let mut client = connector.connect(fixture.addr()).await.unwrap();
            let first = mqtt::connect(version, &format!("twice-{version:?}"));
            client.send(&first).await.unwrap();
            assert!(client.read_packet().await.unwrap().accepts());
            let second = mqtt::connect_as(version, "another", "p8");
            client.send(&second).await.unwrap();
            let (said, end) = client.read_to_end().await;
            assert_eq!((said, end), (vec![], End::CloseNotify), "{version:?}");
        }
    }
}
