//! What a private key looks like wherever it may turn up. It only computes.

use std::collections::BTreeSet;

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Long enough to be no accident: 32 characters of base64 are 192 bits.
const PIECE: usize = 32;

/// Pieces of keys, to be looked for all at once.
pub(super) struct Needles(AhoCorasick);

impl Needles {
    /// Of keys as PEM has them, without line breaks.
    pub(super) fn of(keys: &BTreeSet<String>) -> Self {
        assert!(!keys.is_empty(), "there are keys to look for");
        let pieces: Vec<Vec<u8>> = keys.iter().flat_map(|key| pieces(key)).collect();
        Self(AhoCorasick::new(pieces).expect("so few pieces fit"))
    }

    /// Whether any of them is in there, in any form.
    pub(super) fn are_in(&self, bytes: &[u8]) -> bool {
        self.0.is_match(bytes)
    }
}

/// Pieces of the secret itself: what comes before it all keys of a kind share, and a public key may follow.
fn pieces(key: &str) -> Vec<Vec<u8>> {
    let der = STANDARD
        .decode(key)
        .expect("a key that was served is base64");
    let at = secret_at(&der);
    // Within a line of 64 characters, so that no line break is in it.
    let line = secret_line(key, at);
    let mut pieces = vec![der[at..at + 24].to_vec(), line.to_vec()];
    // Base64 of the text: three ways, by where in a group of three it begins.
    for shift in 0..3 {
        let text = [vec![b' '; shift], line.to_vec()].concat();
        let encoded = STANDARD.encode(text);
        // The first and the last group hold bits of neighbours.
        pieces.push(encoded.as_bytes()[4..encoded.len() - 4].to_vec());
    }
    pieces
}

/// Where the secret begins. For an elliptic curve after `version 1, octet string, length` (RFC 5915, section 3;
/// PKCS#8 wraps it); the private exponent of an RSA key begins before a third of it.
fn secret_at(der: &[u8]) -> usize {
    let curve = der
        .windows(4)
        .take(48)
        .position(|bytes| bytes == [2, 1, 1, 4]);
    curve.map_or(der.len() * 2 / 7, |version| version + 5)
}

/// A piece of one line of the PEM text, at or after the secret's beginning in `der`.
fn secret_line(key: &str, at: usize) -> &[u8] {
    let start = at.div_ceil(3) * 4;
    let start = if start % 64 + PIECE > 64 {
        start.div_ceil(64) * 64
    } else {
        start
    };
    &key.as_bytes()[start..start + PIECE]
}
