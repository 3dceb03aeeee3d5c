//! Minimal DER reader, one level at a time: enough to identify a block. Libraries do the full parsing.
//!
//! It must not panic on any input, nor copy it.

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const CONTEXT_0: u8 = 0xA0;

/// One element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    /// Including tag and length.
    pub(super) whole: &'a [u8],
}

impl<'a> Element<'a> {
    /// Returns the contained elements, up to the first invalid one.
    pub(super) fn children(self) -> Elements<'a> {
        Elements(self.content)
    }

    /// Returns the content if the tag matches.
    pub(super) fn as_tag(self, tag: u8) -> Option<&'a [u8]> {
        (self.tag == tag).then_some(self.content)
    }
}

/// Splits the first element from the bytes after it.
pub(super) fn first(bytes: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    // None of the formats inspected here has multi-byte tags.
    if tag & 0x1F == 0x1F {
        return None;
    }
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = if length < 0x80 {
        (usize::from(length), rest)
    } else {
        let count = usize::from(length & 0x7F);
        if !(1..=4).contains(&count) || rest.len() < count {
            return None;
        }
        let (digits, rest) = rest.split_at(count);
        let length = digits
            .iter()
            .fold(0_usize, |sum, digit| (sum << 8) | usize::from(*digit));
        (length, rest)
    };
    let content = rest.get(..length)?;
    let rest = &rest[length..];
    let whole = &bytes[..bytes.len() - rest.len()];
    let element = Element {
        tag,
        content,
        whole,
    };
    Some((element, rest))
}

/// Iterator over elements, up to the first invalid one.
#[derive(Clone, Debug)]
pub(super) struct Elements<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        let (element, rest) = first(self.0)?;
        self.0 = rest;
        Some(element)
    }
}

/// Splits a signed object (certificate, request, revocation list) into the signed data, the algorithm and the
/// signature.
pub(super) fn signed(der: &[u8]) -> Option<(Element<'_>, Element<'_>, &[u8])> {
    let mut parts = first(der)?.0.children();
    let (what, algorithm) = (parts.next()?, parts.next()?);
    let signature = parts.next()?.as_tag(BIT_STRING)?;
    // The first byte is the number of unused bits, always 0 in a signature; libraries refuse others.
    let signature = signature.strip_prefix(&[0])?;
    Some((what, algorithm, signature))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Elements, first, signed};

    #[test]
    fn lengths_of_each_form() {
        let long = [vec![0x04, 0x82, 0x01, 0x00], vec![7; 256]].concat();
        assert_eq!(first(&long).unwrap().0.content.len(), 256);
        assert_eq!(first(&[0x04, 0x01, 9, 8]).unwrap().1, [8]);
        for bad in [
            &[][..],
            &[0x30],
            &[0x30, 0x80, 0, 0],
            &[0x30, 2, 0],
            &[0x1F, 1, 0],
        ] {
            assert!(first(bad).is_none(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_input_panics(bytes: Vec<u8>) {
            let _ = signed(&bytes);
            prop_assert!(Elements(&bytes).count() <= bytes.len());
        }
    }
}
