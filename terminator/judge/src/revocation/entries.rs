//! The entries and extensions of a revocation list: which serial numbers it has, and which certificates it is about (RFC 5280,
//! sections 5.2 and 5.3).
//!
//! It must not skip what it does not understand, if that is critical.

use super::super::der::{self, Element, INTEGER, OCTET_STRING, OID, SEQUENCE};
use super::super::escape;
use super::error::Error;
use super::serials::{Serials, padded};

const BOOLEAN: u8 = 0x01;
const ENUMERATED: u8 = 0x0A;

// The last byte of extensions' identifiers, 2.5.29.N.
const CE: [u8; 2] = [0x55, 0x1D];
const ISSUER_ALT_NAME: u8 = 18;
const CRL_NUMBER: u8 = 20;
const REASON_CODE: u8 = 21;
const INVALIDITY_DATE: u8 = 24;
const DELTA: u8 = 27;
const DISTRIBUTION_POINT: u8 = 28;
const CERTIFICATE_ISSUER: u8 = 29;
const AUTHORITY_KEY_ID: u8 = 35;

/// The reason with which a delta list takes an entry back.
const REMOVE_FROM_CRL: [u8; 1] = [8];

/// Which certificates a list is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    All,
    Leaves,
    Authorities,
}

/// Takes an element of a kind.
pub(super) fn take<'l>(
    rest: &mut &'l [u8],
    tag: u8,
    what: &'static str,
) -> Result<Element<'l>, Error> {
    match der::first(rest) {
        Some((element, behind)) if element.tag == tag => {
            *rest = behind;
            Ok(element)
        }
        _ => Err(Error::NotAList(what)),
    }
}

/// An extension of a list or of an entry.
struct Extension<'l> {
    /// The last part of its identifier if that begins with 2.5.29.
    number: Option<u8>,
    oid: &'l [u8],
    is_critical: bool,
    value: &'l [u8],
}

/// Splits the first extension from those behind it.
fn extension<'l>(rest: &mut &'l [u8]) -> Option<Extension<'l>> {
    let (element, behind) = der::first(rest)?;
    let mut inside = element.as_tag(SEQUENCE)?;
    let (oid, after) = der::first(inside)?;
    inside = after;
    let mut is_critical = false;
    if let Some((flag, after)) = der::first(inside)
        && flag.tag == BOOLEAN
    {
        (is_critical, inside) = (flag.content != [0], after);
    }
    let (value, end) = der::first(inside)?;
    let oid = oid.as_tag(OID)?;
    *rest = behind;
    end.is_empty().then_some(Extension {
        number: match oid {
            [first, second, number] if [*first, *second] == CE => Some(*number),
            _ => None,
        },
        oid,
        is_critical,
        value: value.as_tag(OCTET_STRING)?,
    })
}

impl Extension<'_> {
    fn refused(&self, shown: &str) -> Error {
        let oid = x509_parser::der_parser::Oid::new(self.oid.into());
        Error::CriticalExtension {
            issuer: shown.to_owned(),
            oid: escape::shown(&oid.to_id_string()),
        }
    }
}

/// Which certificates a list is about, and the name of the distribution point (DER) if it is a part.
type Point<'l> = (Scope, Option<&'l [u8]>);

/// Reads the extensions of a list.
pub(super) fn scope<'l>(mut rest: &'l [u8], shown: &str) -> Result<Point<'l>, Error> {
    let mut scope = None;
    while !rest.is_empty() {
        let extension = extension(&mut rest).ok_or(Error::NotAList("its extensions"))?;
        match extension.number {
            Some(DELTA) => return Err(Error::Delta(shown.to_owned())),
            Some(DISTRIBUTION_POINT) if scope.is_some() => {
                return Err(Error::NotAList("its distribution point"));
            }
            Some(DISTRIBUTION_POINT) => scope = Some(distribution_point(extension.value, shown)?),
            Some(AUTHORITY_KEY_ID | CRL_NUMBER | ISSUER_ALT_NAME) => {}
            _ if extension.is_critical => return Err(extension.refused(shown)),
            _ => {}
        }
    }
    Ok(scope.unwrap_or((Scope::All, None)))
}

/// Reads an issuing distribution point (RFC 5280, section 5.2.5). One with a name is a part of a larger list, of which each
/// part is needed.
fn distribution_point<'l>(value: &'l [u8], shown: &str) -> Result<Point<'l>, Error> {
    let bad = Error::NotAList("its distribution point");
    let (point, end) = der::first(value).ok_or(bad.clone())?;
    let mut rest = point.as_tag(SEQUENCE).ok_or(bad.clone())?;
    if !end.is_empty() {
        return Err(bad);
    }
    let (mut scope, mut name) = (Scope::All, None);
    while !rest.is_empty() {
        let (element, behind) = der::first(rest).ok_or(bad.clone())?;
        rest = behind;
        let is_set = element.content != [0];
        // Context-specific tags; the name and its kind are constructed.
        match element.tag {
            0x81 | 0x82 if is_set && scope != Scope::All => return Err(bad),
            0x81 if is_set => scope = Scope::Leaves,
            0x82 if is_set => scope = Scope::Authorities,
            0x83 => return Err(Error::SomeReasons(shown.to_owned())),
            0x84 if is_set => return Err(Error::Indirect(shown.to_owned())),
            0x85 if is_set => return Err(Error::AttributeCertificates(shown.to_owned())),
            0xA0 if name.is_some() => return Err(bad),
            0xA0 => name = Some(element.content),
            0x81 | 0x82 | 0x84 | 0x85 => {}
            _ => return Err(bad),
        }
    }
    Ok((scope, name))
}

