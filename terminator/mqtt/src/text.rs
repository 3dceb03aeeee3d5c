//! Texts of MQTT: UTF-8 without U+0000 ([MQTT-1.5.4-1] and [MQTT-1.5.4-2]; [MQTT-1.5.3-1] and [MQTT-1.5.3-2] in 3.1.1).
//!
//! It must not accept surrogates or overlong forms: two readers could see two names in one text.

use crate::error::{Error, Field};

/// Returns the text of a field.
pub(crate) fn of(bytes: &[u8], field: Field) -> Result<&str, Error> {
    let text = std::str::from_utf8(bytes).map_err(|_| Error::IllFormed(field))?;
    if text.as_bytes().contains(&0) {
        return Err(Error::Nul(field));
    }
    Ok(text)
}
