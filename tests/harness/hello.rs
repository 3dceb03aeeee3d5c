//! Builds ClientHellos byte by byte, including invalid ones that no client library writes. It must not connect or judge
//! a response.

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, RootCertStore};
use std::sync::Arc;

/// Maximum length of a record's content in bytes (RFC 8446, section 5.1).
pub const RECORD_MAX: usize = 1 << 14;

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SSL_3_1: [u8; 2] = [3, 1];

/// A TLS version on the wire.
pub const TLS10: u16 = 0x0301;
/// See [`TLS10`].
pub const TLS11: u16 = 0x0302;
/// See [`TLS10`].
pub const TLS12: u16 = 0x0303;
/// See [`TLS10`].
pub const TLS13: u16 = 0x0304;

const X25519: u16 = 0x001d;

/// The content of a ClientHello. Its default is acceptable to a server with any common certificate.
#[derive(Clone, Debug)]
pub struct Hello {
    versions: Vec<u16>,
    suites: Vec<u16>,
    groups: Vec<u16>,
    schemes: Vec<u16>,
    server_name: Option<Vec<u8>>,
    padding: usize,
}

impl Default for Hello {
    fn default() -> Self {
        Self {
            versions: vec![TLS13, TLS12],
            suites: vec![0x1301, 0x1302, 0xc02b, 0xc02f, 0xc02c, 0xc030],
            groups: vec![X25519, 0x0017],
            schemes: vec![0x0403, 0x0503, 0x0804, 0x0805, 0x0401, 0x0501],
            server_name: Some(b"localhost".to_vec()),
            padding: 0,
        }
    }
}

impl Hello {
    /// Offers these versions, the best first.
    #[must_use]
    pub fn versions(mut self, versions: &[u16]) -> Self {
        self.versions = versions.to_vec();
        self
    }

    /// Offers these cipher suites.
    #[must_use]
    pub fn suites(mut self, suites: &[u16]) -> Self {
        self.suites = suites.to_vec();
        self
    }

    /// Offers these groups, with a key share for the first.
    #[must_use]
    pub fn groups(mut self, groups: &[u16]) -> Self {
        self.groups = groups.to_vec();
        self
    }

    /// Offers these signature schemes.
    #[must_use]
    pub fn schemes(mut self, schemes: &[u16]) -> Self {
        self.schemes = schemes.to_vec();
        self
    }

    /// Sets the SNI, with any bytes.
    #[must_use]
    pub fn server_name(mut self, name: &[u8]) -> Self {
        self.server_name = Some(name.to_vec());
        self
    }

    /// Appends this many bytes of padding (RFC 7685).
    #[must_use]
    pub fn padding(mut self, bytes: usize) -> Self {
        self.padding = bytes;
        self
    }

    /// The handshake message.
    pub fn message(&self) -> Vec<u8> {
        let best = self.versions.iter().copied().max().unwrap_or(TLS12);
        let mut body = best.min(TLS12).to_be_bytes().to_vec();
        body.extend([7; 32]);
        // A session ID, which TLS 1.3 clients send for compatibility with TLS 1.2.
        body.push(32);
        body.extend([8; 32]);
        body.extend(list16(&self.suites));
        body.extend([1, 0]);
        body.extend(prefixed16(&self.extensions(best)));
        let length = u32::try_from(body.len()).expect("it is below 4 GiB");
        let mut message = vec![CLIENT_HELLO];
        message.extend(&length.to_be_bytes()[1..]);
        message.extend(body);
        message
    }

    fn extensions(&self, best: u16) -> Vec<u8> {
        let mut all = Vec::new();
        if let Some(name) = &self.server_name {
            let mut entry = vec![0];
            entry.extend(prefixed16(name));
            all.extend(extension(0, &prefixed16(&entry)));
        }
        all.extend(extension(10, &list16(&self.groups)));
        all.extend(extension(11, &[1, 0]));
        all.extend(extension(13, &list16(&self.schemes)));
        all.extend(extension(23, &[]));
        if best >= TLS13 {
            all.extend(extension(43, &prefixed8(&words(&self.versions))));
            all.extend(extension(45, &[1, 1]));
            all.extend(extension(51, &prefixed16(&self.key_share())));
        }
        if self.padding > 0 {
            all.extend(extension(21, &vec![0; self.padding]));
        }
        all
    }

