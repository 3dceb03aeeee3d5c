//! Kinds of keys: identifies and describes public and private keys, and reports whether TLS can use them.
//!
//! It must not reveal more of a key than its kind and size.

use super::der::{self, BIT_STRING, Element, INTEGER, OCTET_STRING, OID, SEQUENCE};
use super::kind::Encoding;

/// Minimum size of an RSA key in bits; current TLS libraries reject smaller ones.
const RSA_MIN: usize = 2048;

/// Maximum size of an RSA key in bits; larger ones are not used for verification.
const RSA_MAX: usize = 8192;

/// The kind of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// With its size in bits.
    Rsa(usize),
    /// RSA restricted to PSS signatures.
    RsaPss,
    /// A named curve.
    Ec(Curve),
    /// A curve given by explicit parameters instead of by name.
    EcExplicit,
    Ed25519,
    /// Recognized but not supported.
    Other(&'static str),
    Unknown,
}

/// A named curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
    P521,
    Other(&'static str),
}

impl Algorithm {
    /// Identifies a public key (SubjectPublicKeyInfo, RFC 5280, section 4.1.2.7).
    pub(super) fn of_public(spki: &[u8]) -> Self {
        let Some((whole, _)) = der::first(spki) else {
            return Self::Unknown;
        };
        let mut parts = whole.children();
        let (Some(algorithm), Some(key)) = (parts.next(), parts.next()) else {
            return Self::Unknown;
        };
        let bits = || {
            let key = der::first(key.as_tag(BIT_STRING)?.get(1..)?)?.0;
            Some(bits(key.children().next()?))
        };
        Self::of(algorithm, bits)
    }

    /// Identifies a private key.
    pub(super) fn of_private(encoding: Encoding, key: &[u8]) -> Self {
        let Some((whole, _)) = der::first(key) else {
            return Self::Unknown;
        };
        let mut parts = whole.children().skip(1);
        let Some(second) = parts.next() else {
            return Self::Unknown;
        };
        match encoding {
            Encoding::Pkcs1 => Self::Rsa(bits(second)),
            Encoding::Pkcs8 => {
                let bits = || {
                    let inner = der::first(parts.next()?.as_tag(OCTET_STRING)?)?.0;
                    Some(bits(inner.children().nth(1)?))
                };
                Self::of(second, bits)
            }
            // The curve is in the element after the key (RFC 5915, section 3).
            Encoding::Sec1 => parts
                .next()
                .filter(|one| one.tag == der::CONTEXT_0)
                .and_then(|one| one.children().next())
                .map_or(Self::Unknown, of_curve),
        }
    }

    fn of(algorithm: Element<'_>, bits: impl FnOnce() -> Option<usize>) -> Self {
        let mut parts = algorithm.children();
        let Some(name) = parts.next().and_then(|name| name.as_tag(OID)) else {
            return Self::Unknown;
        };
        match name {
            // 1.2.840.113549.1.1
            [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 1] => Self::Rsa(bits().unwrap_or_default()),
            [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 10] => Self::RsaPss,
            // 1.2.840.113549.1.3.1, 1.2.840.10046.2.1
            [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 3, 1]
            | [0x2A, 0x86, 0x48, 0xCE, 0x3E, 2, 1] => Self::Other("a Diffie-Hellman key"),
            // 1.2.840.10040.4.1
            [0x2A, 0x86, 0x48, 0xCE, 0x38, 4, 1] => Self::Other("a DSA key"),
            // 1.2.840.10045.2.1
            [0x2A, 0x86, 0x48, 0xCE, 0x3D, 2, 1] => parts.next().map_or(Self::Unknown, of_curve),
            // 1.3.101
            [0x2B, 0x65, 0x6E] => Self::Other("an X25519 key, which cannot sign"),
            [0x2B, 0x65, 0x6F] => Self::Other("an X448 key, which cannot sign"),
            [0x2B, 0x65, 0x70] => Self::Ed25519,
            [0x2B, 0x65, 0x71] => Self::Other("an Ed448 key"),
            // 2.16.840.1.101.3.4.3
            [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 17..=19] => Self::Other("an ML-DSA key"),
            [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 20..=31] => Self::Other("an SLH-DSA key"),
            // 1.2.643, GOST
            [0x2A, 0x85, 3, ..] => Self::Other("a GOST key"),
            _ => Self::Unknown,
        }
    }

