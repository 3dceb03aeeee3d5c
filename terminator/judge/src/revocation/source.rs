//! Finds revocation lists, and certificates of their issuers, in bytes: PEM text with blocks of both, or one list as DER.
//!
//! It must not verify lists, nor parse a certificate before it is known to be small, nor trust a certificate because it is beside one: who serves a list may choose both.

use std::borrow::Cow;

use rustls::pki_types::pem::{self, PemObject, SectionKind};

use super::super::kind::{self, Kind};
use super::LISTS_MAX;
use super::crl::Issuer;
use super::error::Error;

/// Maximum number of certificates beside lists that their owner has written down.
pub const CERTIFICATES_MAX: usize = 64;

/// Maximum size of a certificate beside lists, in bytes. Parsed, it may take fifty times as much.
pub const CERTIFICATE_SIZE_MAX: usize = 64 * 1024;

/// Limits of a source.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Maximum size, in bytes. A million serial numbers of 20 bytes take 40 to 52 MB as DER, and a third more as PEM.
    pub bytes: usize,
    /// Maximum number of entries of a list.
    pub entries: usize,
}

/// What a source has.
#[derive(Debug, Default)]
pub struct Found<'b> {
    /// Lists (DER), at least one.
    pub lists: Vec<Cow<'b, [u8]>>,
    /// Certificates (DER) that were beside them.
    certificates: Vec<Vec<u8>>,
    /// What was left out because it is too much, each reason once.
    pub left_out: Vec<Error>,
}

impl Found<'_> {
    /// Returns the certificates (DER) beside the lists, which no one vouches for.
    pub fn certificates(&self) -> impl Iterator<Item = &[u8]> {
        self.certificates.iter().map(Vec::as_slice)
    }

    /// Returns the issuers of the certificates beside the lists: CAs that one of the known issuers has issued, or another of
    /// them. A CA of the same name that no known one has issued is none.
    pub fn issuers(&self, known: &[Issuer]) -> Vec<Issuer> {
        let mut vouched: Vec<Issuer> = Vec::new();
        let mut rest: Vec<&[u8]> = self.certificates.iter().map(Vec::as_slice).collect();
        loop {
            let (issued, others): (Vec<&[u8]>, Vec<&[u8]>) = rest.iter().partition(|certificate| {
                let mut issuers = known.iter().chain(&vouched);
                issuers.any(|issuer| issuer.has_issued(certificate))
            });
            if issued.is_empty() {
                return vouched;
            }
            vouched.extend(issued.into_iter().filter_map(Issuer::of));
            rest = others;
        }
    }
}

/// Finds all lists in bytes.
///
/// # Errors
///
/// There is none, or there is too much.
pub fn find(bytes: &[u8], bounds: Bounds) -> Result<Found<'_>, Error> {
    let mut found = find_first(bytes, bounds, CERTIFICATES_MAX)?;
    found.left_out.pop().map_or(Ok(found), Err)
}

/// Finds the first lists in bytes, and at most so many certificates beside them.
///
/// # Errors
///
/// There is none, or the bytes are too many.
pub fn find_first(bytes: &[u8], bounds: Bounds, certificates: usize) -> Result<Found<'_>, Error> {
    if bytes.len() > bounds.bytes {
        return Err(Error::TooLarge(bounds.bytes));
    }
    let mut found = Found::default();
    // DER begins with a SEQUENCE, which is no text.
    if bytes.first() == Some(&0x30) && bytes.get(1).is_some_and(|length| *length >= 0x80) {
        found.lists.push(Cow::Borrowed(bytes));
        return Ok(found);
    }
    let (mut lists, mut is_large, mut are_many) = (0, false, false);
    for block in <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes) {
        match block.map_err(|error| Error::BrokenPem(described(&error).to_owned()))? {
            // Each of both is compared with each of the other.
            (SectionKind::Crl, der) => {
                lists += 1;
                if lists <= LISTS_MAX {
                    found.lists.push(Cow::Owned(der));
                }
            }
            (SectionKind::Certificate, der) if der.len() > CERTIFICATE_SIZE_MAX => is_large = true,
            (SectionKind::Certificate, der) if kind::of(&der) == Kind::Certificate => {
                are_many |= found.certificates.len() == certificates;
                if !are_many {
                    found.certificates.push(der);
                }
            }
            _ => {}
        }
    }
    if found.lists.is_empty() {
        return Err(Error::NoList);
    }
    let left_out = [
        is_large.then_some(Error::LargeCertificate),
        are_many.then_some(Error::TooManyCertificates(certificates)),
        (lists > LISTS_MAX).then_some(Error::TooManyLists(lists)),
    ];
    found.left_out = left_out.into_iter().flatten().collect();
    Ok(found)
}

/// Describes an error without text of the source.
fn described(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a block has no end marker",
        pem::Error::IllegalSectionStart { .. } => "a begin marker has an invalid label",
        pem::Error::Base64Decode(_) => "the text between markers is not base64",
        _ => "it cannot be read",
    }
}
