//! Base64 as the API server reads it. That is Go's `encoding/base64`: line ends in the middle are passed over, so that
//! what `base64` wrote can be pasted as it is; blanks are not, and neither is padding left out.
//!
//! It must not quote what it reads.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use k8s_openapi::ByteString;
use zeroize::Zeroizing;

/// Go passes over bits that are left in the last character, too.
const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// Reads base64, or says why it is none.
pub(super) fn decode(text: &str) -> Result<ByteString, &'static str> {
    let joined: Zeroizing<String> = Zeroizing::new(
        text.chars()
            .filter(|char| !"\r\n".contains(*char))
            .collect(),
    );
    ENGINE.decode(joined.as_bytes()).map(ByteString).map_err(|_| {
        if text.contains("-----BEGIN ") {
            "it is the text itself, and `data` takes base64; write the text under `stringData`"
        } else if joined.contains([' ', '\t']) {
            "it has blanks in it, which base64 has not; a text of several lines begins with `|`"
        } else {
            "it is not base64; write the text itself under `stringData`, or what `base64` makes of it here"
        }
    })
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn what_the_api_server_reads_is_read() {
        for (text, bytes) in [
            ("", "".as_bytes()),
            ("aGVsbG8=", b"hello"),
            ("aGVs\nbG8=\n", b"hello"),
            ("aGVs\r\nbG8=\r\n\r\n", b"hello"),
            ("\naGVsbG8\n=", b"hello"),
            // Bits beyond the last byte.
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
    fn what_the_api_server_refuses_is_refused() {
        for (text, because) in [
            ("aGVsbG8", "it is not base64"),
            ("aGVsbG8=x", "it is not base64"),
            ("aGVs bG8=", "it has blanks"),
            ("aGVs\tbG8=", "it has blanks"),
            ("aGVsbG8_", "it is not base64"),
            ("-----BEGIN CERTIFICATE-----\n", "it is the text itself"),
        ] {
            let said = decode(text).map(|read| read.0).unwrap_err();
            assert!(said.starts_with(because), "{text:?}: {said}");
        }
    }
}
