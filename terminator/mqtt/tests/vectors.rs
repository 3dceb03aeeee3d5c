//! CONNECTs made by hand after the sections of MQTT 3.1, 3.1.1 and 5.0: what is read, what is refused, how it is answered,
//! and what a rewrite changes. It must not use another codec; `theirs.rs` does.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use mqtt_tls_mqtt::connack::{Cause, Connack};
use mqtt_tls_mqtt::{
    Connect, Error, Field, Names, Progress, Reason, Refused, Version, begins_as_connect, read,
    rewrite,
};

const MOST: usize = 64 * 1024;

/// A packet of a body shorter than 128 bytes.
fn packet(parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let length = u8::try_from(body.len()).unwrap();
    assert!(length < 128);
    [&[0x10, length][..], &body].concat()
}

fn connect(bytes: &[u8]) -> Connect<'_> {
    match read(bytes, MOST) {
        Progress::Connect(connect) => connect,
        other => panic!("{other:?}"),
    }
}

fn refused(bytes: &[u8]) -> Refused {
    match read(bytes, MOST) {
        Progress::Refused(refused) => refused,
        other => panic!("{other:?}"),
    }
}

/// The example of MQTT 3.1.1, section 3.1.2.3: user name, password, will with QoS 1, clean session, keep alive 10; with a
/// payload of section 3.1.3.
fn full_311() -> Vec<u8> {
    packet(&[
        b"\0\x04MQTT\x04\xCE\0\x0A",
        b"\0\x04gate\0\x05w/one\0\x02\x00\xFF\0\x03ada\0\x02\x00\x01",
    ])
}

#[test]
fn each_field_of_3_1_1_is_read() {
    let bytes = [full_311(), vec![0xC0, 0]].concat();
    let connect = connect(&bytes);
    assert_eq!(connect.version, Version::V311);
    assert_eq!(connect.size(), bytes.len() - 2);
    assert_eq!((connect.client_id, connect.keep_alive), ("gate", 10));
    assert!(connect.clean_start && !connect.is_bridge);
    assert_eq!(connect.user_name, Some("ada"));
    assert_eq!(connect.password, Some(&[0, 1][..]));
    assert_eq!(connect.properties, None);
    let will = connect.will.unwrap();
    assert_eq!((will.qos, will.retain, will.topic), (1, false, "w/one"));
    assert_eq!((will.payload, will.properties), (&[0, 0xFF][..], None));
}

/// MQTT 5.0, sections 3.1.2.11 and 3.1.3.2: each property, and a user property twice.
#[test]
fn each_property_of_5_is_accepted_and_kept() {
    let properties = [
        &b"\x11\0\0\0\x0A\x21\0\x14\x27\0\0\x10\0\x22\0\x05\x19\x01\x17\0"[..],
        b"\x26\0\x01a\0\x01b\x26\0\x01a\0\x01b\x15\0\x01x\x16\0\x02\0\xFF",
    ]
    .concat();
    let of_will =
        b"\x18\0\0\0\x05\x01\x01\x02\0\0\0\x3C\x03\0\x01t\x08\0\x01r\x09\0\x01\0\x26\0\0\0\0";
    let length = |bytes: &[u8]| [u8::try_from(bytes.len()).unwrap()];
    let bytes = packet(&[
        b"\0\x04MQTT\x05\xF6\0\x3C",
        &length(&properties),
        &properties,
        b"\0\x04gate",
        &length(of_will),
        of_will,
        b"\0\x01w\0\x01p\0\x03ada\0\0",
    ]);
    let read = connect(&bytes);
    assert_eq!(read.version, Version::V5);
    assert_eq!(read.properties, Some(&properties[..]));
    assert!(read.authenticates);
    let will = read.will.clone().unwrap();
    assert_eq!(will.properties, Some(&of_will[..]));
    assert_eq!((will.qos, will.retain), (2, true));
    assert_eq!(read.password, Some(&[][..]));

    let names = Names {
        user_name: Some("grace"),
        client_id: Some("g"),
    };
    let rewritten = rewrite(&read, names).unwrap();
    let renamed = connect(&rewritten);
    assert_eq!((renamed.user_name, renamed.client_id), (Some("grace"), "g"));
    assert_eq!(renamed.properties, read.properties);
    assert_eq!((renamed.will, renamed.password), (read.will, read.password));
    assert_eq!(rewritten.len(), bytes.len() + 2 - 3);
}

