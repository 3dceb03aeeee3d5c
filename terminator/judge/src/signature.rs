//! Checks whether one certificate's signature was made by another one's key, as clients verify it: with the
//! algorithms of rustls, and also with obsolete ones, to distinguish a weak signature from a wrong one.

use aws_lc_rs::signature::{
    RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
    RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY, RsaParameters, UnparsedPublicKey,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::signature_algorithm::SignatureAlgorithm;

use super::der::{self, BIT_STRING, OID};
use crate::provider::provider;

/// Result of verifying a signature with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// The key made the signature.
    Fits,
    /// Another key made it.
    Broken,
    /// The algorithm is unknown, so it cannot be verified.
    Unknown,
}

/// Verifies the signature of a certificate (DER) with a key (SubjectPublicKeyInfo).
pub(super) fn fit(certificate: &[u8], spki: &[u8]) -> Fit {
    try_fit(certificate, spki).unwrap_or(Fit::Unknown)
}

/// Verifies the signature of a signed object with a key as rustls does: obsolete algorithms count as unknown.
pub(super) fn fit_today(object: &[u8], spki: &[u8]) -> Fit {
    let fit = || {
        let parts = Parts::of(object, spki)?;
        if parts.fits_today() {
            return Some(Fit::Fits);
        }
        broken_if_known(parts.name()?, parts.key_algorithm.content)
    };
    fit().unwrap_or(Fit::Unknown)
}

fn try_fit(certificate: &[u8], spki: &[u8]) -> Option<Fit> {
    let parts = Parts::of(certificate, spki)?;
    if parts.fits_today() {
        return Some(Fit::Fits);
    }
    let name = parts.name()?;
    let is_rsa = parts.key_algorithm.children().next()?.content == RSA;
    match given_up(name) {
        Some(parameters) if is_rsa => {
            let key = UnparsedPublicKey::new(parameters, parts.key);
            let is_ok = key.verify(parts.message.whole, parts.signature).is_ok();
            Some(if is_ok { Fit::Fits } else { Fit::Broken })
        }
        _ => broken_if_known(name, parts.key_algorithm.content),
    }
}

/// What is verified, with what.
struct Parts<'a> {
    message: der::Element<'a>,
    algorithm: der::Element<'a>,
    signature: &'a [u8],
    key_algorithm: der::Element<'a>,
    key: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(object: &'a [u8], spki: &'a [u8]) -> Option<Self> {
        let (message, algorithm, signature) = der::signed(object)?;
        let mut parts = der::first(spki)?.0.children();
        Some(Self {
            message,
            algorithm,
            signature,
            key_algorithm: parts.next()?,
            key: parts.next()?.as_tag(BIT_STRING)?.get(1..)?,
        })
    }

    /// Returns the identifier of the signature's algorithm.
    fn name(&self) -> Option<&'a [u8]> {
        self.algorithm.children().next()?.as_tag(OID)
    }

    /// Reports whether an algorithm of rustls verifies it.
    fn fits_today(&self) -> bool {
        let algorithms = provider().signature_verification_algorithms;
        let mut fitting = algorithms.all.iter().filter(|one| {
            one.signature_alg_id().as_ref() == self.algorithm.content
                && one.public_key_alg_id().as_ref() == self.key_algorithm.content
        });
        fitting.any(|one| {
            let (message, signature) = (self.message.whole, self.signature);
            one.verify_signature(self.key, message, signature).is_ok()
        })
    }
}

/// 1.2.840.113549.1.1.1
const RSA: [u8; 9] = [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 1];

/// Returns the parameters of obsolete algorithms, and of those that rustls uses with longer keys only.
fn given_up(name: &[u8]) -> Option<&'static RsaParameters> {
    match name {
        // sha1WithRSAEncryption, and its identifier from the OIW.
        [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 5] | [0x2B, 0x0E, 3, 2, 0x1D] => {
            Some(&RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY)
        }
        [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 11] => {
            Some(&RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY)
        }
        [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 13] => {
            Some(&RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY)
        }
        _ => None,
    }
}

/// Returns `Broken` for a pair that did not verify if both the signature algorithm and the kind of key are known,
/// such as an RSA signature and an EC key.
fn broken_if_known(signature: &[u8], key_algorithm: &[u8]) -> Option<Fit> {
    let algorithms = provider().signature_verification_algorithms;
    let knows_signature = algorithms.all.iter().any(|one| {
        let id = one.signature_alg_id();
        let name = der::first(id.as_ref()).and_then(|(name, _)| name.as_tag(OID));
        name == Some(signature)
    });
    let knows_key = algorithms
        .all
        .iter()
        .any(|one| one.public_key_alg_id().as_ref() == key_algorithm);
    (knows_signature && knows_key).then_some(Fit::Broken)
}

/// Returns the hash of a certificate's signature if it is weak.
pub(super) fn weak_hash(certificate: &X509Certificate<'_>) -> Option<&'static str> {
    let algorithm = &certificate.signature_algorithm;
    match algorithm.algorithm.to_id_string().as_str() {
        "1.2.840.113549.1.1.2"
        | "1.2.840.113549.1.1.3"
        | "1.2.840.113549.1.1.4"
        | "1.3.14.3.2.3"
        | "1.3.14.3.2.25" => Some("MD5"),
        "1.2.840.113549.1.1.5"
        | "1.3.14.3.2.29"
        | "1.3.14.3.2.27"
        | "1.2.840.10040.4.3"
        | "1.2.840.10045.4.1" => Some("SHA-1"),
        "1.2.840.113549.1.1.10" => match SignatureAlgorithm::try_from(algorithm) {
            Ok(SignatureAlgorithm::RSASSA_PSS(parameters))
                if parameters.hash_algorithm_oid().to_id_string() == "1.3.14.3.2.26" =>
            {
                Some("SHA-1")
            }
            _ => None,
        },
        _ => None,
    }
}
