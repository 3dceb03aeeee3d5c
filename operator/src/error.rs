//! Formats errors for logs and conditions. It must not add anything to their messages.

pub use mqtt_tls_program::error::chain;

/// Removes the values that a parser's message quotes: a user may have put a key into the wrong field.
///
/// Parsers quote strings with `"`, and field names and expectations with backquotes.
pub fn without_values(message: &str) -> String {
    let Some((before, rest)) = message.split_once('"') else {
        return message.to_owned();
    };
    let after = rest.rsplit_once('"').map_or("", |(_, after)| after);
    format!("{before}\"…\"{after}")
}

#[cfg(test)]
mod tests {
    use super::without_values;

    #[test]
    fn values_are_removed() {
        let said = "invalid type: string \"-----BEGIN \\\"MIIE\\\"\", expected struct SecretRef";
        let wanted = "invalid type: string \"…\", expected struct SecretRef";
        assert_eq!(without_values(said), wanted);
        assert_eq!(
            without_values("missing field `mode`"),
            "missing field `mode`"
        );
        assert_eq!(without_values("open \"MIIE"), "open \"…\"");
    }
}
