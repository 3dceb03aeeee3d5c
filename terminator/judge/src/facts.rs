//! What may be told of a certificate: names, dates, fingerprint. Texts are escaped and bounded, since whoever
//! asked for the certificate chose them.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use jiff::Timestamp;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::algorithm::Algorithm;
use super::date::Date;
use super::{escape, name};

/// SHA-256 of the public key (SubjectPublicKeyInfo) in smart-mqtt's example configuration, where the
/// private key stands beside it for everyone to read.
const DEMO_KEY: &str = "d0e653e143eb641588506e04fbb0c7cfda359b32450746529a58f99151248ace";

/// How many names stand for a certificate that has no subject.
const NAMES_TOLD: usize = 3;

/// What may be told of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// The distinguished name of the leaf; it may be empty.
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
    pub not_before: Date,
    /// Until when it is valid.
    pub not_after: Date,
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

    /// What it is called: its subject, or else its names, as short-lived certificates of public CAs have no
    /// subject; or else its serial number. Never empty.
    pub fn name(&self) -> String {
        if !self.subject.is_empty() {
            return self.subject.clone();
        }
        let addresses = self.ip_addresses.iter().map(IpAddr::to_string);
        let names: Vec<String> = self.dns_names.iter().cloned().chain(addresses).collect();
        let told = names.iter().take(NAMES_TOLD).cloned().collect::<Vec<_>>();
        match names.len() {
            0 => format!("serial {}", self.serial),
            count if count > NAMES_TOLD => {
                format!("{} and {} more", told.join(", "), count - NAMES_TOLD)
            }
            _ => told.join(", "),
        }
    }

    /// Whether the leaf is within its dates (RFC 5280, section 4.1.2.5: both bounds count as valid).
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

/// What a certificate is called that somebody showed: anything may be in it.
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

/// In lower-case hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let mut text = String::with_capacity(64);
    for byte in digest.as_ref() {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
