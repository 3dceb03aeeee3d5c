//! Text that holds key material.
//!
//! It must not be shown: there is no `Display`, and `Debug` shows the length only.

use std::fmt;

use serde::{Serialize, Serializer};
use zeroize::Zeroizing;

/// A text with a private key in it; wiped when dropped.
///
/// [`Serialize`] writes the text itself, for the configuration Secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Pem(Zeroizing<String>);

impl Pem {
    /// Wraps the text without copying it.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Returns the text, which must not be logged.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pem({} bytes, not shown)", self.0.len())
    }
}

impl Serialize for Pem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Pem;

    #[test]
    fn debug_shows_the_length_and_nothing_else() {
        let pem = Pem::new("MIIEvQIBADANBgkqhkiG".to_owned());
        assert_eq!(format!("{pem:?}"), "Pem(20 bytes, not shown)");
        assert_eq!(format!("{pem:#?}"), "Pem(20 bytes, not shown)");
    }
}
