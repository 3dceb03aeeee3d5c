//! Properties beside mqtt-proto, a codec that is not ours: what it writes and reads, we read as it does, and after a rewrite
//! it reads the same with other names. Nothing makes us panic, and no answer changes when more bytes arrive.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::sync::Arc;

use mqtt_proto::{Protocol, QoS, TopicName, v3, v5};
use mqtt_tls_mqtt::{Connect, Error, Names, Progress, Start, Version, begins_as_connect, read};
use mqtt_tls_mqtt::{rewrite, start};
use proptest::prelude::*;

const MOST: usize = 1 << 22;

/// A text as MQTT has it: without U+0000.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        9 => "[^\0]{0,24}",
        1 => "[a-z]{100,300}",
    ]
}

fn topic() -> impl Strategy<Value = TopicName> {
    "[a-z/ü]{1,12}".prop_map(|topic| TopicName::try_from(&*topic).unwrap())
}

fn data() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..200)
}

fn qos() -> impl Strategy<Value = QoS> {
    prop_oneof![Just(QoS::Level0), Just(QoS::Level1), Just(QoS::Level2)]
}

fn pairs() -> impl Strategy<Value = Vec<v5::UserProperty>> {
    let pair = (text(), text()).prop_map(|(name, value)| v5::UserProperty {
        name: Arc::from(name),
        value: Arc::from(value),
    });
    proptest::collection::vec(pair, 0..4)
}

fn of_3() -> impl Strategy<Value = v3::Connect> {
    let will = (topic(), data(), qos(), any::<bool>()).prop_map(|(topic, message, qos, retain)| {
        v3::LastWill {
            qos,
            retain,
            topic_name: topic,
            message: message.into(),
        }
    });
    let names = proptest::option::of((text(), proptest::option::of(data())));
    let protocol = prop_oneof![Just(Protocol::V310), Just(Protocol::V311)];
    (
        protocol,
        any::<bool>(),
        any::<u16>(),
        text(),
        proptest::option::of(will),
        names,
    )
        .prop_map(|(protocol, clean_session, keep_alive, id, will, names)| {
            let (user, password) = names.unzip();
            v3::Connect {
                protocol,
                clean_session,
                keep_alive,
                client_id: Arc::<str>::from(id),
                last_will: will,
                username: user.map(Arc::<str>::from),
                password: password.flatten().map(Into::into),
            }
        })
}

fn properties() -> impl Strategy<Value = v5::ConnectProperties> {
    use proptest::option::of;
    let auth = of((text(), of(data())));
    let numbers = (
        of(any::<u32>()),
        of(1..=u16::MAX),
        of(1..=u32::MAX),
        of(any::<u16>()),
    );
    let flags = (of(any::<bool>()), of(any::<bool>()));
    (numbers, flags, pairs(), auth).prop_map(|(numbers, flags, user_properties, auth)| {
        let (method, data) = auth.unzip();
        v5::ConnectProperties {
            session_expiry_interval: numbers.0,
            receive_max: numbers.1,
            max_packet_size: numbers.2,
            topic_alias_max: numbers.3,
            request_response_info: flags.0,
            request_problem_info: flags.1,
            user_properties,
            auth_method: method.map(Arc::from),
            auth_data: data.flatten().map(Into::into),
        }
    })
}

fn will_of_5() -> impl Strategy<Value = v5::LastWill> {
    use proptest::option::of;
    let numbers = (of(any::<u32>()), of(any::<u32>()));
    let texts = (of(text()), of(topic()), of(data()));
    let message = ("[a-z]{0,60}", topic(), qos(), any::<bool>());
    (numbers, of(any::<bool>()), texts, pairs(), message).prop_map(
        |(numbers, is_utf8, (content, response, correlation), user_properties, message)| {
            v5::LastWill {
                qos: message.2,
                retain: message.3,
                topic_name: message.1,
                payload: message.0.into_bytes().into(),
                properties: v5::WillProperties {
                    delay_interval: numbers.0,
                    payload_is_utf8: is_utf8,
                    message_expiry_interval: numbers.1,
                    content_type: content.map(Arc::from),
                    response_topic: response,
                    correlation_data: correlation.map(Into::into),
                    user_properties,
                },
            }
        },
    )
}