    fn key_share(&self) -> Vec<u8> {
        let group = self.groups.first().copied().unwrap_or(X25519);
        let size = match group {
            0x0017 => 65,
            0x001e => 56,
            0x0100 => 256,
            _ => 32,
        };
        // The base point of X25519, which is a valid share.
        let mut key = vec![0; size];
        key[0] = 9;
        let mut share = group.to_be_bytes().to_vec();
        share.extend(prefixed16(&key));
        share
    }

    /// The message in records of maximum length.
    pub fn records(&self) -> Vec<u8> {
        records_of(&self.message(), RECORD_MAX)
    }
}

/// Splits a handshake message into records of at most `size` bytes each, even if that is too large.
pub fn records_of(message: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in message.chunks(size) {
        bytes.push(HANDSHAKE);
        bytes.extend(SSL_3_1);
        bytes.extend(prefixed16(part));
    }
    bytes
}

/// The ClientHello of rustls with its default configuration, which has a hybrid key share of more than a kilobyte.
pub fn of_rustls() -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has all versions")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("it is a DNS name");
    let mut client = ClientConnection::new(Arc::new(config), name).expect("it can begin");
    let mut bytes = Vec::new();
    while client.wants_write() {
        client
            .write_tls(&mut bytes)
            .expect("writing to a vector succeeds");
    }
    bytes
}

fn words(values: &[u16]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_be_bytes())
        .collect()
}

fn list16(values: &[u16]) -> Vec<u8> {
    prefixed16(&words(values))
}

fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_be_bytes().to_vec();
    bytes.extend(prefixed16(body));
    bytes
}

fn prefixed8(body: &[u8]) -> Vec<u8> {
    let length = u8::try_from(body.len()).expect("it is below 256 bytes");
    [&[length], body].concat()
}

fn prefixed16(body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("it is below 64 KiB");
    [&length.to_be_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::server::{Accepted, Acceptor};
    use rustls::{CipherSuite, NamedGroup, SignatureScheme};

    /// Parses a ClientHello with rustls' server.
    fn accepted(mut bytes: &[u8]) -> Accepted {
        let mut acceptor = Acceptor::default();
        while !bytes.is_empty() {
            acceptor
                .read_tls(&mut bytes)
                .expect("reading from a slice succeeds");
            if let Some(accepted) = acceptor
                .accept()
                .unwrap_or_else(|(error, _)| panic!("{error}"))
            {
                return accepted;
            }
        }
        panic!("the ClientHello is incomplete")
    }

    #[test]
    fn rustls_reads_what_is_offered() {
        let hello = Hello::default()
            .server_name(b"a.example.com")
            .suites(&[0x1303, 0x002f])
            .groups(&[0x0017, 0x001e])
            .schemes(&[0x0201, 0x0403]);
        let accepted = accepted(&hello.records());
        let seen = accepted.client_hello();
        assert_eq!(seen.server_name(), Some("a.example.com"));
        assert_eq!(
            seen.cipher_suites(),
            [
                CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
                CipherSuite::TLS_RSA_WITH_AES_128_CBC_SHA
            ]
        );
        assert_eq!(
            seen.named_groups(),
            Some(&[NamedGroup::secp256r1, NamedGroup::X448][..])
        );
        assert_eq!(
            seen.signature_schemes(),
            [
                SignatureScheme::RSA_PKCS1_SHA1,
                SignatureScheme::ECDSA_NISTP256_SHA256
            ]
        );
    }

    #[test]
    fn padding_and_record_size_are_applied() {
        let (small, large) = (Hello::default(), Hello::default().padding(17_000));
        let grown = large.message().len() - small.message().len();
        assert_eq!(grown, 17_000 + 4);
        assert_eq!(large.records().len(), large.message().len() + 2 * 5);
        for size in [1, 100] {
            let bytes = records_of(&small.message(), size);
            assert_eq!(
                accepted(&bytes).client_hello().server_name(),
                Some("localhost")
            );
        }
    }

    #[test]
    fn the_hello_of_rustls_is_complete() {
        let bytes = of_rustls();
        assert!(bytes.len() > 1200, "{}", bytes.len());
        assert_eq!(
            accepted(&bytes).client_hello().server_name(),
            Some("localhost")
        );
    }
}
