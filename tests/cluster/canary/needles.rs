//! The byte sequences by which a private key is recognized in any encoding. It only computes.

use std::collections::BTreeSet;

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Length of a piece in characters of base64. 32 are 192 bits, which rules out chance.
const PIECE: usize = 32;

/// Pieces of keys, searched for all at once.
pub(super) struct Needles(AhoCorasick);

impl Needles {
    /// Makes them from base64 of keys without line breaks.
    pub(super) fn of(keys: &BTreeSet<String>) -> Self {
        assert!(!keys.is_empty(), "there are keys to look for");
        let pieces: Vec<Vec<u8>> = keys.iter().flat_map(|key| pieces(key)).collect();
        Self(AhoCorasick::new(pieces).expect("so few pieces fit"))
    }

    /// Reports whether the bytes contain any key, in any encoding.
    pub(super) fn are_in(&self, bytes: &[u8]) -> bool {
        self.0.is_match(bytes)
    }
}

/// Pieces of the secret itself: all keys of a kind share what precedes it, and a public key may follow.
fn pieces(key: &str) -> Vec<Vec<u8>> {
    let der = STANDARD
        .decode(key)
        .expect("a key that was served is base64");
    let at = secret_at(&der);
    // Within a line of 64 characters, so that it contains no line break.
    let line = secret_line(key, at);
    let mut pieces = vec![der[at..at + 24].to_vec(), line.to_vec()];
    // Base64 of the PEM text has three forms, depending on the offset in a group of three bytes.
    for shift in 0..3 {
        let text = [vec![b' '; shift], line.to_vec()].concat();
        let encoded = STANDARD.encode(text);
        // The first and the last group contain bits of neighbouring bytes.
        pieces.push(encoded.as_bytes()[4..encoded.len() - 4].to_vec());
    }
    pieces
}

/// Returns the offset of the secret. For an elliptic curve it follows `version 1, octet string, length` (RFC 5915,
/// section 3; PKCS#8 wraps it); the private exponent of an RSA key begins within the first third.
fn secret_at(der: &[u8]) -> usize {
    let curve = der
        .windows(4)
        .take(48)
        .position(|bytes| bytes == [2, 1, 1, 4]);
    curve.map_or(der.len() * 2 / 7, |version| version + 5)
}

/// Returns a piece of one line of the PEM text, at or after the secret's offset in `der`.
fn secret_line(key: &str, at: usize) -> &[u8] {
    let start = at.div_ceil(3) * 4;
    let start = if start % 64 + PIECE > 64 {
        start.div_ceil(64) * 64
    } else {
        start
    };
    &key.as_bytes()[start..start + PIECE]
}