fn of_5() -> impl Strategy<Value = v5::Connect> {
    let names = (proptest::option::of(text()), proptest::option::of(data()));
    (
        any::<bool>(),
        any::<u16>(),
        properties(),
        text(),
        proptest::option::of(will_of_5()),
        names,
    )
        .prop_map(
            |(clean_start, keep_alive, properties, id, will, names)| v5::Connect {
                protocol: Protocol::V500,
                clean_start,
                keep_alive,
                properties,
                client_id: Arc::<str>::from(id),
                last_will: will,
                username: names.0.map(Arc::<str>::from),
                password: names.1.map(Into::into),
            },
        )
}

/// A CONNECT of any version, as their packet.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Theirs {
    Three(v3::Connect),
    Five(Box<v5::Connect>),
}

fn theirs() -> impl Strategy<Value = Theirs> {
    prop_oneof![
        of_3().prop_map(Theirs::Three),
        of_5().prop_map(Box::new).prop_map(Theirs::Five)
    ]
}

impl Theirs {
    fn encoded(&self) -> Vec<u8> {
        match self {
            Self::Three(connect) => {
                let packet = v3::Packet::Connect(connect.clone());
                packet.encode().unwrap().as_ref().to_vec()
            }
            Self::Five(connect) => {
                let packet = v5::Packet::Connect((**connect).clone());
                packet.encode().unwrap().as_ref().to_vec()
            }
        }
    }

    /// Reads a whole packet with their codec; `None` if it refuses, or leaves bytes over.
    fn decoded(packet: &[u8]) -> Option<Self> {
        let length = v3::Header::decode(packet).ok()?.remaining_len;
        let mut at = 2 + packet[1..]
            .iter()
            .take_while(|digit| **digit >= 0x80)
            .count();
        if packet.len() - at != length as usize {
            return None;
        }
        let (body_at, total) = (at, u32::try_from(packet.len()).ok()?);
        let read = |five: bool, at: &mut usize| {
            *at = body_at;
            if five {
                let header = v5::Header::new_with(packet[0], length, total).ok()?;
                v5::Connect::decode(packet, at, header)
                    .ok()
                    .map(Box::new)
                    .map(Self::Five)
            } else {
                v3::Connect::decode(packet, at).ok().map(Self::Three)
            }
        };
        let connect = read(false, &mut at).or_else(|| read(true, &mut at))?;
        (at == packet.len()).then_some(connect)
    }

    fn is(&self, ours: &Connect<'_>) {
        match self {
            Self::Three(theirs) => {
                let version = match theirs.protocol {
                    Protocol::V310 => Version::V31,
                    _ => Version::V311,
                };
                assert_eq!(ours.version, version);
                assert_eq!(ours.clean_start, theirs.clean_session);
                assert_eq!(ours.keep_alive, theirs.keep_alive);
                assert_eq!(ours.client_id, &*theirs.client_id);
                assert_eq!(ours.user_name, theirs.username.as_deref());
                assert_eq!(ours.password, theirs.password.as_deref());
                assert_eq!(ours.properties, None);
                assert_eq!(ours.will.is_some(), theirs.last_will.is_some());
                if let (Some(ours), Some(theirs)) = (&ours.will, &theirs.last_will) {
                    assert_eq!((ours.qos, ours.retain), (theirs.qos as u8, theirs.retain));
                    assert_eq!(ours.topic, &*theirs.topic_name);
                    assert_eq!(ours.payload, &theirs.message[..]);
                }
            }
            Self::Five(theirs) => {
                assert_eq!(ours.version, Version::V5);
                assert_eq!(ours.clean_start, theirs.clean_start);
                assert_eq!(ours.keep_alive, theirs.keep_alive);
                assert_eq!(ours.client_id, &*theirs.client_id);
                assert_eq!(ours.user_name, theirs.username.as_deref());
                assert_eq!(ours.password, theirs.password.as_deref());
                assert_eq!(ours.will.is_some(), theirs.last_will.is_some());
                if let (Some(ours), Some(theirs)) = (&ours.will, &theirs.last_will) {
                    assert_eq!((ours.qos, ours.retain), (theirs.qos as u8, theirs.retain));
                    assert_eq!(ours.topic, &*theirs.topic_name);
                    assert_eq!(ours.payload, &theirs.payload[..]);
                }
            }
        }
    }

