//! Converts bytes to text. PEM may have text of any bytes around its blocks (RFC 7468, section 2), such as a
//! Latin-1 name in the output of `openssl pkcs12`.
//!
//! It must not show the bytes, nor leave copies behind that are not wiped.

use zeroize::Zeroizing;

use super::der;
use super::kind::{self, Kind};

/// Number of bytes at the start that are checked for UTF-16.
const LOOKED_AT: usize = 64;

/// Errors for bytes that are not text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotText {
    /// Neither text nor a known format.
    #[error("it is not text; use PEM, not DER or PKCS#12")]
    Binary,
    /// A format that a command converts to PEM.
    #[error("it is {what}, not PEM; convert it: {command}")]
    Format {
        /// Name of the format.
        what: &'static str,
        /// Command that converts it to PEM.
        command: &'static str,
    },
    /// A PEM block, or a text without blocks, is not UTF-8.
    #[error("line {0} has a byte that is not UTF-8; save the text as UTF-8")]
    Line(usize),
    /// UTF-16, with or without a byte order mark.
    #[error("it is UTF-16; save it as UTF-8")]
    Utf16,
}

/// Converts bytes to text. Reuses their buffer if they are UTF-8, and wipes it otherwise.
pub fn from_bytes(mut bytes: Zeroizing<Vec<u8>>) -> Result<Zeroizing<String>, NotText> {
    if let Some(text) = decoded(&bytes)? {
        return Ok(text);
    }
    let text = String::from_utf8(std::mem::take(&mut *bytes));
    text.map(Zeroizing::new).map_err(|_| NotText::Binary)
}

/// Decodes bytes that are not UTF-8; returns `None` if they are.
pub fn decoded(bytes: &[u8]) -> Result<Option<Zeroizing<String>>, NotText> {
    if is_utf16(bytes) {
        return Err(NotText::Utf16);
    }
    if let Some(format) = format(bytes) {
        return Err(format);
    }
    if std::str::from_utf8(bytes).is_ok() {
        return Ok(None);
    }
    if bytes.iter().any(|byte| is_binary(*byte)) {
        return Err(NotText::Binary);
    }
    // Allocate the full size at once: a string that grows leaves copies behind. A byte becomes at most two.
    let mut text = Zeroizing::new(String::with_capacity(2 * bytes.len()));
    let (mut is_inside, mut has_blocks) = (false, false);
    let mut faulty = None;
    for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        if contains(line, b"-----BEGIN ") {
            (is_inside, has_blocks) = (true, true);
        }
        match std::str::from_utf8(line) {
            Ok(line) => text.push_str(line),
            Err(_) if is_inside => return Err(NotText::Line(index + 1)),
            Err(_) => {
                faulty = faulty.or(Some(index + 1));
                // Decode it as Latin-1, the usual encoding of names in such texts.
                text.extend(line.iter().map(|byte| char::from(*byte)));
            }
        }
        if contains(line, b"-----END ") {
            is_inside = false;
        }
    }
    match faulty {
        Some(line) if !has_blocks => Err(NotText::Line(line)),
        _ => Ok(Some(text)),
    }
}

fn contains(line: &[u8], marker: &[u8]) -> bool {
    line.windows(marker.len()).any(|window| window == marker)
}

/// Reports whether a byte occurs in no single-byte text encoding.
fn is_binary(byte: u8) -> bool {
    byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0B | 0x0C | 0x1A | 0x1B)
}

/// Reports whether there is a byte order mark, or mostly every other byte is 0.
fn is_utf16(bytes: &[u8]) -> bool {
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return true;
    }
    let start = &bytes[..bytes.len().min(LOOKED_AT) & !1];
    let (mut first, mut second) = (0, 0);
    for pair in start.chunks_exact(2) {
        first += usize::from(pair[0] == 0);
        second += usize::from(pair[1] == 0);
    }
    let count = start.len() / 2;
    count >= 2 && first.max(second) * 4 >= count * 3 && first.min(second) == 0
}

