//! A leaf certificate with its chain and key, made in memory. It writes files only for programs that need them.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, KeyUsagePurpose, SanType,
    SerialNumber,
};

use super::{Ca, DAY, KeyEncoding, KeyKind, fingerprint, openssl};
use crate::workdir;

/// Builds a leaf; [`LeafBuilder::issue`] issues it.
#[must_use]
pub struct LeafBuilder<'a> {
    ca: &'a Ca,
    params: CertificateParams,
    key: KeyKind,
}

impl<'a> LeafBuilder<'a> {
    pub(super) fn new(ca: &'a Ca) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "leaf");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.not_before = (SystemTime::now() - DAY).into();
        params.not_after = (SystemTime::now() + 90 * DAY).into();
        Self {
            ca,
            params,
            key: KeyKind::P256,
        }
    }

    /// Adds a DNS name.
    pub fn dns(mut self, name: &str) -> Self {
        let name = name.try_into().expect("a DNS name is ASCII");
        self.params.subject_alt_names.push(SanType::DnsName(name));
        self
    }

    /// Adds an IP address.
    pub fn ip(mut self, address: &str) -> Self {
        let address: IpAddr = address.parse().expect("an IP address");
        self.params
            .subject_alt_names
            .push(SanType::IpAddress(address));
        self
    }

    /// Adds a URI, such as a SPIFFE ID.
    pub fn uri(mut self, uri: &str) -> Self {
        let uri = uri.try_into().expect("a URI is ASCII");
        self.params.subject_alt_names.push(SanType::URI(uri));
        self
    }

    /// The subject's common name.
    pub fn common_name(mut self, name: &str) -> Self {
        self.params
            .distinguished_name
            .push(DnType::CommonName, name);
        self
    }

    /// The subject's organizations, at most two, which Kubernetes uses as a user's groups.
    pub fn organizations(mut self, names: &[&str]) -> Self {
        assert!(names.len() <= 2, "at most two organizations, not {names:?}");
        // rcgen keeps one value for each type; the second uses a custom type with the same OID.
        let types = [
            DnType::OrganizationName,
            DnType::CustomDnType(vec![2, 5, 4, 10]),
        ];
        for (kind, name) in types.into_iter().zip(names) {
            self.params.distinguished_name.push(kind, *name);
        }
        self
    }

    /// The kind of its key.
    pub fn key(mut self, kind: KeyKind) -> Self {
        self.key = kind;
        self
    }

    /// Requires a stapled OCSP response (RFC 7633).
    pub fn must_staple(mut self) -> Self {
        let status_request = vec![0x30, 3, 2, 1, 5];
        let feature =
            CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 24], status_request);
        self.params.custom_extensions.push(feature);
        self
    }

    /// For client authentication only.
    pub fn client_auth(mut self) -> Self {
        self.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self
    }

    /// For server and client authentication.
    pub fn any_auth(mut self) -> Self {
        self.params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        self
    }

    /// Expired yesterday.
    pub fn expired(mut self) -> Self {
        self.params.not_before = (SystemTime::now() - 30 * DAY).into();
        self.params.not_after = (SystemTime::now() - DAY).into();
        self
    }

    /// Valid from tomorrow.
    pub fn not_yet_valid(mut self) -> Self {
        self.params.not_before = (SystemTime::now() + DAY).into();
        self
    }

    /// Valid from yesterday until `time` from now.
    pub fn valid_for(mut self, time: Duration) -> Self {
        self.params.not_after = (SystemTime::now() + time).into();
        self
    }

    /// Generates the key and issues the certificate.
    pub fn issue(mut self) -> Leaf {
        let key = self.key.generate();
        // 16 bytes, so that serials are unique; the first bit is 0, because a serial is positive.
        let mut serial = key.public_key_raw()[..]
            .iter()
            .rev()
            .take(16)
            .copied()
            .collect::<Vec<_>>();
        serial[0] = (serial[0] & 0x3F) | 0x40;
        self.params.serial_number = Some(SerialNumber::from_slice(&serial));
        let cert = self
            .params
            .signed_by(&key, &self.ca.issuer)
            .expect("the parameters are valid");
        let cert_pem = cert.pem();
        Leaf {
            chain_pem: [std::slice::from_ref(&cert_pem), &self.ca.above]
                .concat()
                .concat(),
            key_pem: key.serialize_pem(),
            cert_der: cert.der().to_vec(),
            key_der: key.serialize_der(),
            key_kind: self.key,
            cert_pem,
            serial,
        }
    }
}

/// A certificate with its key.
#[derive(Clone)]
pub struct Leaf {
    /// The leaf, then the intermediates; not the root.
    pub chain_pem: String,
    /// The leaf alone.
    pub cert_pem: String,
    /// The leaf alone, in DER.
    pub cert_der: Vec<u8>,
    /// The private key, PKCS#8 in PEM.
    pub key_pem: String,
    /// The private key, PKCS#8 in DER.
    pub key_der: Vec<u8>,
    /// The kind of the key.
    pub key_kind: KeyKind,
    /// The serial number, big-endian.
    pub serial: Vec<u8>,
}

impl Leaf {
    /// Chain and key in one text, as in smart-mqtt's `pem`.
    pub fn bundle(&self) -> String {
        format!("{}{}", self.chain_pem, self.key_pem)
    }

    /// SHA-256 of the certificate, lower-case hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.cert_der)
    }

    /// The key in another encoding. Panics if this kind of key does not have it.
    pub fn key_as(&self, encoding: KeyEncoding) -> String {
        assert!(
            self.key_kind.encodings().contains(&encoding),
            "{:?}: {encoding:?}",
            self.key_kind
        );
        match encoding {
            KeyEncoding::Pkcs8 => self.key_pem.clone(),
            KeyEncoding::Pkcs1 | KeyEncoding::Sec1 => openssl::traditional(&self.key_pem),
        }
    }

    /// The key encrypted with a pass phrase (PKCS#8).
    pub fn encrypted_key(&self, passphrase: &str) -> String {
        openssl::encrypted(&self.key_pem, passphrase)
    }

    /// Writes chain and key as `tls.crt` and `tls.key` into `folder`, and returns both paths.
    pub fn write_to(&self, folder: &Path) -> (PathBuf, PathBuf) {
        let (cert, key) = (folder.join("tls.crt"), folder.join("tls.key"));
        std::fs::write(&cert, &self.chain_pem).expect("the folder can be written to");
        std::fs::write(&key, &self.key_pem).expect("the folder can be written to");
        (cert, key)
    }

    /// [`Leaf::write_to`] a new folder, for programs that accept files only.
    pub fn files(&self) -> (PathBuf, PathBuf) {
        self.write_to(&workdir::scratch("leaf"))
    }
}
