//! One revocation list: parsed, verified with its issuer's key, and reduced to its sorted serial numbers (RFC 5280, section
//! 5).
//!
//! It must not accept a list that it understands only in part, nor keep more of an entry than the serial number.

use std::fmt;

use jiff::Timestamp;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Name;

use super::super::date::Date;
use super::super::der::{self, CONTEXT_0, Element, INTEGER, SEQUENCE};
use super::super::name;
use super::super::signature::{self, Fit};
use super::entries::{Scope, scope, serials, take};
use super::error::Error;
use super::serials::Serials;
use super::source::Bounds;
use super::{Certificate, Status};

/// Maximum size of an issuer's name, in bytes. Parsed, it may take fifty times as much.
pub const NAME_MAX: usize = 4096;

/// An issuer of revocation lists: a CA that client certificates chain to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// Subject, as DER.
    name: Vec<u8>,
    /// SubjectPublicKeyInfo, as DER.
    spki: Vec<u8>,
    may_sign: bool,
}

impl Issuer {
    /// Returns the issuer of a CA certificate (DER); `None` if it cannot be parsed.
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let usage = parsed.key_usage().ok()?;
        Some(Self {
            name: parsed.subject().as_raw().to_vec(),
            spki: parsed.subject_pki.raw.to_vec(),
            may_sign: usage.is_none_or(|usage| usage.value.crl_sign()),
        })
    }

    /// Reports whether it has issued the certificate (DER) of a CA.
    pub(super) fn has_issued(&self, certificate: &[u8]) -> bool {
        let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
            return false;
        };
        let Ok((_, own)) = X509Name::from_der(&self.name) else {
            return false;
        };
        parsed.is_ca()
            && name::is_same(&own, parsed.issuer())
            && signature::fit_today(certificate, &self.spki) == Fit::Fits
    }
}

/// A revocation list, reduced to what is asked of it.
#[derive(Clone)]
pub struct Crl {
    /// Subject and key of the issuer, without their outer tags and lengths.
    issuer: Vec<u8>,
    issuer_spki: Vec<u8>,
    shown: String,
    this_update: Date,
    next_update: Date,
    scope: Scope,
    /// Name of the distribution point (DER), if it is a part.
    part: Option<Box<[u8]>>,
    serials: Serials,
}

impl fmt::Debug for Crl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Crl({}, {} entries)", self.shown, self.serials.len())
    }
}

impl Crl {
    /// Parses a list (DER), and verifies it with one of the issuers.
    ///
    /// # Errors
    ///
    /// It is invalid, of none of these issuers, or not supported.
    pub fn load(list: &[u8], issuers: &[Issuer], bounds: Bounds) -> Result<Self, Error> {
        if list.len() > bounds.bytes {
            return Err(Error::TooLarge(bounds.bytes));
        }
        let (whole, rest) = der::first(list).ok_or(Error::NotAList("its outer SEQUENCE"))?;
        if whole.tag != SEQUENCE || !rest.is_empty() {
            return Err(Error::NotAList("its outer SEQUENCE"));
        }
        let (signed, algorithm, _) = der::signed(list).ok_or(Error::NotAList("its signature"))?;
        let parts = Parts::of(signed, algorithm)?;
        let issuer = verified(list, &parts, issuers)?;
        let shown = parts.shown();
        let (scope, part) = scope(parts.extensions, &shown)?;
        let serials = serials(parts.entries, bounds.entries, &shown)?;
        let content = |der: &[u8]| der::first(der).map(|(element, _)| element.content.to_vec());
        Ok(Self {
            issuer: content(&issuer.name).unwrap_or_default(),
            issuer_spki: content(&issuer.spki).unwrap_or_default(),
            shown,
            this_update: parts.this_update,
            next_update: parts.next_update,
            scope,
            part: part.map(Into::into),
            serials,
        })
    }

    /// Returns the issuer, for messages.
    pub fn issuer(&self) -> &str {
        &self.shown
    }

    /// Reports whether both are of the same issuer and key, about the same certificates.
    pub fn is_same(&self, other: &Self) -> bool {
        self.issuer == other.issuer
            && self.issuer_spki == other.issuer_spki
            && self.scope == other.scope
            && self.part == other.part
    }

    /// Reports whether it may take the place of another list at a time: it is of the same issuer and key, about the same
    /// certificates, and not older. Otherwise a list of a namesake, or an old one that is sent again, would give back what has
    /// been revoked. A list from the future takes the place of another such list only, and gives way to any other: the CA's
    /// clock was wrong.
    pub fn may_replace(&self, before: &Self, now: Timestamp) -> bool {
        let is_newer = match (self.is_early(now), before.is_early(now)) {
            (true, false) => false,
            (false, true) => true,
            _ => self.this_update >= before.this_update,
        };
        self.is_same(before) && is_newer
    }

    /// Reports whether it is from the future.
    pub fn is_early(&self, now: Timestamp) -> bool {
        self.this_update.is_after(now)
    }

    /// Reports whether it is a part of a larger list.
    pub fn is_part(&self) -> bool {
        self.part.is_some()
    }

    /// Returns the time at which it was made.
    pub fn this_update(&self) -> Date {
        self.this_update
    }

    /// Returns the time by which it is to be replaced.
    pub fn next_update(&self) -> Date {
        self.next_update
    }

    /// Returns the number of revoked certificates.
    pub fn entries(&self) -> usize {
        self.serials.len()
    }