#[test]
fn mqtt_3_1_accepts_flags_of_names_that_are_not_there() {
    for flags in [0xC2, 0x82] {
        let bytes = packet(&[b"\0\x06MQIsdp\x03", &[flags], b"\0\x3C\0\x01a"]);
        let read = connect(&bytes);
        assert_eq!(read.version, Version::V31);
        assert_eq!((read.user_name, read.password), (None, None));
        let names = Names {
            user_name: Some("ada"),
            ..Names::default()
        };
        let rewritten = rewrite(&read, names).unwrap();
        assert_eq!(connect(&rewritten).user_name, Some("ada"));
    }
    let bytes = packet(&[b"\0\x04MQTT\x04\x82", b"\0\x3C\0\x01a"]);
    assert_eq!(refused(&bytes).error, Error::CutShort(Field::UserName));
}

/// MQTT 3.1, section 3.1: the reserved flag is unused, and so are those of a will that is not there.
#[test]
fn mqtt_3_1_ignores_unused_flags_and_a_rewrite_keeps_them() {
    let bytes = packet(&[b"\0\x06MQIsdp\x03\x3B\0\x3C\0\x01a"]);
    let names = Names {
        user_name: Some("ada"),
        ..Names::default()
    };
    let rewritten = rewrite(&connect(&bytes), names).unwrap();
    assert_eq!(rewritten[11], 0x3B | 0x80);
}

#[test]
fn bridges_are_accepted_and_stay_bridges() {
    for (protocol, version) in [
        (&b"\0\x06MQIsdp\x83"[..], Version::V31),
        (b"\0\x04MQTT\x84", Version::V311),
        (b"\0\x04MQTT\x85", Version::V5),
    ] {
        let properties: &[u8] = if version == Version::V5 { b"\0" } else { b"" };
        let bytes = packet(&[protocol, b"\x02\0\x3C", properties, b"\0\x06bridge"]);
        let read = connect(&bytes);
        assert!(read.is_bridge);
        assert_eq!(read.version, version);
        let names = Names {
            client_id: Some("b"),
            ..Names::default()
        };
        let rewritten = rewrite(&read, names).unwrap();
        let level = 1 + protocol.len();
        assert_eq!(rewritten[level], bytes[level]);
        assert!(connect(&rewritten).is_bridge);
    }
}

#[test]
fn each_prefix_is_partial_and_the_last_byte_completes() {
    for bytes in [full_311(), packet(&[b"\0\x06MQIsdp\x03\x02\0\x3C\0\x01a"])] {
        for end in 0..bytes.len() {
            match read(&bytes[..end], MOST) {
                Progress::Partial(missing) => assert!(missing > 0 && missing <= bytes.len() - end),
                other => panic!("after {end} bytes: {other:?}"),
            }
        }
        assert!(matches!(read(&bytes, MOST), Progress::Connect(_)));
    }
}

