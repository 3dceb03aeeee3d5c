//! Decodes the bytes of a Secret or ConfigMap. It must not leave a copy in memory that is not wiped.

use mqtt_tls_judge::text::{NotText, decoded};
use zeroize::Zeroizing;

/// A text, borrowed or decoded from another encoding.
pub(super) enum Text<'d> {
    Borrowed(&'d str),
    Decoded(Zeroizing<String>),
}

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Decoded(text) => text,
        }
    }
}

/// Decodes bytes as text.
pub(super) fn text_of(bytes: &[u8]) -> Result<Text<'_>, NotText> {
    if let Some(text) = decoded(bytes)? {
        return Ok(Text::Decoded(text));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| NotText::Binary)?;
    Ok(Text::Borrowed(text))
}