    fn named(mut self, names: Names<'_>) -> Self {
        let user = names.user_name.map(Arc::<str>::from);
        let id = names.client_id.map(Arc::<str>::from);
        match &mut self {
            Self::Three(connect) => {
                connect.username = user.or(connect.username.take());
                connect.client_id = id.unwrap_or_else(|| connect.client_id.clone());
            }
            Self::Five(connect) => {
                connect.username = user.or(connect.username.take());
                connect.client_id = id.unwrap_or_else(|| connect.client_id.clone());
            }
        }
        self
    }
}

/// Ours, of a packet that must be read.
fn ours(packet: &[u8]) -> Connect<'_> {
    match read(packet, MOST) {
        Progress::Connect(connect) => connect,
        other => panic!("{other:?} of {packet:x?}"),
    }
}

/// What we refuse and they accept.
fn is_stricter(error: Error) -> bool {
    matches!(
        error,
        Error::Nul(_)
            | Error::PropertyValue(_)
            | Error::PasswordWithoutUserName
            | Error::Length
            | Error::PropertiesLength
            | Error::WillFlags
    )
}

fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)
}

proptest! {
    #[test]
    fn what_they_write_we_read(theirs in theirs(), rest in data()) {
        let packet = theirs.encoded();
        prop_assert_eq!(Theirs::decoded(&packet), Some(theirs.clone()));
        let stream = [&packet[..], &rest].concat();
        let ours = ours(&stream);
        prop_assert_eq!(ours.size(), packet.len());
        theirs.is(&ours);
    }

    #[test]
    fn after_a_rewrite_they_read_the_same_with_other_names(
        theirs in theirs(),
        user_name in proptest::option::of(text()),
        client_id in proptest::option::of(text()),
    ) {
        let packet = theirs.encoded();
        let names = Names { user_name: user_name.as_deref(), client_id: client_id.as_deref() };
        let rewritten = rewrite(&ours(&packet), names).unwrap();
        let expected = theirs.named(names);
        prop_assert_eq!(Theirs::decoded(&rewritten), Some(expected.clone()));
        // They write in one order of properties; so each byte is compared.
        prop_assert_eq!(rewritten, expected.encoded());
    }

    /// Packets with a few bytes changed: what they still read, we read the same, or refuse for a rule that they leave out.
    #[test]
    fn what_they_read_of_a_damaged_packet_we_read_alike(theirs in theirs(), changes in changes()) {
        let mut packet = theirs.encoded();
        for (at, byte) in changes {
            let at = at.index(packet.len());
            packet[at] = byte;
        }
        packet[0] = 0x10;
        if let Some(theirs) = Theirs::decoded(&packet) {
            match read(&packet, MOST) {
                Progress::Connect(ours) => theirs.is(&ours),
                Progress::Refused(refused) => prop_assert!(is_stricter(refused.error), "{refused:?}"),
                Progress::Partial(_) => prop_assert!(false, "it is whole"),
            }
        }
    }

    #[test]
    fn no_answer_changes_when_more_bytes_arrive(
        theirs in theirs(),
        changes in changes(),
        most in 0..600_usize,
    ) {
        let mut packet = theirs.encoded();
        for (at, byte) in changes {
            let at = at.index(packet.len());
            packet[at] = byte;
        }
        let whole = kind(&packet, most);
        for end in 0..packet.len() {
            let early = kind(&packet[..end], most);
            prop_assert!(early == Kind::Partial || early == whole, "{early:?} after {end}, then {whole:?}");
        }
    }

    #[test]
    fn no_input_panics(bytes in data(), most in 0..300_usize) {
        for bytes in [bytes.clone(), [b"\x10\x60\0\x04MQTT\x05".to_vec(), bytes].concat()] {
            let progress = read(&bytes, most);
            if let Progress::Connect(connect) = &progress {
                let names = Names { user_name: Some("ada"), client_id: None };
                prop_assert!(rewrite(connect, names).is_ok());
                prop_assert_eq!(start(&bytes), Start::Connect);
                prop_assert_eq!(begins_as_connect(&bytes), Some(true));
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Partial,
    Connect(usize),
    Refused(Error),
}

fn kind(bytes: &[u8], most: usize) -> Kind {
    match read(bytes, most) {
        Progress::Partial(missing) => {
            assert!(missing > 0);
            Kind::Partial
        }
        Progress::Connect(connect) => Kind::Connect(connect.size()),
        Progress::Refused(refused) => Kind::Refused(refused.error),
    }
}