#[test]
fn a_length_that_is_too_large_is_refused_once_the_version_is_known() {
    let header = b"\x10\xFF\xFF\xFF\x7F";
    let error = Error::TooLarge {
        size: 268_435_460,
        most: MOST,
    };
    for early in [&header[..], b"\x10\xFF\xFF\xFF\x7F\0\x04MQTT"] {
        assert!(matches!(read(early, MOST), Progress::Partial(_)));
    }
    for (level, connack) in [(4, None), (5, Some(&[0x20, 3, 0, 0x95, 0][..]))] {
        let refused = refused(&[&header[..], b"\0\x04MQTT", &[level]].concat());
        assert_eq!(refused.error, error);
        let found = refused.connack();
        assert_eq!(found.as_ref().map(Connack::as_bytes), connack);
    }
    assert_eq!(
        refused(&[&header[..], b"\0\x04HTTP"].concat()).error,
        Error::ProtocolName
    );
    assert_eq!(refused(b"\x10\xFF\xFF\xFF\xFF").error, Error::Length);
    assert!(matches!(
        read(b"\x10\xFF\xFF\xFF", MOST),
        Progress::Partial(1)
    ));
    let whole = full_311();
    assert!(matches!(read(&whole, whole.len()), Progress::Connect(_)));
    assert!(matches!(
        read(&whole, whole.len() - 1),
        Progress::Refused(_)
    ));
}

#[test]
fn what_is_not_mqtt_is_refused_with_its_first_wrong_byte() {
    for (bytes, error) in [
        (&b"G"[..], Error::NotConnect),
        (b"\x11", Error::NotConnect),
        (b"\xC0", Error::NotConnect),
        (b"\x10\x20\0\x04H", Error::ProtocolName),
        (b"\x10\x20\0\x05", Error::ProtocolName),
        (b"\x10\x20\0\x04MQTT\x06", Error::Version(6)),
        (b"\x10\x20\0\x04MQTT\x03", Error::Version(3)),
        (b"\x10\x20\0\x06MQIsdp\x04", Error::Version(4)),
        (b"\x10\x20\0\x04MQTT\x80", Error::Version(0x80)),
        (b"\x10\x04\0\x04MQ", Error::CutShort(Field::Protocol)),
        (b"\x10\0", Error::CutShort(Field::Protocol)),
    ] {
        assert_eq!(refused(bytes).error, error, "{bytes:?}");
        let before = read(&bytes[..bytes.len() - 1], MOST);
        assert!(matches!(before, Progress::Partial(_)), "{bytes:?}");
        let is_name = begins_as_connect(bytes);
        let is_mqtt = error.reason() != Reason::NotMqtt;
        assert!(is_name == Some(is_mqtt) || is_name.is_none(), "{bytes:?}");
    }
}

#[test]
fn what_contradicts_the_specification_is_refused() {
    let of_311 = |flags: u8, rest: &[u8]| packet(&[b"\0\x04MQTT\x04", &[flags], b"\0\x3C", rest]);
    let id = b"\0\x01a";
    for (bytes, error) in [
        // [MQTT-3.1.2-3], [MQTT-3.1.2-14], [MQTT-3.1.2-13], [MQTT-3.1.2-15], [MQTT-3.1.2-22]
        (of_311(0x03, id), Error::ReservedFlag),
        (of_311(0x1E, b"\0\x01a\0\x01w\0\0"), Error::WillFlags),
        (of_311(0x0A, id), Error::WillFlags),
        (of_311(0x22, id), Error::WillFlags),
        (of_311(0x42, b"\0\x01a\0\0"), Error::PasswordWithoutUserName),
        // [MQTT-1.5.3-1], [MQTT-1.5.3-2]
        (
            of_311(0x02, b"\0\x01\xFF"),
            Error::IllFormed(Field::ClientId),
        ),
        (
            of_311(0x02, b"\0\x03\xED\xA0\x80"),
            Error::IllFormed(Field::ClientId),
        ),
        (
            of_311(0x02, b"\0\x02\xC0\x80"),
            Error::IllFormed(Field::ClientId),
        ),
        (of_311(0x02, b"\0\x01\0"), Error::Nul(Field::ClientId)),
        (
            of_311(0x82, b"\0\x01a\0\x03a\0b"),
            Error::Nul(Field::UserName),
        ),
        (
            of_311(0x82, b"\0\x01a\0\x01\x80"),
            Error::IllFormed(Field::UserName),
        ),
        (
            of_311(0x06, b"\0\x01a\0\x01\0\0\0"),
            Error::Nul(Field::WillTopic),
        ),
        // Lengths that lie.
        (of_311(0x02, b"\0\x02a"), Error::CutShort(Field::ClientId)),
        (of_311(0x02, b"\xFF\xFFa"), Error::CutShort(Field::ClientId)),
        (of_311(0x02, b"\0"), Error::CutShort(Field::ClientId)),
        (of_311(0x02, b"\0\x01ab"), Error::TrailingBytes(1)),
        (
            of_311(0xC2, b"\0\x01a\0\x01u"),
            Error::CutShort(Field::Password),
        ),
        (
            of_311(0x06, b"\0\x01a\0\x01w\0\x09p"),
            Error::CutShort(Field::WillPayload),
        ),
        (packet(&[b"\0\x04MQTT\x04"]), Error::CutShort(Field::Flags)),
        (
            packet(&[b"\0\x04MQTT\x04\x02\0"]),
            Error::CutShort(Field::KeepAlive),
        ),
    ] {
        assert_eq!(refused(&bytes).error, error, "{bytes:x?}");
    }
}

