//! Decodes a file as kubectl does: UTF-8, or UTF-16 with a byte order mark. It must not leave an unwiped copy.

use zeroize::Zeroizing;

/// Why a file is not text.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    /// UTF-16 with an incomplete character.
    #[error("damaged UTF-16; save the file as UTF-8")]
    Utf16,
    /// Neither UTF-8 nor UTF-16.
    #[error("line {line} contains a byte that is not UTF-8; save the file as UTF-8")]
    Utf8 {
        /// The line, counted from 1.
        line: usize,
    },
}

/// Decodes the text, without its byte order mark.
pub(super) fn decode(bytes: &[u8]) -> Result<Zeroizing<String>, Error> {
    match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => utf8(rest),
        bytes => utf8(bytes),
    }
}

fn utf8(bytes: &[u8]) -> Result<Zeroizing<String>, Error> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(error) => {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = before.split(|byte| *byte == b'\n').count();
            Err(Error::Utf8 { line })
        }
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Zeroizing<String>, Error> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Error::Utf16);
    }
    let mut text = Zeroizing::new(String::with_capacity(bytes.len()));
    for char in char::decode_utf16(pairs.iter().map(|pair| unit(*pair))) {
        text.push(char.map_err(|_| Error::Utf16)?);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::{Error, decode};

    #[test]
    fn byte_order_marks_are_removed() {
        let text = "kind: \u{e9}\u{1f600}\n";
        let units: Vec<u16> = text.encode_utf16().collect();
        let little = units.iter().flat_map(|unit| unit.to_le_bytes());
        let big = units.iter().flat_map(|unit| unit.to_be_bytes());
        for bytes in [
            text.as_bytes().to_vec(),
            [b"\xef\xbb\xbf".as_slice(), text.as_bytes()].concat(),
            [0xff, 0xfe].into_iter().chain(little).collect(),
            [0xfe, 0xff].into_iter().chain(big).collect(),
        ] {
            assert_eq!(decode(&bytes).unwrap().as_str(), text);
        }
    }

    #[test]
    fn other_encodings_are_errors() {
        assert_eq!(decode(b"a\nb\xe9\n").unwrap_err(), Error::Utf8 { line: 2 });
        assert_eq!(decode(b"\xff\xfea").unwrap_err(), Error::Utf16);
        assert_eq!(decode(b"\xff\xfe\x00\xd8").unwrap_err(), Error::Utf16);
    }
}
