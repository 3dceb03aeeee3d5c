//! A ClientHello before rustls has seen it: whether it is all there, and what it offers (RFC 8446, section
//! 4.1.2; RFC 5246, section 7.4.1.2). Pure.
//!
//! It must not judge: what is malformed is left to rustls, which answers it with the fitting alert. What it
//! tells is text from outside; callers that show it bound and escape it.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use rustls::{CipherSuite, NamedGroup, ProtocolVersion, SignatureScheme};

/// The content type of handshake records (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;
/// The handshake type of a ClientHello (RFC 8446, section 4).
const CLIENT_HELLO: u8 = 1;
/// A record's header, in bytes: type, version, length.
const RECORD_HEADER: usize = 5;
/// A handshake message's header, in bytes: type, length.
const MESSAGE_HEADER: usize = 4;

/// The smallest record_size_limit, in bytes (RFC 8449, section 4).
const RECORD_LIMIT_MIN: u16 = 64;

/// How long a digest is, in bytes.
const SHA384: usize = 48;

/// How many suites, groups or schemes are told; more than any client offers.
const LISTED_MAX: usize = 64;

/// How far a ClientHello has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It is not, or no longer, one: rustls says why.
    Malformed,
    /// Its rest is missing.
    Partial,
    /// It says that it has more bytes than are taken in.
    TooLarge,
    /// It is all there; more may follow it.
    Whole,
}

/// Looks at all that a client has sent so far; `most` is how long the message may be, in bytes.
pub(crate) fn progress(mut bytes: &[u8], most: usize) -> Progress {
    let (mut header, mut header_size, mut size) = ([0; MESSAGE_HEADER], 0, 0);
    loop {
        if header_size == MESSAGE_HEADER {
            let length = usize::try_from(u32::from_be_bytes([0, header[1], header[2], header[3]]))
                .unwrap_or(usize::MAX);
            if header[0] != CLIENT_HELLO {
                return Progress::Malformed;
            }
            if length > most {
                return Progress::TooLarge;
            }
            if size >= length {
                return Progress::Whole;
            }
        }
        let Some((kind, rest)) = bytes.split_first() else {
            return Progress::Partial;
        };
        if *kind != HANDSHAKE {
            return Progress::Malformed;
        }
        let Some(length) = rest.get(2..4) else {
            return Progress::Partial;
        };
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        if length == 0 {
            return Progress::Malformed;
        }
        let end = bytes.len().min(RECORD_HEADER + length);
        let fragment = &bytes[RECORD_HEADER.min(end)..end];
        let of_header = fragment.len().min(MESSAGE_HEADER - header_size);
        header[header_size..header_size + of_header].copy_from_slice(&fragment[..of_header]);
        header_size += of_header;
        size += fragment.len() - of_header;
        bytes = &bytes[end..];
    }
}

/// What a ClientHello offers, in the client's order and without GREASE (RFC 8701).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offer {
    /// The host name, as it was sent.
    pub(crate) server_name: Option<Vec<u8>>,
    pub(crate) versions: Vec<ProtocolVersion>,
    pub(crate) suites: Vec<CipherSuite>,
    pub(crate) groups: Vec<NamedGroup>,
    pub(crate) schemes: Vec<SignatureScheme>,
    /// Protocols of the application layer (RFC 7301), as they were sent.
    pub(crate) protocols: Vec<Vec<u8>>,
}

impl Offer {
    /// Reads what can be read of a ClientHello, be it whole or not.
    pub(crate) fn read(records: &[u8]) -> Self {
        let mut offer = Self::default();
        // What ends too early ends the reading, and what was read until then is told.
        let _ = offer.fill(&message(records));
        offer
    }

