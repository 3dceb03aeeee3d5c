//! Parses a ClientHello before rustls does: whether it is complete, and what it offers (RFC 8446, section
//! 4.1.2; RFC 5246, section 7.4.1.2). Pure.
//!
//! It must not validate: rustls answers malformed messages with the right alert. Its results are untrusted; callers
//! bound and escape them before showing them.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

// With a path, because the fuzz target includes this file by its path.
#[path = "hello/fingerprint.rs"]
pub(crate) mod fingerprint;
#[path = "hello/offered.rs"]
pub(crate) mod offered;

use mqtt_tls_config::{PROBE_CANDIDATE_PROTOCOL, PROBE_PROTOCOL};
use rustls::{CipherSuite, NamedGroup, ProtocolVersion, SignatureScheme};

use fingerprint::is_grease;
use offered::{KeyKind, Offered};

/// Content type of handshake records (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;
/// Handshake type of a ClientHello (RFC 8446, section 4).
const CLIENT_HELLO: u8 = 1;
/// Size of a record header, in bytes: type, version, length.
const RECORD_HEADER: usize = 5;
/// Size of a handshake message header, in bytes: type, length.
const MESSAGE_HEADER: usize = 4;

/// Minimum record_size_limit, in bytes (RFC 8449, section 4).
const RECORD_LIMIT_MIN: u16 = 64;

/// Size of a SHA-384 digest, in bytes.
const SHA384: usize = 48;

/// Maximum number of suites, groups or schemes returned; more than any client offers.
const LISTED_MAX: usize = 64;

/// Progress of a ClientHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Not a valid ClientHello: rustls reports the error.
    Malformed,
    /// Incomplete.
    Partial,
    /// Its length exceeds the limit.
    TooLarge,
    /// Complete; more data may follow it.
    Whole,
}

/// Returns the progress of all data received from a client; `most` is the maximum length of the message, in bytes.
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

/// Offer of a ClientHello, in the client's order and without GREASE (RFC 8701).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offer {
    /// Host name, as received.
    pub(crate) server_name: Option<Vec<u8>>,
    pub(crate) versions: Vec<ProtocolVersion>,
    pub(crate) suites: Vec<CipherSuite>,
    pub(crate) groups: Vec<NamedGroup>,
    pub(crate) schemes: Vec<SignatureScheme>,
    /// ALPN protocols (RFC 7301), as received.
    pub(crate) protocols: Vec<Vec<u8>>,
}

impl Offer {
    /// Parses a ClientHello as far as possible.
    pub(crate) fn read(records: &[u8]) -> Self {
        let mut offer = Self::default();
        // Parsing stops at the end of the data; what was parsed until then is returned.
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

/// Hash of a suite of TLS 1.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha256,
    Sha384,
}

/// Needs of a client that follow from its ClientHello.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// The requested host name, if it is ASCII.
    pub(crate) server_name: Option<String>,
    /// Maximum plaintext of a record, in bytes: record_size_limit (RFC 8449), which may include one byte for
    /// the type, or else max_fragment_length (RFC 6066, section 4).
    pub(crate) record_max: Option<u16>,
    /// Whether it prefers ChaCha20-Poly1305 to AES-GCM, as clients without AES hardware do.
    pub(crate) chacha_first: bool,
    /// Hash of the session of TLS 1.3 to resume, as the length of its binder shows.
    pub(crate) session: Option<Hash>,
    /// Whether it is a probe of the operator.
    pub(crate) is_probe: bool,
    /// Whether it is a probe of the candidate of a certificate.
    pub(crate) is_of_candidate: bool,
    /// ALPN protocols (RFC 7301), as received.
    pub(crate) protocols: Vec<Vec<u8>>,
    /// What it offers of what can be served.
    pub(crate) offered: Offered,
}

impl Needs {
    /// Parses a ClientHello as far as possible.
    pub(crate) fn read(records: &[u8]) -> Self {
        let mut needs = Self::default();
        // Parsing stops at the end of the data.
        let _ = needs.fill(&message(records));
        needs
    }

    fn fill(&mut self, message: &[u8]) -> Option<()> {
        let mut hello = Reader::of(message)?;
        // Clients that offer TLS 1.3 list their versions in an extension.
        self.offered.tls12 = hello.number()? >= u16::from(ProtocolVersion::TLSv1_2);
        let suites = hello.suites()?;
        let first = suites.numbers().find_map(is_chacha);
        self.chacha_first = first.unwrap_or_default();
        self.offered.suites(suites.numbers());
        let mut curves = None;
        let read = self.extensions(hello.extensions()?, &mut curves);
        let is_on_none = KeyKind::Rsa.bit() | KeyKind::Ed25519.bit();
        self.offered.any_keys12 = self.offered.keys12;
        self.offered.keys12 &= curves.map_or(u8::MAX, |curves| curves | is_on_none);
        read
    }

