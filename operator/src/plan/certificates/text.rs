//! The text of a Secret's or a ConfigMap's bytes. It must not leave a copy behind that is not wiped.

use mqtt_tls_judge::text::{NotText, decoded};
use zeroize::Zeroizing;

/// A text as it is, or as it was made of bytes of another encoding.
pub(super) enum Text<'d> {
    AsItIs(&'d str),
    Decoded(Zeroizing<String>),
}

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::AsItIs(text) => text,
            Self::Decoded(text) => text,
        }
    }
}

/// The text of some bytes.
pub(super) fn text_of(bytes: &[u8]) -> Result<Text<'_>, NotText> {
    if let Some(text) = decoded(bytes)? {
        return Ok(Text::Decoded(text));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| NotText::Binary)?;
    Ok(Text::AsItIs(text))
}