    fn fill(&mut self, message: &[u8]) -> Option<()> {
        let mut hello = Reader::of(message)?;
        self.versions = vec![ProtocolVersion::from(hello.number()?)];
        self.suites = hello.suites()?.numbers().map(CipherSuite::from).collect();
        let mut extensions = hello.extensions()?;
        while let Some(kind) = extensions.number() {
            let mut body = extensions.vector()?;
            match kind {
                0 => self.server_name = body.server_name(),
                10 => self.groups = body.vector()?.numbers().map(NamedGroup::from).collect(),
                13 => {
                    self.schemes = body
                        .vector()?
                        .numbers()
                        .map(SignatureScheme::from)
                        .collect();
                }
                16 => self.protocols = body.vector()?.texts(),
                43 => {
                    let versions = body.short_vector()?.numbers();
                    self.versions = versions.map(ProtocolVersion::from).collect();
                }
                _ => {}
            }
        }
        Some(())
    }
}

/// What a client asks for by what it is, without saying so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// How much plaintext a record may have, in bytes: record_size_limit (RFC 8449), which may count one byte of type,
    /// before max_fragment_length (RFC 6066, section 4).
    pub(crate) record_max: Option<u16>,
    /// It puts ChaCha20-Poly1305 before AES-GCM, as clients do that have no hardware for AES.
    pub(crate) chacha_first: bool,
    /// The session that it wants to go on with has a suite with SHA-384: its binder has that length.
    pub(crate) sha384_session: bool,
}

impl Needs {
    /// Reads what can be read of a ClientHello, be it whole or not.
    pub(crate) fn read(records: &[u8]) -> Self {
        let mut needs = Self::default();
        // What ends too early ends the reading.
        let _ = needs.fill(&message(records));
        needs
    }

    fn fill(&mut self, message: &[u8]) -> Option<()> {
        let mut hello = Reader::of(message)?;
        hello.number()?;
        let first = hello.suites()?.numbers().find_map(is_chacha);
        self.chacha_first = first.unwrap_or_default();
        let mut extensions = hello.extensions()?;
        while let Some(kind) = extensions.number() {
            let mut body = extensions.vector()?;
            match kind {
                1 if self.record_max.is_none() => {
                    let code = body.take(1)?[0];
                    self.record_max = (1..=4).contains(&code).then(|| 256 << code);
                }
                28 => {
                    let limit = body.number().filter(|limit| *limit >= RECORD_LIMIT_MIN);
                    self.record_max = limit.map(|limit| limit - 1).or(self.record_max);
                }
                // pre_shared_key: identities, then binders (RFC 8446, section 4.2.11).
                41 => {
                    body.vector()?;
                    let binder = body.vector()?.short_vector()?;
                    self.sha384_session = binder.0.len() == SHA384;
                }
                _ => {}
            }
        }
        Some(())
    }
}

/// Whether a suite is one with ChaCha20-Poly1305 and not with AES-GCM; none if it is neither.
fn is_chacha(suite: u16) -> Option<bool> {
    use CipherSuite as Suite;
    match CipherSuite::from(suite) {
        Suite::TLS13_CHACHA20_POLY1305_SHA256
        | Suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
        | Suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => Some(true),
        Suite::TLS13_AES_128_GCM_SHA256
        | Suite::TLS13_AES_256_GCM_SHA384
        | Suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        | Suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
        | Suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        | Suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => Some(false),
        _ => None,
    }
}

/// The handshake message in records, as far as it is there.
fn message(mut records: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(records.len());
    while records.len() > RECORD_HEADER && records[0] == HANDSHAKE {
        let length = usize::from(u16::from_be_bytes([records[3], records[4]]));
        let end = records.len().min(RECORD_HEADER + length);
        message.extend_from_slice(&records[RECORD_HEADER..end]);
        records = &records[end..];
    }
    message
}

