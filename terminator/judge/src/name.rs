//! Distinguished names (RFC 5280, section 4.1.2.4) as text: whatever kind of string an attribute is in, and
//! escaped, since anyone may have chosen it.

use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::x509::X509Name;

use super::escape;

// Tags of the kinds of strings that are no UTF-8.
const UNIVERSAL_STRING: u8 = 0x1C;
const BMP_STRING: u8 = 0x1E;

/// How long a name may be where it is compared, in bytes. A longer one is compared as it is written.
const COMPARED_MAX: usize = 4096;

/// The name on one line, such as `C=DE, O=Factory, CN=edge`; empty if it has no attributes.
pub(super) fn shown(name: &X509Name<'_>) -> String {
    escape::shown(&text(name))
}

/// Whether two names are the same, in whatever kind of text each of them is written (RFC 5280, section
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

/// The text of a string of any kind; what is no UTF-8 is taken for Latin-1, as T61String mostly is.
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

#[cfg(test)]
mod tests {
    use super::string;

    #[test]
    fn each_kind_of_string_is_text() {
        assert_eq!(string(0x0C, "Müller".as_bytes()), "Müller");
        assert_eq!(string(0x14, b"M\xFCller"), "Müller");
        assert_eq!(string(0x1E, &[0, b'M', 0, 0xFC, 0xD8, 0]), "Mü\u{FFFD}");
        assert_eq!(string(0x1C, &[0, 0, 0, b'M', 0xFF, 0, 0, 0]), "M\u{FFFD}");
    }
}