/// Recognizes formats by their first bytes.
fn format(bytes: &[u8]) -> Option<NotText> {
    if bytes.starts_with(&[0xFE, 0xED, 0xFE, 0xED]) || bytes.starts_with(&[0xCE; 4]) {
        return Some(NotText::Format {
            what: "a Java key store",
            command: "`keytool -importkeystore -deststoretype PKCS12`, then `openssl pkcs12 -nodes`",
        });
    }
    let (_, rest) = der::first(bytes)?;
    let is_der = bytes[0] == der::SEQUENCE && rest.len() <= 2;
    let kind = is_der.then(|| kind::of(bytes))?;
    let (what, command) = match kind {
        Kind::Certificate => (
            "a certificate in DER",
            "`openssl x509 -inform DER -in FILE`",
        ),
        Kind::PrivateKey(_) | Kind::DsaKey => (
            "a private key in DER",
            "`openssl pkey -inform DER -in FILE`",
        ),
        Kind::EncryptedKey => (
            "an encrypted private key in DER",
            "`openssl pkcs8 -inform DER -in FILE`",
        ),
        Kind::Pkcs12 => ("PKCS#12 (.p12, .pfx)", "`openssl pkcs12 -in FILE -nodes`"),
        Kind::Pkcs7 => (
            "PKCS#7 in DER (.p7b)",
            "`openssl pkcs7 -inform DER -print_certs -in FILE`",
        ),
        _ => return None,
    };
    Some(NotText::Format { what, command })
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::{NotText, decoded, from_bytes};

    const BLOCK: &str = "-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\n";

    fn describe(bytes: &[u8]) -> String {
        decoded(bytes).unwrap_err().to_string()
    }

    #[test]
    fn utf_8_is_unchanged() {
        for text in ["", "a", "Müller\n", BLOCK] {
            assert_eq!(decoded(text.as_bytes()), Ok(None));
            let bytes = Zeroizing::new(text.as_bytes().to_vec());
            assert_eq!(from_bytes(bytes).unwrap().as_str(), text);
        }
    }

    #[test]
    fn a_latin_1_byte_between_blocks_is_text() {
        let bytes = [b"friendlyName: M\xFCller\n", BLOCK.as_bytes(), b"\xE9"].concat();
        let text = decoded(&bytes).unwrap().unwrap();
        assert_eq!(*text, format!("friendlyName: Müller\n{BLOCK}é"));
    }

    #[test]
    fn a_latin_1_byte_in_a_block_is_reported_with_its_line() {
        let bytes = b"a\nb\n-----BEGIN A-----\nAA\xFC\n-----END A-----\n";
        let described = describe(bytes);
        assert!(
            described.contains("line 4 has a byte that is not UTF-8"),
            "{described}"
        );
        assert_eq!(decoded(b"a\n\xFC"), Err(NotText::Line(2)));
    }

    #[test]
    fn utf_16_is_recognized_with_and_without_a_mark() {
        let units: Vec<u16> = BLOCK.encode_utf16().collect();
        let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        for bytes in [
            [&[0xFF, 0xFE], &little[..]].concat(),
            [&[0xFE, 0xFF], &big[..]].concat(),
            little,
            big,
        ] {
            assert_eq!(describe(&bytes), "it is UTF-16; save it as UTF-8");
        }
    }

    #[test]
    fn other_formats_are_named_with_a_command() {
        for (bytes, expected) in [
            (&[0xFE, 0xED, 0xFE, 0xED, 0, 0][..], "keytool"),
            (&[0x89, b'P', b'N', b'G', 0, 0xFF], "it is not text"),
            (
                // Version 3, then a PKCS#7 `data`.
                &[
                    0x30, 0x11, 2, 1, 3, 0x30, 0x0C, 6, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1,
                    7, 1, 5,
                ],
                "openssl pkcs12",
            ),
        ] {
            let described = describe(bytes);
            assert!(described.contains(expected), "{described}");
        }
    }
}
