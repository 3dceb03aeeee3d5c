//! Judging a server certificate: what is accepted here can be served, and nothing else is rendered or
//! loaded.
//!
//! It must not read a clock or a file, and no error may show key material. Dates are facts here; what
//! follows from them is decided by whoever has the time.

use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use jiff::Timestamp;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate, X509Name};
use zeroize::Zeroize;

use crate::pem::{self, Content};
use crate::rehearsal;

/// How many certificates a chain may have, the leaf included.
pub const CHAIN_MAX: usize = 10;

/// SHA-256 of the public key (SubjectPublicKeyInfo) in smart-mqtt's example configuration, where the
/// private key stands beside it for everyone to read.
const DEMO_KEY: &str = "d0e653e143eb641588506e04fbb0c7cfda359b32450746529a58f99151248ace";

/// A certificate chain with its key, found fit to be served.
#[derive(Clone)]
pub struct Certificate {
    certified: Arc<CertifiedKey>,
    facts: Arc<Facts>,
}

/// What may be told of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// The distinguished name of the leaf.
    pub subject: String,
    /// The distinguished name of who issued it.
    pub issuer: String,
    /// The serial number, in hexadecimal with colons.
    pub serial: String,
    /// The DNS names of the subject alternative name, in lower case.
    pub dns_names: Vec<String>,
    /// The IP addresses of the subject alternative name.
    pub ip_addresses: Vec<IpAddr>,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when it is valid.
    pub not_after: Timestamp,
    /// SHA-256 of the leaf's DER, in lower-case hexadecimal.
    pub fingerprint: String,
    /// The kind of its key, as in `ECDSA P-256`.
    pub key: &'static str,
    /// Whether the key is the one that smart-mqtt ships, which everyone has.
    pub is_public_demo: bool,
}

/// Whether a certificate is within its dates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// It is over.
    Expired,
    /// It is yet to begin.
    NotYetValid,
    /// It is within its dates.
    Valid,
}

impl Facts {
    /// Whether the leaf is within its dates (RFC 5280, section 4.1.2.5: both bounds count as valid).
    pub fn validity(&self, now: Timestamp) -> Validity {
        if now < self.not_before {
            Validity::NotYetValid
        } else if now > self.not_after {
            Validity::Expired
        } else {
            Validity::Valid
        }
    }
}

/// Why a PEM cannot be served as a server certificate.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A block could not be read.
    #[error("{0}")]
    BrokenPem(pem::Error),
    /// The chain is not leaf first, each followed by its issuer.
    #[error("the chain is out of order: {0}")]
    ChainOutOfOrder(String),
    /// The chain is longer than [`CHAIN_MAX`].
    #[error("the chain has {0} certificates; at most {CHAIN_MAX} are served")]
    ChainTooLong(usize),
    /// The key is protected by a password.
    #[error(
        "the private key in {0} is encrypted, and there is nobody to type the password; decrypt it, \
         as with `openssl pkey -in KEY -out PLAIN`"
    )]
    EncryptedPrivateKey(pem::Place),
    /// The key is not that of the leaf.
    #[error(
        "the private key does not belong to the first certificate (subject {0}); put together the \
         key and the certificate that was issued for it"
    )]
    KeyMismatch(String),
    /// There is no certificate.
    #[error("there is no certificate; put the chain here, leaf first, as CERTIFICATE blocks")]
    NoCertificate,
    /// There is no key.
    #[error(
        "there is no private key; add the leaf's as a PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY \
         block"
    )]
    NoPrivateKey,
    /// There is more than one key.
    #[error("there are {0} private keys; keep only the one that belongs to the leaf")]
    SeveralPrivateKeys(usize),
    /// A certificate cannot be parsed, or no handshake can be made with it.
    #[error("the certificate in {place} cannot be used: {why}")]
    UnusableCertificate {
        /// Where it stands.
        place: pem::Place,
        /// What the parser or the handshake said.
        why: String,
    },
    /// The key cannot be used for TLS.
    #[error(
        "the private key in {place} cannot be used: {why}; use RSA of at least 2048 bits, ECDSA P-256, P-384 or P-521, or Ed25519"
    )]
    UnusablePrivateKey {
        /// Where it stands.
        place: pem::Place,
        /// What the library said.
        why: String,
    },
}