/// MQTT 5.0, sections 2.2.2 and 3.1.2.11.
#[test]
fn properties_that_do_not_belong_there_are_refused() {
    let of_5 = |rest: &[u8]| packet(&[b"\0\x04MQTT\x05\x02\0\x3C", rest]);
    for (bytes, error) in [
        (of_5(b"\x02\x0B\x01\0\x01a"), Error::UnknownProperty(0x0B)),
        (
            of_5(b"\x05\x18\0\0\0\x01\0\x01a"),
            Error::UnknownProperty(0x18),
        ),
        (
            of_5(b"\x06\x21\0\x01\x21\0\x01\0\x01a"),
            Error::DuplicateProperty(0x21),
        ),
        (of_5(b"\x03\x21\0\0\0\x01a"), Error::PropertyValue(0x21)),
        (of_5(b"\x05\x27\0\0\0\0\0\x01a"), Error::PropertyValue(0x27)),
        (of_5(b"\x02\x17\x02\0\x01a"), Error::PropertyValue(0x17)),
        (of_5(b"\x03\x16\0\0\0\x01a"), Error::PropertyValue(0x16)),
        (
            of_5(b"\x04\x15\0\x01\0\0\x01a"),
            Error::Nul(Field::Properties),
        ),
        (
            of_5(b"\x02\x21\0\0\x01a"),
            Error::CutShort(Field::Properties),
        ),
        (of_5(b"\x7F\0\x01a"), Error::CutShort(Field::Properties)),
        (of_5(b"\x80\x00\0\x01a"), Error::PropertiesLength),
        (of_5(b"\xFF\xFF\xFF\xFF\0\x01a"), Error::PropertiesLength),
        (of_5(b""), Error::CutShort(Field::Properties)),
    ] {
        assert_eq!(refused(&bytes).error, error, "{bytes:x?}");
    }
}

#[test]
fn a_password_without_a_user_name_is_allowed_in_5() {
    let bytes = packet(&[b"\0\x04MQTT\x05\x42\0\x3C\0\0\x01a\0\x01p"]);
    let read = connect(&bytes);
    assert!(!read.authenticates);
    assert_eq!((read.user_name, read.password), (None, Some(&b"p"[..])));
    let names = Names {
        user_name: Some("ada"),
        ..Names::default()
    };
    let rewritten = rewrite(&read, names).unwrap();
    let renamed = connect(&rewritten);
    assert_eq!(
        (renamed.user_name, renamed.password),
        (Some("ada"), Some(&b"p"[..]))
    );
}

/// [MQTT-1.5.5-1] forbids it in MQTT 5, and small clients reserve digits in each version.
#[test]
fn a_longer_form_of_the_length_is_read_and_shortened() {
    for bytes in [
        packet(&[b"\0\x04MQTT\x04\x02\0\x3C\0\x01a"]),
        packet(&[b"\0\x04MQTT\x05\x02\0\x3C\0\0\x01a"]),
    ] {
        let longer = [&[0x10, bytes[1] | 0x80, 0x80, 0x00], &bytes[2..]].concat();
        let read = connect(&longer);
        assert_eq!(read.size(), longer.len());
        assert_eq!(rewrite(&read, Names::default()).unwrap(), bytes);
    }
}