    /// Reports whether the issuer of a certificate made it.
    pub(super) fn is_of(&self, certificate: Certificate<'_>) -> bool {
        self.issuer_spki == certificate.issuer_spki && self.issuer == certificate.issuer
    }

    /// Reports whether it has a serial number.
    pub(super) fn has(&self, serial: &[u8]) -> bool {
        self.serials.have(serial)
    }

    /// Reports whether it is about certificates of a kind.
    pub(super) fn covers(&self, is_ca: bool) -> bool {
        match self.scope {
            Scope::All => true,
            Scope::Leaves => !is_ca,
            Scope::Authorities => is_ca,
        }
    }

    /// Returns the status that it gives to certificates that it does not have.
    pub fn status(&self, now: Timestamp) -> Status {
        if self.is_early(now) {
            return Status::NotYetValid(self.this_update);
        }
        if self.next_update.is_before(now) {
            return Status::Outdated(self.next_update);
        }
        Status::Good
    }
}

/// The parts of a list's signed data.
struct Parts<'l> {
    issuer: Element<'l>,
    this_update: Date,
    next_update: Date,
    /// The entries, one after another.
    entries: &'l [u8],
    /// The extensions, one after another.
    extensions: &'l [u8],
}

impl<'l> Parts<'l> {
    fn of(signed: Element<'l>, algorithm: Element<'l>) -> Result<Self, Error> {
        let mut rest = signed.content;
        if let Some((version, behind)) = der::first(rest)
            && version.tag == INTEGER
        {
            // Version 2 is written as 1.
            if version.content != [1] {
                return Err(Error::NotAList("its version"));
            }
            rest = behind;
        }
        let inner = take(&mut rest, SEQUENCE, "its algorithm")?;
        // RFC 5280, section 5.1.1.2.
        if inner.whole != algorithm.whole {
            return Err(Error::NotAList("its algorithm"));
        }
        let issuer = take(&mut rest, SEQUENCE, "its issuer")?;
        // Before anything is parsed: the signature was not verified yet.
        if issuer.whole.len() > NAME_MAX {
            return Err(Error::LongName);
        }
        let this_update = time(&mut rest).ok_or(Error::NotAList("thisUpdate"))?;
        // RFC 5280, section 5.1.2.5, demands it; a list without one would be good for ever.
        let next_update = time(&mut rest).ok_or(Error::NotAList("nextUpdate"))?;
        let mut entries: &[u8] = &[];
        if let Some((element, behind)) = der::first(rest)
            && element.tag == SEQUENCE
        {
            (entries, rest) = (element.content, behind);
        }
        let mut extensions: &[u8] = &[];
        if !rest.is_empty() {
            let mut inside = take(&mut rest, CONTEXT_0, "its extensions")?.content;
            extensions = take(&mut inside, SEQUENCE, "its extensions")?.content;
            if !inside.is_empty() || !rest.is_empty() {
                return Err(Error::NotAList("its extensions"));
            }
        }
        Ok(Self {
            issuer,
            this_update,
            next_update,
            entries,
            extensions,
        })
    }

    fn shown(&self) -> String {
        match X509Name::from_der(self.issuer.whole) {
            Ok((_, issuer)) => match name::shown(&issuer) {
                shown if shown.is_empty() => "a CA without a name".to_owned(),
                shown => shown,
            },
            Err(_) => "a CA whose name cannot be read".to_owned(),
        }
    }
}

fn time(rest: &mut &[u8]) -> Option<Date> {
    let (element, behind) = der::first(rest)?;
    let (_, time) = ASN1Time::from_der(element.whole).ok()?;
    *rest = behind;
    Some(Date::from_second(time.timestamp()))
}

/// Returns the issuer whose key signed the list.
fn verified<'i>(
    list: &[u8],
    parts: &Parts<'_>,
    issuers: &'i [Issuer],
) -> Result<&'i Issuer, Error> {
    let parsed = X509Name::from_der(parts.issuer.whole).ok();
    let is_named = |issuer: &&Issuer| {
        issuer.name == parts.issuer.whole
            || parsed.as_ref().is_some_and(|(_, list)| {
                let own = X509Name::from_der(&issuer.name);
                own.is_ok_and(|(_, own)| name::is_same(&own, list))
            })
    };
    let (mut error, mut cannot_sign): (fn(String) -> Error, bool) = (Error::UnknownIssuer, false);
    for issuer in issuers.iter().filter(is_named) {
        match signature::fit_today(list, &issuer.spki) {
            Fit::Fits if issuer.may_sign => return Ok(issuer),
            // A renewed CA may have the same key.
            Fit::Fits => cannot_sign = true,
            Fit::Broken => error = Error::Signature,
            Fit::Unknown => error = Error::Algorithm,
        }
    }
    if cannot_sign {
        error = Error::IssuerCannotSign;
    }
    // The name is bounded, and escaped.
    Err(error(parts.shown()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::der;
    use super::Parts;

    proptest! {
        #[test]
        fn no_input_panics(
            bytes in proptest::collection::vec(prop_oneof![
                any::<u8>(), Just(0x30), Just(0x02), Just(0x06), Just(0x17), Just(3_u8),
            ], 0..80),
        ) {
            if let Some((one, rest)) = der::first(&bytes)
                && let Some((other, _)) = der::first(rest)
            {
                let _ = Parts::of(one, other).map(|parts| parts.shown());
            }
        }
    }
}