impl Error {
    /// The kind of error, one of a fixed set, for metrics and conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::BrokenPem(_) => "BrokenPem",
            Self::ChainOutOfOrder(_) => "ChainOutOfOrder",
            Self::ChainTooLong(_) => "ChainTooLong",
            Self::EncryptedPrivateKey(_) => "EncryptedPrivateKey",
            Self::KeyMismatch(_) => "KeyMismatch",
            Self::NoCertificate => "NoCertificate",
            Self::NoPrivateKey => "NoPrivateKey",
            Self::SeveralPrivateKeys(_) => "SeveralPrivateKeys",
            Self::UnusableCertificate { .. } => "UnusableCertificate",
            Self::UnusablePrivateKey { .. } => "UnusablePrivateKey",
        }
    }
}

/// Judges a PEM with a chain, leaf first, and the leaf's key, in either order.
///
/// # Errors
///
/// The first thing that is wrong, in the order in which a person would mend it.
pub fn judge(text: &str) -> Result<Certificate, Error> {
    let (chain, key) = sort(pem::blocks(text).map_err(Error::BrokenPem)?)?;
    let parsed = chain.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    let key_kind = key_kind(&parsed[0]);
    let facts = facts(&parsed[0], chain[0].1.as_ref(), key_kind);
    let (key_place, mut key_der) = key;
    let loaded = any_supported_type(&key_der);
    key_der.zeroize();
    let key = loaded.map_err(|error| Error::UnusablePrivateKey {
        place: key_place,
        why: error.to_string(),
    })?;
    let matches = |der: &CertificateDer<'static>| {
        CertifiedKey::new(vec![der.clone()], Arc::clone(&key)).keys_match()
    };
    match matches(&chain[0].1) {
        Ok(()) => {}
        Err(rustls::Error::InvalidCertificate(why)) => {
            let why = format!("{why:?}");
            return Err(Error::UnusableCertificate {
                place: chain[0].0.clone(),
                why,
            });
        }
        Err(_) => {
            return Err(
                match chain[1..].iter().find(|(_, der)| matches(der).is_ok()) {
                    Some((place, _)) => Error::ChainOutOfOrder(format!(
                        "the private key belongs to the certificate in {place}; put that one first"
                    )),
                    None => Error::KeyMismatch(facts.subject),
                },
            );
        }
    }
    in_order(&parsed, &chain)?;
    drop(parsed);
    let place = chain[0].0.clone();
    let chain = chain.into_iter().map(|(_, der)| der).collect();
    let certified = Arc::new(CertifiedKey::new(chain, key));
    rehearsal::handshake(&certified).map_err(|error| Error::UnusableCertificate {
        place,
        why: error.to_string(),
    })?;
    Ok(Certificate {
        certified,
        facts: Arc::new(facts),
    })
}

type Placed<T> = (pem::Place, T);

/// Sorts blocks into a chain, which is not empty, and one key.
fn sort(
    blocks: Vec<pem::Block>,
) -> Result<
    (
        Vec<Placed<CertificateDer<'static>>>,
        Placed<PrivateKeyDer<'static>>,
    ),
    Error,
> {
    let mut chain = Vec::new();
    let mut keys = Vec::new();
    let mut encrypted = Vec::new();
    for block in blocks {
        match block.content {
            Content::Certificate(der) => chain.push((block.place, der)),
            Content::PrivateKey(der) => keys.push((block.place, der)),
            Content::EncryptedKey => encrypted.push(block.place),
            Content::Other => {}
        }
    }
    if chain.is_empty() {
        return Err(Error::NoCertificate);
    }
    if chain.len() > CHAIN_MAX {
        return Err(Error::ChainTooLong(chain.len()));
    }
    let count = keys.len() + encrypted.len();
    match (keys.pop(), encrypted.pop()) {
        _ if count > 1 => Err(Error::SeveralPrivateKeys(count)),
        (Some(key), _) => Ok((chain, key)),
        (None, Some(place)) => Err(Error::EncryptedPrivateKey(place)),
        (None, None) => Err(Error::NoPrivateKey),
    }
}

