//! Writes PEM blocks (RFC 7468). It must not be used for keys: it wipes nothing.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Characters of a line (RFC 7468, section 2).
const LINE: usize = 64;

/// Adds a PEM block.
pub fn push(text: &mut String, label: &str, der: &[u8]) {
    let encoded = STANDARD.encode(der);
    let mut rest = encoded.as_str();
    let _ = writeln!(text, "-----BEGIN {label}-----");
    while !rest.is_empty() {
        // Base64 has one byte a character.
        let (line, others) = rest.split_at(rest.len().min(LINE));
        text.push_str(line);
        text.push('\n');
        rest = others;
    }
    let _ = writeln!(text, "-----END {label}-----");
}