#[test]
fn a_second_connect_is_not_touched() {
    let bytes = [full_311(), full_311()].concat();
    assert_eq!(connect(&bytes).size(), bytes.len() / 2);
}

#[test]
fn the_length_may_take_another_byte() {
    let bytes = packet(&[b"\0\x04MQTT\x04\x02\0\x3C\0\x01a"]);
    let read = connect(&bytes);
    for (size, digits) in [(115, 1), (116, 2), (16_371, 2), (16_372, 3), (65_535, 3)] {
        let name = "n".repeat(size);
        let names = Names {
            client_id: Some(&name),
            ..Names::default()
        };
        let rewritten = rewrite(&read, names).unwrap();
        assert_eq!(rewritten.len(), 1 + digits + 12 + size, "{size}");
        match mqtt_tls_mqtt::read(&rewritten, 1 << 20) {
            Progress::Connect(connect) => assert_eq!(connect.client_id, name),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn names_that_no_connect_can_have_are_refused() {
    let bytes = full_311();
    let read = connect(&bytes);
    let long = "n".repeat(65_536);
    for (name, error) in [
        (
            &*long,
            mqtt_tls_mqtt::rewrite::Error::TooLong(Field::UserName),
        ),
        ("a\0", mqtt_tls_mqtt::rewrite::Error::Nul(Field::UserName)),
    ] {
        let names = Names {
            user_name: Some(name),
            ..Names::default()
        };
        assert_eq!(rewrite(&read, names), Err(error));
    }
}

/// MQTT 3.1.1, table 3.1; 5.0, table 3-1.
#[test]
fn a_refusal_is_answered_in_the_form_of_its_version() {
    let connack =
        |version, cause| Connack::refusing(version, cause).map(|it| it.as_bytes().to_vec());
    for (cause, of_3, of_5) in [
        (Cause::UnsupportedVersion, Some(1), 0x84),
        (Cause::ClientIdNotValid, Some(2), 0x85),
        (Cause::ServerUnavailable, Some(3), 0x88),
        (Cause::BadUserNameOrPassword, Some(4), 0x86),
        (Cause::NotAuthorized, Some(5), 0x87),
        (Cause::BadAuthenticationMethod, None, 0x8C),
        (Cause::Malformed, None, 0x81),
        (Cause::ProtocolError, None, 0x82),
        (Cause::PacketTooLarge, None, 0x95),
    ] {
        let of_3 = of_3.map(|code| vec![0x20, 2, 0, code]);
        assert_eq!(connack(Version::V31, cause), of_3);
        assert_eq!(connack(Version::V311, cause), of_3);
        assert_eq!(connack(Version::V5, cause), Some(vec![0x20, 3, 0, of_5, 0]));
    }
    let of_level = |level: u8| refused(&[b"\x10\x20\0\x04MQTT", &[level][..]].concat()).connack();
    assert_eq!(of_level(3).unwrap().as_bytes(), [0x20, 2, 0, 1]);
    assert_eq!(of_level(6).unwrap().as_bytes(), [0x20, 3, 0, 0x84, 0]);
    assert_eq!(refused(b"GET ").connack(), None);
    let bad = packet(&[b"\0\x04MQTT\x05\x03\0\x3C\0\0\x01a"]);
    assert_eq!(
        refused(&bad).connack().unwrap().as_bytes(),
        [0x20, 3, 0, 0x81, 0]
    );
    let bad = packet(&[b"\0\x04MQTT\x04\x03\0\x3C\0\x01a"]);
    assert_eq!(refused(&bad).connack(), None);
}

#[test]
fn nothing_that_a_client_sent_is_shown() {
    let bytes = full_311();
    let shown = format!("{:?}", connect(&bytes));
    assert_eq!(shown, "Connect(3.1.1, 38 bytes)");
}
