//! Decodes base64 as strictly as the API server, that is, as Go's `encoding/base64`: line breaks are ignored, so that
//! the output of `base64` can be pasted; spaces and missing padding are errors.
//!
//! It must not quote its input.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use k8s_openapi::ByteString;
use zeroize::Zeroizing;

/// Like Go, ignores trailing bits in the last character.
const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// Decodes base64, or returns what is wrong.
pub(super) fn decode(text: &str) -> Result<ByteString, &'static str> {
    let joined: Zeroizing<String> = Zeroizing::new(
        text.chars()
            .filter(|char| !"\r\n".contains(*char))
            .collect(),
    );
    ENGINE
        .decode(joined.as_bytes())
        .map(ByteString)
        .map_err(|_| {
            if text.contains("-----BEGIN ") {
                "plain text, but `data` needs base64; put plain text under `stringData`"
            } else if joined.contains([' ', '\t']) {
                "base64 must not contain spaces; start a value of several lines with `|`"
            } else {
                "not base64; put plain text under `stringData`, or encode it with `base64`"
            }
        })
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn accepts_what_the_api_server_accepts() {
        for (text, bytes) in [
            ("", "".as_bytes()),
            ("aGVsbG8=", b"hello"),
            ("aGVs\nbG8=\n", b"hello"),
            ("aGVs\r\nbG8=\r\n\r\n", b"hello"),
            ("\naGVsbG8\n=", b"hello"),
            // Trailing bits.
            ("aGVsbG9=", b"hello"),
        ] {
            assert_eq!(
                decode(text).map(|read| read.0),
                Ok(bytes.to_vec()),
                "{text:?}"
            );
        }
    }

    #[test]
    fn refuses_what_the_api_server_refuses() {
        for (text, because) in [
            ("aGVsbG8", "not base64"),
            ("aGVsbG8=x", "not base64"),
            ("aGVs bG8=", "base64 must not contain spaces"),
            ("aGVs\tbG8=", "base64 must not contain spaces"),
            ("aGVsbG8_", "not base64"),
            ("-----BEGIN CERTIFICATE-----\n", "plain text"),
        ] {
            let said = decode(text).map(|read| read.0).unwrap_err();
            assert!(said.starts_with(because), "{text:?}: {said}");
        }
    }
}