fn parse<'a>(
    (place, der): &'a Placed<CertificateDer<'static>>,
) -> Result<X509Certificate<'a>, Error> {
    let unusable = |why: String| Error::UnusableCertificate {
        place: place.clone(),
        why,
    };
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err(unusable("something stands behind its end".to_owned())),
        Err(error) => Err(unusable(error.to_string())),
    }
}

/// Whether two names are the same, in whatever kind of text each of them is written (RFC 5280, section
/// 7.1).
fn is_same_name(one: &X509Name<'_>, other: &X509Name<'_>) -> bool {
    one.as_raw() == other.as_raw() || one.to_string().eq_ignore_ascii_case(&other.to_string())
}

/// Each certificate must be followed by its issuer (RFC 8446, section 4.4.2, as most clients have it).
fn in_order(
    parsed: &[X509Certificate<'_>],
    chain: &[Placed<CertificateDer<'static>>],
) -> Result<(), Error> {
    for (index, pair) in parsed.windows(2).enumerate() {
        if !is_same_name(pair[0].issuer(), pair[1].subject()) {
            return Err(Error::ChainOutOfOrder(format!(
                "the certificate in {} (subject {}) did not issue the one before it, whose issuer is \
                 {}; order them leaf first, each followed by its issuer",
                chain[index + 1].0,
                pair[1].subject(),
                pair[0].issuer(),
            )));
        }
    }
    Ok(())
}

fn facts(leaf: &X509Certificate<'_>, der: &[u8], key: &'static str) -> Facts {
    let names = leaf.subject_alternative_name().ok().flatten();
    let names = names
        .map(|extension| extension.value.general_names.as_slice())
        .unwrap_or_default();
    let date = |seconds: i64| Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
    Facts {
        subject: leaf.subject().to_string(),
        issuer: leaf.issuer().to_string(),
        serial: leaf.raw_serial_as_string(),
        dns_names: names
            .iter()
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
                _ => None,
            })
            .collect(),
        ip_addresses: names.iter().filter_map(ip_address).collect(),
        not_before: date(leaf.validity().not_before.timestamp()),
        not_after: date(leaf.validity().not_after.timestamp()),
        is_public_demo: sha256(leaf.subject_pki.raw) == DEMO_KEY,
        fingerprint: sha256(der),
        key,
    }
}

fn ip_address(name: &GeneralName<'_>) -> Option<IpAddr> {
    let GeneralName::IPAddress(bytes) = name else {
        return None;
    };
    if let Ok(bytes) = <[u8; 4]>::try_from(*bytes) {
        return Some(Ipv4Addr::from(bytes).into());
    }
    <[u8; 16]>::try_from(*bytes)
        .ok()
        .map(|bytes| Ipv6Addr::from(bytes).into())
}

fn key_kind(leaf: &X509Certificate<'_>) -> &'static str {
    let key = &leaf.subject_pki;
    let curve = key
        .algorithm
        .parameters
        .as_ref()
        .and_then(|any| any.as_oid().ok());
    match (key.algorithm.algorithm.to_id_string().as_str(), curve) {
        ("1.2.840.113549.1.1.1", _) => "RSA",
        ("1.3.101.112", _) => "Ed25519",
        ("1.2.840.10045.2.1", Some(curve)) => match curve.to_id_string().as_str() {
            "1.2.840.10045.3.1.7" => "ECDSA P-256",
            "1.3.132.0.34" => "ECDSA P-384",
            "1.3.132.0.35" => "ECDSA P-521",
            _ => "ECDSA",
        },
        _ => "other",
    }
}

/// In lower-case hexadecimal.
fn sha256(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let mut text = String::with_capacity(64);
    for byte in digest.as_ref() {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

impl Certificate {
    /// What may be told of it.
    pub fn facts(&self) -> &Arc<Facts> {
        &self.facts
    }

    /// The chain and the key, as rustls serves them.
    pub(crate) fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("facts", &self.facts)
            .finish_non_exhaustive()
    }
}
