//! From a file's bytes to its text, as kubectl reads it: UTF-8, or UTF-16 that says so by a byte order mark.

use zeroize::Zeroizing;

/// Why bytes are no text.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    /// UTF-16 with half a character in it.
    #[error("it is UTF-16, and damaged; save it as UTF-8")]
    Utf16,
    /// Anything else.
    #[error("line {line} holds a byte that is not UTF-8; save it as UTF-8")]
    Utf8 {
        /// The line, counted from 1.
        line: usize,
    },
}

/// Reads the text, without its byte order mark.
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
    fn byte_order_marks_are_taken() {
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
    fn what_is_no_text_is_told() {
        assert_eq!(decode(b"a\nb\xe9\n").unwrap_err(), Error::Utf8 { line: 2 });
        assert_eq!(decode(b"\xff\xfea").unwrap_err(), Error::Utf16);
        assert_eq!(decode(b"\xff\xfe\x00\xd8").unwrap_err(), Error::Utf16);
    }
}