    /// Reports whether keys of this kind are supported for signing and verification.
    pub(super) fn is_usable(self) -> bool {
        match self {
            Self::Rsa(bits) => (RSA_MIN..=RSA_MAX).contains(&bits),
            Self::Ec(curve) => !matches!(curve, Curve::Other(_)),
            Self::Ed25519 => true,
            Self::RsaPss | Self::EcExplicit | Self::Other(_) | Self::Unknown => false,
        }
    }

    /// Reports whether it is an RSA key of less than [`RSA_MIN`] bits.
    pub(super) fn is_weak(self) -> bool {
        matches!(self, Self::Rsa(bits) if bits < RSA_MIN)
    }

    /// Describes the key, with an article.
    pub(super) fn describe(self) -> String {
        match self {
            Self::Rsa(bits) => format!("an RSA key of {bits} bits"),
            Self::RsaPss => "an RSA-PSS key".to_owned(),
            Self::Ec(curve) => format!("an ECDSA key on {}", curve.name()),
            Self::EcExplicit => {
                "an ECDSA key with explicit parameters instead of a named curve (generate it with `-param_enc \
                 named_curve`)"
                    .to_owned()
            }
            Self::Ed25519 => "an Ed25519 key".to_owned(),
            Self::Other(described) => described.to_owned(),
            Self::Unknown => "a key of an unknown kind".to_owned(),
        }
    }

    /// Returns the short name that a certificate's facts show.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rsa(_) => "RSA",
            Self::Ec(Curve::P256) => "ECDSA P-256",
            Self::Ec(Curve::P384) => "ECDSA P-384",
            Self::Ec(Curve::P521) => "ECDSA P-521",
            Self::Ec(Curve::Other(_)) | Self::EcExplicit => "ECDSA",
            Self::Ed25519 => "Ed25519",
            Self::RsaPss | Self::Other(_) | Self::Unknown => "other",
        }
    }
}

impl Curve {
    fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
            Self::Other(name) => name,
        }
    }
}

/// Returns the curve from the parameters of an EC key.
fn of_curve(parameters: Element<'_>) -> Algorithm {
    if parameters.tag == SEQUENCE {
        return Algorithm::EcExplicit;
    }
    Algorithm::Ec(match parameters.content {
        // 1.2.840.10045.3.1
        [0x2A, 0x86, 0x48, 0xCE, 0x3D, 3, 1, 7] => Curve::P256,
        [0x2A, 0x86, 0x48, 0xCE, 0x3D, 3, 1, 1] => Curve::Other("P-192"),
        // 1.3.132.0
        [0x2B, 0x81, 4, 0, 0x22] => Curve::P384,
        [0x2B, 0x81, 4, 0, 0x23] => Curve::P521,
        [0x2B, 0x81, 4, 0, 0x0A] => Curve::Other("secp256k1"),
        [0x2B, 0x81, 4, 0, 0x21] => Curve::Other("P-224"),
        // 1.3.36.3.3.2.8.1.1
        [0x2B, 0x24, 3, 3, 2, 8, 1, 1, ..] => Curve::Other("a brainpool curve"),
        // 1.2.156.10197.1.301
        [0x2A, 0x81, 0x1C, 0xCF, 0x55, 1, 0x82, 0x2D] => Curve::Other("SM2"),
        _ => Curve::Other("an unknown curve"),
    })
}

/// Returns the length of a positive integer in bits.
fn bits(integer: Element<'_>) -> usize {
    let digits = integer.as_tag(INTEGER).unwrap_or_default();
    let zeros = digits.iter().take_while(|digit| **digit == 0).count();
    let digits = &digits[zeros..];
    digits
        .first()
        .map_or(0, |first| digits.len() * 8 - first.leading_zeros() as usize)
}
