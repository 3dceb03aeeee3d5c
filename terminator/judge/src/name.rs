//! Formats distinguished names (RFC 5280, section 4.1.2.4): decodes every kind of string, and escapes the text,
//! which is untrusted.

use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::x509::X509Name;

use super::escape;

// Tags of string types; those not named here are ASCII, or mean to be.
const UTF8_STRING: u8 = 0x0C;
const UNIVERSAL_STRING: u8 = 0x1C;
const BMP_STRING: u8 = 0x1E;

/// Maximum length of a name for a comparison of its text, in bytes. Longer names are compared byte by byte.
const COMPARED_MAX: usize = 4096;

/// Formats a name on one line, such as `C=DE, O=Factory, CN=edge`; empty if it has no attributes.
pub(super) fn shown(name: &X509Name<'_>) -> String {
    escape::shown(&text(name))
}

/// Reports whether two names are equal, regardless of their string types, case and whitespace (RFC 5280, section
/// 7.1).
pub(super) fn is_same(one: &X509Name<'_>, other: &X509Name<'_>) -> bool {
    if one.as_raw() == other.as_raw() {
        return true;
    }
    if one.as_raw().len().max(other.as_raw().len()) > COMPARED_MAX {
        return false;
    }
    let folded = |name| {
        let text = text(name).to_lowercase();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    folded(one) == folded(other)
}

fn text(name: &X509Name<'_>) -> String {
    let mut text = String::new();
    for names in name.iter_rdn() {
        for (index, attribute) in names.iter().enumerate() {
            if !text.is_empty() {
                text.push_str(if index == 0 { ", " } else { " + " });
            }
            match oid2abbrev(attribute.attr_type(), oid_registry()) {
                Ok(short) => text.push_str(short),
                Err(_) => text.push_str(&attribute.attr_type().to_id_string()),
            }
            text.push('=');
            let value = attribute.attr_value();
            let tag = u8::try_from(value.tag().0).unwrap_or_default();
            text.push_str(&string(tag, value.data));
        }
    }
    text
}

/// Decodes a string of any type; text that is not UTF-8 is decoded as Latin-1, which T61String mostly is.
fn string(tag: u8, bytes: &[u8]) -> String {
    match tag {
        BMP_STRING => {
            let units = bytes
                .chunks_exact(2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            char::decode_utf16(units)
                .map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect()
        }
        UNIVERSAL_STRING => bytes
            .chunks_exact(4)
            .map(|four| u32::from_be_bytes([four[0], four[1], four[2], four[3]]))
            .map(|code| char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect(),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
        },
    }
}

/// Decodes a string of any type; `None` if its bytes are not of that type. T61String, whose character set clients do not
/// agree on, is decoded if it is ASCII.
pub(super) fn strictly(tag: u8, bytes: &[u8]) -> Option<String> {
    match tag {
        UTF8_STRING => std::str::from_utf8(bytes).ok().map(str::to_owned),
        BMP_STRING => {
            let (pairs, rest) = bytes.as_chunks::<2>();
            let units = pairs.iter().map(|pair| u16::from_be_bytes(*pair));
            let text = char::decode_utf16(units).collect::<Result<_, _>>();
            text.ok().filter(|_| rest.is_empty())
        }
        UNIVERSAL_STRING => {
            let (fours, rest) = bytes.as_chunks::<4>();
            let text = fours
                .iter()
                .map(|four| char::from_u32(u32::from_be_bytes(*four)))
                .collect::<Option<_>>();
            text.filter(|_| rest.is_empty())
        }
        _ => {
            let text = std::str::from_utf8(bytes).ok()?;
            text.is_ascii().then(|| text.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{strictly, string};

    #[test]
    fn what_a_type_cannot_hold_is_not_decoded_strictly() {
        for (tag, bytes, expected) in [
            (0x0C, "Müller".as_bytes(), Some("Müller")),
            (0x0C, b"M\xFCller", None),
            (0x13, b"edge 7", Some("edge 7")),
            (0x13, "Müller".as_bytes(), None),
            (0x14, b"Muller", Some("Muller")),
            (0x14, b"M\xFCller", None),
            (0x1E, &[0, b'M', 0, 0xFC], Some("Mü")),
            (0x1E, &[0, b'M', 0xD8, 0], None),
            (0x1E, &[0, b'M', 0], None),
            (0x1C, &[0, 0, 0, b'M'], Some("M")),
            (0x1C, &[0, 0, 0, b'M', 0xFF, 0, 0, 0], None),
        ] {
            assert_eq!(
                strictly(tag, bytes).as_deref(),
                expected,
                "{tag:#x} {bytes:?}"
            );
        }
    }

    #[test]
    fn each_string_type_is_decoded() {
        assert_eq!(string(0x0C, "Müller".as_bytes()), "Müller");
        assert_eq!(string(0x14, b"M\xFCller"), "Müller");
        assert_eq!(string(0x1E, &[0, b'M', 0, 0xFC, 0xD8, 0]), "Mü\u{FFFD}");
        assert_eq!(string(0x1C, &[0, 0, 0, b'M', 0xFF, 0, 0, 0]), "M\u{FFFD}");
    }
}
