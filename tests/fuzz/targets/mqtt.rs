//! The first bytes of a client and of a broker in MQTT. Reading must not panic, and an answer must not change when more
//! bytes arrive. A CONNECT that mqtt-proto accepts must be read alike, and after a rewrite it must differ in the names only. What
//! may follow it must not depend on the pieces in which it arrives.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mqtt_proto::{v3, v5};
use mqtt_tls_mqtt::{
    Connect, Error, Names, Packets, Progress, Start, answer, begins_as_connect, read, rewrite,
    start,
};

/// The limit, in bytes.
const MOST: usize = 16 * 1024;

/// Names of each kind of length, one of which makes a packet's length longer.
const NAMES: [Names<'static>; 3] = [
    Names {
        user_name: Some("device"),
        client_id: None,
    },
    Names {
        user_name: None,
        client_id: Some(""),
    },
    Names {
        user_name: Some("0123456789012345678901234567890123456789012345678901234567890123456789"),
        client_id: Some("0123456789012345678901234567890123456789012345678901234567890123456789"),
    },
];

fuzz_target!(|bytes: &[u8]| {
    let (whole, kind, begins) = (start(bytes), kind(bytes), begins_as_connect(bytes));
    for end in 0..bytes.len() {
        let early = start(&bytes[..end]);
        assert!(
            early == Start::Partial || early == whole,
            "after {end} bytes"
        );
        let early = self::kind(&bytes[..end]);
        assert!(early == Kind::Partial || early == kind, "after {end} bytes");
        let early = begins_as_connect(&bytes[..end]);
        assert!(early.is_none() || early == begins, "after {end} bytes");
    }
    follow(bytes);
    if let Some(first) = bytes.first() {
        let _ = answer(*first);
    }
    match read(bytes, MOST) {
        Progress::Connect(connect) => renamed(&connect),
        Progress::Refused(refused) => {
            let _ = (refused.connack(), refused.error.to_string());
            let is_ours = matches!(
                refused.error,
                Error::Length
                    | Error::Nul(_)
                    | Error::PasswordWithoutUserName
                    | Error::PropertiesLength
                    | Error::PropertyValue(_)
                    | Error::TooLarge { .. }
                    | Error::WillFlags
            );
            assert!(is_ours || theirs(bytes).is_none(), "{}", refused.error);
        }
        Progress::Partial(_) => {}
    }
});

/// Follows the packets as a whole and byte by byte.
fn follow(bytes: &[u8]) {
    for stops_at_auth in [false, true] {
        let whole = Packets::new(stops_at_auth).follow(bytes);
        let mut packets = Packets::new(stops_at_auth);
        let stopped = bytes.iter().enumerate().find_map(|(at, byte)| {
            let (_, why) = packets.follow(&[*byte]).err()?;
            Some((at, why))
        });
        assert_eq!(whole.err(), stopped);
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Partial,
    Connect(usize),
    Refused(Error),
}

fn kind(bytes: &[u8]) -> Kind {
    match read(bytes, MOST) {
        Progress::Partial(_) => Kind::Partial,
        Progress::Connect(connect) => Kind::Connect(connect.size()),
        Progress::Refused(refused) => Kind::Refused(refused.error),
    }
}

/// Reads it with mqtt-proto; `None` if that refuses it, or if bytes are left over.
fn theirs(bytes: &[u8]) -> Option<Result<v3::Connect, v5::Connect>> {
    let header = v5::Header::decode(bytes).ok()?;
    let at = 2 + bytes
        .get(1..)?
        .iter()
        .take_while(|digit| **digit >= 0x80)
        .count();
    let packet = bytes.get(..at + header.remaining_len as usize)?;
    if packet.first() != Some(&0x10) {
        return None;
    }
    let (mut three, mut five) = (at, at);
    match v3::Connect::decode(packet, &mut three) {
        Ok(connect) => (three == packet.len()).then_some(Ok(connect)),
        Err(_) => {
            let connect = v5::Connect::decode(packet, &mut five, header).ok()?;
            (five == packet.len()).then_some(Err(connect))
        }
    }
}

/// Renames it, and compares what mqtt-proto reads before and after.
fn renamed(connect: &Connect<'_>) {
    for names in NAMES {
        let packet = rewrite(connect, names).expect("these names are valid");
        let Progress::Connect(ours) = read(&packet, MOST + 256) else {
            panic!("a rewritten CONNECT is refused");
        };
        assert_eq!(ours.size(), packet.len());
        assert_eq!(ours.client_id, names.client_id.unwrap_or(connect.client_id));
        assert_eq!(ours.user_name, names.user_name.or(connect.user_name));
        assert_eq!(ours.password, connect.password);
        assert_eq!(ours.properties, connect.properties);
        assert!(ours.will == connect.will);
        let same = rewrite(connect, Names::default()).expect("nothing changes");
        match (theirs(&same), theirs(&packet)) {
            (Some(Ok(mut before)), Some(Ok(after))) => {
                assert_eq!(before.client_id.as_bytes(), connect.client_id.as_bytes());
                assert_eq!(before.username.as_deref(), connect.user_name);
                before.client_id = after.client_id.clone();
                before.username = after.username.clone();
                assert_eq!(before, after);
            }
            (Some(Err(mut before)), Some(Err(after))) => {
                assert_eq!(before.client_id.as_bytes(), connect.client_id.as_bytes());
                assert_eq!(before.username.as_deref(), connect.user_name);
                before.client_id = after.client_id.clone();
                before.username = after.username.clone();
                assert_eq!(before, after);
            }
            (None, None) => {}
            // MQTT 3.1 accepts the flag of a user name that is not there, and mqtt-proto does not.
            (None, Some(Ok(_))) => {
                assert!(names.user_name.is_some() && connect.user_name.is_none())
            }
            (before, after) => panic!("{before:?}, then {after:?}"),
        }
    }
}