/// Reads TLS' presentation language (RFC 8446, section 3) from the front.
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    /// Of a ClientHello: its version is the next number, then come its suites, then its extensions.
    fn of(message: &'b [u8]) -> Option<Self> {
        message.get(MESSAGE_HEADER..).map(Self)
    }

    /// What stands behind the version: random bytes, the session's ID, and the suites.
    fn suites(&mut self) -> Option<Self> {
        self.take(32)?;
        self.short_vector()?;
        self.vector()
    }

    /// What stands behind the suites: compression methods, and the extensions.
    fn extensions(&mut self) -> Option<Self> {
        self.short_vector()?;
        self.vector()
    }

    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u16> {
        let bytes = self.take(2)?;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// A vector with a length of one byte.
    fn short_vector(&mut self) -> Option<Self> {
        let length = self.take(1)?[0];
        self.take(length.into()).map(Self)
    }

    /// A vector with a length of two bytes.
    fn vector(&mut self) -> Option<Self> {
        let length = self.number()?;
        self.take(length.into()).map(Self)
    }

    fn numbers(mut self) -> impl Iterator<Item = u16> {
        // GREASE: both bytes are the same, and end in `a`.
        let is_grease = |number: &u16| number & 0x0f0f == 0x0a0a && number >> 8 == number & 0xff;
        std::iter::from_fn(move || self.number())
            .filter(move |number| !is_grease(number))
            .take(LISTED_MAX)
    }

    fn texts(mut self) -> Vec<Vec<u8>> {
        std::iter::from_fn(move || self.short_vector().map(|text| text.0.to_vec()))
            .take(LISTED_MAX)
            .collect()
    }

    /// The first host name of a server_name extension (RFC 6066, section 3).
    fn server_name(&mut self) -> Option<Vec<u8>> {
        let mut names = self.vector()?;
        let kind = names.take(1)?[0];
        let name = names.vector()?;
        (kind == 0).then(|| name.0.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, NamedGroup, ProtocolVersion, RootCertStore};

    use super::{Needs, Offer, Progress, RECORD_HEADER, progress};
    use mqtt_tls_judge::provider::provider;

    const MOST: usize = 16_000;

    /// A ClientHello as rustls makes it, in one record.
    fn hello() -> Vec<u8> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        config.alpn_protocols = vec![b"mqtt".to_vec()];
        let name = ServerName::try_from("mqtt.example.com").unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut hello = Vec::new();
        client.write_tls(&mut hello).unwrap();
        hello
    }

    /// The same message in records of so many bytes.
    fn in_records(hello: &[u8], size: usize) -> Vec<u8> {
        let mut records = Vec::new();
        for piece in hello[RECORD_HEADER..].chunks(size) {
            records.extend([22, 3, 1]);
            records.extend(u16::try_from(piece.len()).unwrap().to_be_bytes());
            records.extend(piece);
        }
        records
    }

    #[test]
    fn what_is_offered_is_read_from_however_many_records() {
        let hello = hello();
        for records in [
            hello.clone(),
            in_records(&hello, 1),
            in_records(&hello, 100),
        ] {
            let offer = Offer::read(&records);
            assert_eq!(offer.server_name.as_deref(), Some(&b"mqtt.example.com"[..]));
            let versions = [ProtocolVersion::TLSv1_3, ProtocolVersion::TLSv1_2];
            assert_eq!(offer.versions, versions);
            assert!(offer.groups.contains(&NamedGroup::X25519));
            assert_eq!(offer.protocols, [b"mqtt"]);
            assert!(!offer.suites.is_empty() && !offer.schemes.is_empty());
        }
    }

    #[test]
    fn small_clients_say_what_they_have_room_for() {
        let with = |extensions: &[u8]| {
            let body = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 1, 1, 0, 0]].concat();
            let count = u8::try_from(extensions.len()).unwrap();
            let size = u8::try_from(body.len() + 1 + extensions.len()).unwrap();
            let head = [22, 3, 1, 0, size + 4, 1, 0, 0, size];
            Needs::read(&[&head[..], &body, &[count], extensions].concat()).record_max
        };
        assert_eq!(with(&[]), None);
        assert_eq!(with(&[0, 1, 0, 1, 1]), Some(512));
        assert_eq!(with(&[0, 1, 0, 1, 4]), Some(4096));
        assert_eq!(with(&[0, 1, 0, 1, 5]), None);
        assert_eq!(with(&[0, 28, 0, 2, 2, 0]), Some(511));
        assert_eq!(with(&[0, 28, 0, 2, 0, 63]), None);
        assert_eq!(with(&[0, 1, 0, 1, 4, 0, 28, 0, 2, 0, 64]), Some(63));
        assert_eq!(with(&[0, 28, 0, 2, 2]), None);
    }

    #[test]
    fn clients_without_hardware_for_aes_put_chacha_first() {
        let with = |suites: &[u16]| {
            let suites: Vec<u8> = suites
                .iter()
                .flat_map(|suite| suite.to_be_bytes())
                .collect();
            let count = u8::try_from(suites.len()).unwrap();
            let body = [
                &[3, 3][..],
                &[7; 32],
                &[0, 0, count],
                &suites,
                &[1, 0, 0, 0],
            ]
            .concat();
            let size = u8::try_from(body.len()).unwrap();
            let head = [22, 3, 1, 0, size + 4, 1, 0, 0, size];
            Needs::read(&[&head[..], &body].concat()).chacha_first
        };
        // GREASE and suites that are not served say nothing.
        assert!(with(&[0x4a4a, 0x1304, 0x1303, 0x1301]));
        assert!(with(&[0xcca9, 0xc02b]));
        assert!(!with(&[0x1301, 0x1303]));
        assert!(!with(&[0x1302, 0x1301, 0x1303]));
        assert!(!with(&[0x00ff]));
        assert!(!Needs::read(&[22, 3, 1]).chacha_first);
    }

    #[test]
    fn the_hash_of_an_earlier_session_is_seen_by_its_binder() {
        for (size, is_sha384) in [(32, false), (48, true)] {
            let binder = vec![7; size];
            let size = u8::try_from(size).unwrap();
            let identities = [0, 7, 0, 1, b'a', 0, 0, 0, 0];
            let body = [&identities[..], &[0, size + 1, size], &binder].concat();
            let extension = [&[0, 41, 0, size + 12][..], &body].concat();
            let hello = [
                &[3, 3][..],
                &[7; 32],
                &[0, 0, 2, 0x13, 1, 1, 0, 0, size + 16],
                &extension,
            ];
            let hello = hello.concat();
            let length = u8::try_from(hello.len()).unwrap();
            let records = [&[22, 3, 1, 0, length + 4, 1, 0, 0, length][..], &hello].concat();
            assert_eq!(Needs::read(&records).sha384_session, is_sha384, "{size}");
        }
    }

    #[test]
    fn it_is_whole_with_its_last_byte() {
        let hello = hello();
        for records in [
            hello.clone(),
            in_records(&hello, 1),
            in_records(&hello, 100),
        ] {
            for end in 0..records.len() {
                assert_eq!(progress(&records[..end], MOST), Progress::Partial, "{end}");
            }
            assert_eq!(progress(&records, MOST), Progress::Whole);
            let more = [&records[..], &[20, 3, 3, 0, 1, 1]].concat();
            assert_eq!(progress(&more, MOST), Progress::Whole);
        }
    }

    #[test]
    fn one_that_says_it_is_too_large_is_known_by_its_first_bytes() {
        let claim = [22, 3, 1, 0x10, 0, 1, 0, 0xff, 0xff];
        assert_eq!(progress(&claim, MOST), Progress::TooLarge);
        assert_eq!(progress(&claim[..8], MOST), Progress::Partial);
    }

    #[test]
    fn what_is_none_is_left_to_rustls() {
        for other in [
            &[21, 3, 3, 0, 2, 1, 0][..],
            &[22, 3, 1, 0, 4, 2, 0, 0, 0],
            &[22, 3, 1, 0, 0],
            &[22, 3, 1, 0, 1, 1, 23, 3, 3],
        ] {
            assert_eq!(progress(other, MOST), Progress::Malformed, "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = progress(&bytes, MOST);
            let _ = Offer::read(&bytes);
        }

        #[test]
        fn any_change_of_a_hello_is_answered(at in 0_usize..1_000, byte: u8, end in 0_usize..2_000) {
            let mut hello = hello();
            let at = at % hello.len();
            hello[at] = byte;
            hello.truncate(end);
            let _ = progress(&hello, MOST);
            let _ = Offer::read(&hello);
        }
    }
}
