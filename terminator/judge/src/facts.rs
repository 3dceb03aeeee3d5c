//! Public facts about a certificate: names, dates, fingerprint. Texts are escaped and bounded, since the
//! requester of the certificate chose them.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use jiff::Timestamp;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::algorithm::Algorithm;
use super::date::Date;
use super::{escape, name};

/// SHA-256 of the public key (SubjectPublicKeyInfo) in smart-mqtt's example configuration, which publishes the
/// private key too.
const DEMO_KEY: &str = "d0e653e143eb641588506e04fbb0c7cfda359b32450746529a58f99151248ace";

/// Maximum number of names shown for a certificate without a subject.
const NAMES_SHOWN: usize = 3;

/// Public facts about a certificate.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// Distinguished name of the subject; may be empty.
    pub subject: String,
    /// Distinguished name of the issuer.
    pub issuer: String,
    /// Serial number, in hexadecimal with colons.
    pub serial: String,
    /// DNS names of the subject alternative name, in lower case.
    pub dns_names: Vec<String>,
    /// IP addresses of the subject alternative name.
    pub ip_addresses: Vec<IpAddr>,
    /// Start of the validity period.
    pub not_before: Date,
    /// End of the validity period.
    pub not_after: Date,
    /// SHA-256 of the DER, in lower-case hexadecimal.
    pub fingerprint: String,
    /// Kind of the key, such as `ECDSA P-256`.
    pub key: &'static str,
    /// Whether the key is the public example key that smart-mqtt ships.
    pub is_public_demo: bool,
}

/// State of a certificate's validity period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// The period has ended.
    Expired,
    /// The period has not begun.
    NotYetValid,
    /// The certificate is valid.
    Valid,
}

impl Facts {
    pub(super) fn of(leaf: &X509Certificate<'_>, der: &[u8]) -> Self {
        let names = leaf.subject_alternative_name().ok().flatten();
        let names = names
            .map(|extension| extension.value.general_names.as_slice())
            .unwrap_or_default();
        let validity = leaf.validity();
        Self {
            subject: name::shown(leaf.subject()),
            issuer: name::shown(leaf.issuer()),
            serial: escape::shown(&leaf.raw_serial_as_string()),
            dns_names: names
                .iter()
                .filter_map(|name| match name {
                    GeneralName::DNSName(name) => Some(escape::shown(&name.to_ascii_lowercase())),
                    _ => None,
                })
                .collect(),
            ip_addresses: names.iter().filter_map(ip_address).collect(),
            not_before: Date::from_second(validity.not_before.timestamp()),
            not_after: Date::from_second(validity.not_after.timestamp()),
            is_public_demo: sha256(leaf.subject_pki.raw) == DEMO_KEY,
            fingerprint: sha256(der),
            key: Algorithm::of_public(leaf.subject_pki.raw).name(),
        }
    }

    /// Returns a display name, never empty: the subject, or else the subject alternative names (short-lived
    /// certificates of public CAs have no subject), or else the serial number.
    pub fn name(&self) -> String {
        if !self.subject.is_empty() {
            return self.subject.clone();
        }
        let addresses = self.ip_addresses.iter().map(IpAddr::to_string);
        let names: Vec<String> = self.dns_names.iter().cloned().chain(addresses).collect();
        let described = names.iter().take(NAMES_SHOWN).cloned().collect::<Vec<_>>();
        match names.len() {
            0 => format!("serial {}", self.serial),
            count if count > NAMES_SHOWN => {
                format!("{} and {} more", described.join(", "), count - NAMES_SHOWN)
            }
            _ => described.join(", "),
        }
    }

    /// Reports whether the key is an RSA key.
    pub fn is_rsa(&self) -> bool {
        self.key == "RSA"
    }

    /// Returns the validity at a time (RFC 5280, section 4.1.2.5: both bounds are inclusive).
    pub fn validity(&self, now: Timestamp) -> Validity {
        if self.not_before.is_after(now) {
            Validity::NotYetValid
        } else if self.not_after.is_before(now) {
            Validity::Expired
        } else {
            Validity::Valid
        }
    }
}

/// Returns the display name of a certificate that a client sent; the bytes are untrusted.
pub fn name_of(certificate: &[u8]) -> String {
    match X509Certificate::from_der(certificate) {
        Ok((_, parsed)) => Facts::of(&parsed, certificate).name(),
        Err(_) => "(not a certificate)".to_owned(),
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

/// Returns the SHA-256 digest in lower-case hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let mut text = String::with_capacity(64);
    for byte in digest.as_ref() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