/// Reads the serial numbers of the entries, and sorts them.
pub(super) fn serials(entries: &[u8], most: usize, shown: &str) -> Result<Serials, Error> {
    let count = der::Elements(entries).take(most + 1).count();
    if count > most {
        let issuer = shown.to_owned();
        return Err(Error::TooMany { issuer, most });
    }
    let mut serials = Vec::with_capacity(count);
    let mut rest = entries;
    while !rest.is_empty() {
        let mut entry = take(&mut rest, SEQUENCE, "an entry")?.content;
        let serial = take(&mut entry, INTEGER, "an entry")?.content;
        let serial = padded(serial).ok_or_else(|| Error::Serial(shown.to_owned()))?;
        // The time is that of the revocation, which counts from now on.
        match der::first(entry) {
            Some((time, behind)) if matches!(time.tag, der::UTC_TIME | der::GENERALIZED_TIME) => {
                entry = behind;
            }
            _ => return Err(Error::NotAList("an entry")),
        }
        if !is_taken_back(entry, shown)? {
            serials.push(serial);
        }
    }
    Ok(Serials::new(serials))
}

/// Reports whether an entry's extensions take it back. That is for delta lists, but OpenSSL, too, counts such an entry of
/// another list as not revoked.
fn is_taken_back(mut rest: &[u8], shown: &str) -> Result<bool, Error> {
    let mut is_taken_back = false;
    if rest.is_empty() {
        return Ok(false);
    }
    let mut extensions = take(&mut rest, SEQUENCE, "an entry")?.content;
    while !extensions.is_empty() {
        let extension = extension(&mut extensions).ok_or(Error::NotAList("an entry"))?;
        match extension.number {
            Some(REASON_CODE) => {
                let reason = der::first(extension.value).ok_or(Error::NotAList("an entry"))?;
                is_taken_back = reason.0.as_tag(ENUMERATED) == Some(&REMOVE_FROM_CRL);
            }
            Some(CERTIFICATE_ISSUER) => return Err(Error::Indirect(shown.to_owned())),
            Some(INVALIDITY_DATE) => {}
            _ if extension.is_critical => return Err(extension.refused(shown)),
            _ => {}
        }
    }
    if rest.is_empty() {
        Ok(is_taken_back)
    } else {
        Err(Error::NotAList("an entry"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Scope, distribution_point, scope, serials};

    /// What is understood in part only is refused: both kinds, a tag of another class, a second distribution point.
    #[test]
    fn a_distribution_point_has_one_meaning() {
        let leaves: &[u8] = b"\x30\x03\x81\x01\xff";
        assert_eq!(
            distribution_point(leaves, "").unwrap(),
            (Scope::Leaves, None)
        );
        let named: &[u8] = b"\x30\x07\xa0\x02\x01\x02\x81\x01\xff";
        let point = distribution_point(named, "").unwrap();
        assert_eq!(point, (Scope::Leaves, Some(&b"\x01\x02"[..])));
        for bad in [
            &b"\x30\x06\x81\x01\xff\x82\x01\xff"[..],
            b"\x30\x03\x01\x01\xff",
            b"\x30\x03\xc1\x01\xff",
            b"\x30\x08\xa0\x02\x01\x02\xa0\x02\x01\x02",
        ] {
            assert!(distribution_point(bad, "").is_err(), "{bad:x?}");
        }
        let one = [b"\x30\x0c\x06\x03\x55\x1d\x1c\x04\x05", leaves].concat();
        assert_eq!(scope(&one, "").unwrap(), (Scope::Leaves, None));
        assert!(scope(&one.repeat(2), "").is_err());
    }

    proptest! {
        /// The signature, which keeps others' bytes from what follows it, is not asked here.
        #[test]
        fn no_input_panics(
            bytes in proptest::collection::vec(prop_oneof![
                any::<u8>(), Just(0x30), Just(0x02), Just(0x06), Just(0x17), Just(3_u8),
            ], 0..80),
        ) {
            let _ = (scope(&bytes, ""), distribution_point(&bytes, ""));
            if let Ok(serials) = serials(&bytes, 8, "") {
                prop_assert!(serials.len() <= 8);
            }
        }
    }
}
