//! CONNECTs and certificates made to get in under another name, or to cost memory or time.

use std::net::SocketAddr;
use std::time::Duration;

use mqtt_tls_config::ClientAuthMode::{Optional, Require};
use mqtt_tls_config::{Identity, Mismatch, Naming, NamingAction};
use tests::clients::tls::{Connector, End};
use tests::mqtt::{self, Version};
use tests::pki::Ca;
use tests::ports;
use tests::wait::eventually;

use super::{Named, by_common_name, overwritten, user_names};
use crate::fixture::{SOON, config, trust, write};
use crate::program;

const NO_ANSWER: &[u8] = &[];

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_certificate_never_gets_a_devices_name() {
    let named = Named::start(Optional, overwritten()).await;
    for (version, answer) in [
        (Version::V31, &[0x20, 2, 0, 5][..]),
        (Version::V311, &[0x20, 2, 0, 5]),
        (Version::V5, &[0x20, 3, 0, 0x87, 0]),
    ] {
        for sent in [
            mqtt::connect_as(version, "p7", "p7"),
            mqtt::connect(version, "p7"),
        ] {
            named.refuses(None, &sent, answer).await;
        }
    }
    named.has_refused("no_identity", 6.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_give_no_name_are_refused() {
    let naming = Naming {
        template: "{cn}/{san.uri}".to_owned(),
        ..by_common_name(NamingAction::Set, Mismatch::Overwrite)
    };
    let named = Named::start(Require, user_names(naming)).await;
    let leaf = |name| named.devices.leaf().client_auth().common_name(name);
    // An X.509 name has at most 64 characters by its definition, and libraries accept more.
    let long = "p".repeat(1025);
    for leaf in [
        leaf("p7"),
        leaf("p7").uri("urn:p7").uri("urn:p8"),
        leaf("").uri("urn:p7"),
        leaf("p7\0").uri("urn:p7"),
        leaf("p7\n").uri("urn:p7"),
        leaf("p7").uri("urn:\n"),
        leaf(&long).uri("urn:p7"),
        leaf("p7").uri(&long),
    ] {
        let sent = mqtt::connect_as(Version::V5, "any", "p7/urn:p7");
        let not_authorized = [0x20, 3, 0, 0x87, 0];
        named
            .refuses(Some(&leaf.issue()), &sent, &not_authorized)
            .await;
    }
    let line = "mqtt_tls_connections_ended_total{end=\"no_identity\"}";
    named.fixture.wait_for_metric(line, 8.0);
}

/// Anyone may cause refusals: the log says the first, without a text of the client.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_logged_once() {
    let ca = Ca::new("root");
    let leaf = ca.leaf().dns("localhost").issue();
    let mut config = config(&leaf, ports::free_addr());
    config.client_auth = trust(Optional, &ca);
    config.identity = Some(overwritten());
    let process = program::start(&write(&config), &[]);
    process.wait_for_line("serving", SOON);
    let addr = SocketAddr::new(config.host.unwrap(), config.port);
    for _ in 0..20 {
        let mut client = Connector::new(&ca).connect(addr).await.unwrap();
        let connect = mqtt::connect_as(Version::V311, "claimed", "claimed");
        client.send(&connect).await.unwrap();
        assert!(!client.read_packet().await.unwrap().accepts());
    }
    process.signal(rustix::process::Signal::TERM);
    process.wait_for_line("draining", SOON);
    let lines = process.lines();
    let logged: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("refused"))
        .collect();
    assert_eq!(logged.len(), 1, "{}", process.log());
    assert!(logged[0].contains("no_identity"), "{}", logged[0]);
    assert!(logged[0].contains("the client has none"), "{}", logged[0]);
    assert!(!process.log().contains("claimed"), "{}", process.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connect_in_single_bytes_is_named() {
    let named = Named::start(Require, overwritten()).await;
    let device = named.device("p7");
    let connector = Connector::with_identity(&named.fixture.ca, &device).one_byte_segments();
    for version in Version::ALL {
        let mut client = connector.connect(named.fixture.addr()).await.unwrap();
        let sent = mqtt::connect_as(version, "mine", "p8");
        client.send_one_byte_records(&sent).await.unwrap();
        let expected = mqtt::connect_as(version, "mine", "p7");
        let mut peer = named.backend.accept_any().await;
        assert_eq!(peer.read_exact(expected.len()).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lengths_that_lie_are_refused() {
    let named = Named::start(Require, overwritten()).await;
    let device = named.device("p7");
    let connect = mqtt::connect_as(Version::V311, "mine", "p8");
    let mut longer = connect.clone();
    longer[1] += 1;
    longer.push(0);
    let mut shorter = connect.clone();
    shorter[1] -= 1;
    // The client ID's length, so that the user name begins within it.
    let mut moved = connect.clone();
    moved[13] += 1;
    for sent in [&longer, &shorter, &moved] {
        named.refuses(Some(&device), sent, NO_ANSWER).await;
    }
    named.has_refused("bad_connect", 3.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connect_of_256_megabytes_is_refused_when_it_is_announced() {
    let named = Named::start(Require, overwritten()).await;
    let device = named.device("p7");
    let announced = |level: u8| [b"\x10\xff\xff\xff\x7f\0\x04MQTT", &[level][..]].concat();
    named.refuses(Some(&device), &announced(4), NO_ANSWER).await;
    let too_large = [0x20, 3, 0, 0x95, 0];
    named
        .refuses(Some(&device), &announced(5), &too_large)
        .await;
    named.has_refused("connect_too_large", 2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_version_is_refused_by_a_connack() {
    let named = Named::start(Require, overwritten()).await;
    let device = named.device("p7");
    for (level, answer) in [
        (2, &[mqtt::CONNACK, 2, 0, 1][..]),
        (6, &[mqtt::CONNACK, 3, 0, 0x84, 0]),
    ] {
        let mut connect = mqtt::connect(Version::V311, "old");
        connect[8] = level;
        named.refuses(Some(&device), &connect, answer).await;
    }
    named.has_refused("unsupported_version", 2.0).await;
}

/// It would be refused anyway: nothing of a large CONNECT is held until then.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_certificate_is_refused_at_the_version() {
    let named = Named::start(Optional, overwritten()).await;
    let connect = mqtt::connect_with(Version::V5, "large", b"p7", Some(&vec![7; 50_000]));
    let not_authorized = [0x20, 3, 0, 0x87, 0];
    named.refuses(None, &connect[..11], &not_authorized).await;
    named
        .refuses(None, &connect[..40_000], &not_authorized)
        .await;
    named.has_refused("no_identity", 2.0).await;
}

/// 64 MiB of large CONNECTs are held at most, and the next device is served.
#[tokio::test(flavor = "multi_thread")]
async fn large_connects_that_stall_are_evicted_and_keep_no_device_out() {
    let named = Named::start_with(Require, overwritten(), |config| {
        config.limits.connect_bytes = 1024 * 1024;
        config.timeouts.first_packet = Duration::from_secs(60);
    })
    .await;
    let device = named.device("p7");
    let connect = |size| mqtt::connect_with(Version::V311, "large", b"p7", Some(&vec![7; size]));
    let mut stalled = Vec::new();
    for _ in 0..80 {
        stalled.push(named.send(Some(&device), &connect(60_000)[..40_000]).await);
    }
    let evicted = "mqtt_tls_connections_refused_total{limit=\"handshakes\"}";
    eventually(SOON, "16 of 80 are evicted", || {
        (named.fixture.metric(evicted) > 15.5).then_some(())
    });
    let large = connect(60_000);
    named.forwards(Some(&device), &large, &large).await;
    drop(stalled);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connect_that_drips_or_stalls_ends_in_time() {
    let named = Named::start_with(Require, overwritten(), |config| {
        config.timeouts.first_packet = Duration::from_millis(300);
    })
    .await;
    let device = named.device("p7");
    let connect = mqtt::connect_as(Version::V311, "mine", "p7");
    for size in [0, 1, connect.len() - 1] {
        named
            .refuses(Some(&device), &connect[..size], NO_ANSWER)
            .await;
    }
    let mut client = named.send(Some(&device), &[]).await;
    let drip = async {
        for byte in connect.iter().cycle().take(10_000) {
            if client.send(std::slice::from_ref(byte)).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(SOON, drip).await.expect("it is cut");
    let line = "mqtt_tls_connections_ended_total{end=\"first_packet_timeout\"}";
    named.fixture.wait_for_metric(line, 4.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_no_text_are_refused() {
    let named = Named::start(Require, overwritten()).await;
    let device = named.device("p7");
    for user_name in [&b"p7\0"[..], b"p\0", b"\xff\xfe", b"\xed\xa0\x80"] {
        let sent = mqtt::connect_with(Version::V5, "mine", user_name, Some(b"secret"));
        let malformed = [0x20, 3, 0, 0x81, 0];
        named.refuses(Some(&device), &sent, &malformed).await;
    }
    named.has_refused("bad_connect", 4.0).await;
}

/// Together with the first, and later; smart-mqtt would take the names in it.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_connect_never_reaches_the_broker() {
    let named = Named::start(Require, overwritten()).await;
    let device = named.device("p7");
    let connect = mqtt::connect(Version::V311, "mine");
    let expected = mqtt::connect_as(Version::V311, "mine", "p7");
    let second = mqtt::connect_as(Version::V311, "other", "p8");
    for later in [false, true] {
        let at_once = if later { &[][..] } else { &second };
        let sent = [&connect, &mqtt::PINGREQ[..], at_once].concat();
        let mut client = named.send(Some(&device), &sent).await;
        let mut peer = named.backend.accept_any().await;
        let before = [&expected, &mqtt::PINGREQ[..]].concat();
        assert_eq!(peer.read_exact(before.len()).await, before);
        if later {
            peer.send(&mqtt::PINGRESP).await;
            assert_eq!(client.read_exact(2).await.unwrap(), mqtt::PINGRESP);
            client.send_one_byte_records(&second).await.ok();
        }
        assert_eq!(peer.read_to_end().await, (vec![], Ok(())));
        assert_eq!(client.read_to_end().await, (vec![], End::CloseNotify));
    }
    named.has_refused("second_connect", 2.0).await;
}

/// A CONNECT of MQTT 5 with SCRAM, whose data names another user.
fn scram() -> Vec<u8> {
    let properties = b"\x15\0\x0bSCRAM-SHA-1\x16\0\x0bn,,n=p8,r=x";
    let length = [u8::try_from(properties.len()).unwrap()];
    let body = [
        &b"\0\x04MQTT\x05\x02\0\x3c"[..],
        &length,
        properties,
        b"\0\x04mine",
    ];
    mqtt::packet(0x10, &body.concat())
}

/// A broker would take the user from the data of an authentication, in the CONNECT or later.
#[tokio::test(flavor = "multi_thread")]
async fn enhanced_authentication_brings_no_other_user_name() {
    let named = Named::start(Require, overwritten()).await;
    let device = named.device("p7");
    let bad_method = [0x20, 3, 0, 0x8C, 0];
    named.refuses(Some(&device), &scram(), &bad_method).await;
    let connect = mqtt::connect(Version::V5, "mine");
    let expected = mqtt::connect_as(Version::V5, "mine", "p7");
    let auth = mqtt::packet(0xF0, b"\x19\0");
    let sent = [&connect, &mqtt::PINGREQ[..], &auth].concat();
    let mut client = named.send(Some(&device), &sent).await;
    let mut peer = named.backend.accept_any().await;
    let before = [&expected, &mqtt::PINGREQ[..]].concat();
    assert_eq!(peer.read_to_end().await, (before, Ok(())));
    assert_eq!(client.read_to_end().await, (vec![], End::CloseNotify));
    drop((client, peer));
    named.has_refused("enhanced_authentication", 2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn enhanced_authentication_is_the_brokers_where_it_gets_client_ids_only() {
    let identity = Identity {
        client_id: Some(by_common_name(NamingAction::Set, Mismatch::Refuse)),
        user_name: None,
        without_certificate: None,
        ..Identity::default()
    };
    let named = Named::start(Require, identity).await;
    let sent = [scram(), mqtt::packet(0xF0, b"\x18\0")].concat();
    let device = named.device("mine");
    named.forwards(Some(&device), &sent, &sent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_that_does_not_end_is_cut() {
    let named = Named::start(Require, overwritten()).await;
    let device = named.device("p7");
    let connect = mqtt::connect_as(Version::V311, "mine", "p7");
    let sent = [&connect[..], b"\x30\xff\xff\xff\xff\x01"].concat();
    let _client = named.send(Some(&device), &sent).await;
    let mut peer = named.backend.accept_any().await;
    let (found, end) = peer.read_to_end().await;
    assert_eq!((&*found, end), (&sent[..sent.len() - 1], Ok(())));
    drop(peer);
    named.has_refused("bad_packet", 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bridges_bit_is_kept() {
    let named = Named::start(Require, overwritten()).await;
    let device = named.device("p7");
    let bridge = |mut connect: Vec<u8>| {
        connect[8] |= 0x80;
        connect
    };
    let sent = bridge(mqtt::connect(Version::V311, "bridge"));
    let expected = bridge(mqtt::connect_as(Version::V311, "bridge", "p7"));
    named.forwards(Some(&device), &sent, &expected).await;
}