    /// Reads the extensions, and the kinds of keys on the curves among them.
    fn extensions(&mut self, mut extensions: Reader<'_>, curves: &mut Option<u8>) -> Option<()> {
        while let Some(kind) = extensions.number() {
            let mut body = extensions.vector()?;
            match kind {
                0 => {
                    let name = body.server_name().filter(|name| name.is_ascii());
                    self.server_name = name.and_then(|name| String::from_utf8(name).ok());
                }
                1 if self.record_max.is_none() => {
                    let code = body.take(1).map_or(0, |code| code[0]);
                    self.record_max = (1..=4).contains(&code).then(|| 256 << code);
                }
                10 => *curves = Some(self.offered.groups(body.vector()?.numbers())),
                13 => self.offered.schemes(body.vector()?.numbers()),
                16 => {
                    self.protocols = body.vector()?.texts();
                    let offers = |mark: &[u8]| self.protocols.iter().any(|one| one == mark);
                    self.is_probe = offers(PROBE_PROTOCOL);
                    self.is_of_candidate = self.is_probe && offers(PROBE_CANDIDATE_PROTOCOL);
                }
                28 => {
                    let limit = body.number().filter(|limit| *limit >= RECORD_LIMIT_MIN);
                    self.record_max = limit.map(|limit| limit - 1).or(self.record_max);
                }
                // pre_shared_key: identities, then binders (RFC 8446, section 4.2.11).
                41 => {
                    body.vector()?;
                    let binder = body.vector()?.short_vector()?;
                    self.session = Some(if binder.0.len() == SHA384 {
                        Hash::Sha384
                    } else {
                        Hash::Sha256
                    });
                }
                43 => self.offered.versions(body.short_vector()?.numbers()),
                // key_share: a group and a vector each (RFC 8446, section 4.2.8).
                51 => {
                    let mut shares = body.vector()?;
                    while let (Some(group), Some(_)) = (shares.number(), shares.vector()) {
                        self.offered.share(group);
                    }
                }
                _ => {}
            }
        }
        Some(())
    }
}

/// Reports whether a suite uses ChaCha20-Poly1305 rather than AES-GCM; `None` if it uses neither.
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

/// Joins the fragments of the handshake message in records, as far as received.
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

/// Reader for the TLS presentation language (RFC 8446, section 3).
#[derive(Clone, Copy)]
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    /// Makes a reader for a ClientHello: the next number is the version; suites and extensions follow.
    fn of(message: &'b [u8]) -> Option<Self> {
        message.get(MESSAGE_HEADER..).map(Self)
    }

    /// Reads the suites, after the random and the session ID.
    fn suites(&mut self) -> Option<Self> {
        self.take(32)?;
        self.short_vector()?;
        self.vector()
    }

    /// Reads the extensions, after the compression methods.
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

    /// Reads a vector with a one-byte length.
    fn short_vector(&mut self) -> Option<Self> {
        let length = self.take(1)?[0];
        self.take(length.into()).map(Self)
    }

    /// Reads a vector with a two-byte length.
    fn vector(&mut self) -> Option<Self> {
        let length = self.number()?;
        self.take(length.into()).map(Self)
    }

    fn numbers(mut self) -> impl Iterator<Item = u16> + use<'b> {
        std::iter::from_fn(move || self.number())
            .filter(|number| !is_grease(*number))
            .take(LISTED_MAX)
    }

    fn texts(mut self) -> Vec<Vec<u8>> {
        std::iter::from_fn(move || self.short_vector().map(|text| text.0.to_vec()))
            .take(LISTED_MAX)
            .collect()
    }

    /// Reads the first host name of a server_name extension (RFC 6066, section 3).
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

    use super::{Hash, Needs, Offer, Progress, RECORD_HEADER, progress};
    use mqtt_tls_judge::provider::provider;

    const MOST: usize = 16_000;

    /// Makes a ClientHello with rustls, in one record.
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

    /// Splits the message into records of `size` bytes.
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
    fn an_offer_is_read_from_any_number_of_records() {
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
    fn the_record_limits_of_small_clients_are_read() {
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
    fn a_preference_for_chacha_is_recognized() {
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
        // GREASE and suites that are not served do not count.
        assert!(with(&[0x4a4a, 0x1304, 0x1303, 0x1301]));
        assert!(with(&[0xcca9, 0xc02b]));
        assert!(!with(&[0x1301, 0x1303]));
        assert!(!with(&[0x1302, 0x1301, 0x1303]));
        assert!(!with(&[0x00ff]));
        assert!(!Needs::read(&[22, 3, 1]).chacha_first);
    }

    #[test]
    fn the_hash_of_a_session_follows_from_its_binder() {
        for (size, hash) in [(32, Hash::Sha256), (48, Hash::Sha384)] {
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
            assert_eq!(Needs::read(&records).session, Some(hash), "{size}");
        }
    }

    #[test]
    fn a_hello_is_complete_with_its_last_byte() {
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
    fn a_large_hello_is_recognized_by_its_first_bytes() {
        let claim = [22, 3, 1, 0x10, 0, 1, 0, 0xff, 0xff];
        assert_eq!(progress(&claim, MOST), Progress::TooLarge);
        assert_eq!(progress(&claim[..8], MOST), Progress::Partial);
    }

    #[test]
    fn malformed_hellos_are_left_to_rustls() {
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
        fn no_input_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = progress(&bytes, MOST);
            let _ = Offer::read(&bytes);
        }

        #[test]
        fn no_changed_hello_panics(at in 0_usize..1_000, byte: u8, end in 0_usize..2_000) {
            let mut hello = hello();
            let at = at % hello.len();
            hello[at] = byte;
            hello.truncate(end);
            let _ = progress(&hello, MOST);
            let _ = Offer::read(&hello);
        }
    }
}
