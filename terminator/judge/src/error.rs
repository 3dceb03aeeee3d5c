//! Errors in a server certificate: what keeps it from being served.
//!
//! It must not show key material.

use super::finding::Finding;
use super::pem;
use super::refusal::Refusal;

/// Maximum number of certificates in a chain, including the leaf.
pub const CHAIN_MAX: usize = 10;

/// Errors in a server certificate.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A block cannot be parsed.
    #[error("{0}")]
    BrokenPem(pem::Error),
    /// The chain does not start with the leaf, or a certificate is not followed by its issuer.
    #[error("the chain is out of order: {0}")]
    ChainOutOfOrder(String),
    /// The chain is longer than [`CHAIN_MAX`].
    #[error("the chain has {0} certificates; the maximum is {CHAIN_MAX}")]
    ChainTooLong(usize),
    /// The key is protected by a password.
    #[error(
        "the private key in {0} is encrypted; decrypt it, for example with `openssl pkey -in KEY -out PLAIN`"
    )]
    EncryptedPrivateKey(pem::Place),
    /// The chain loads but can never verify.
    #[error("{0}")]
    NeverVerifies(Finding),
    /// The key does not belong to the leaf.
    #[error(
        "the private key does not match the first certificate (subject {0}); use the key that this \
        certificate was issued for"
    )]
    KeyMismatch(String),
    /// There is no certificate.
    #[error("there is no certificate{0}")]
    NoCertificate(String),
    /// There is no key.
    #[error("there is no private key{0}")]
    NoPrivateKey(String),
    /// There are several keys.
    #[error("there are {0} private keys; keep only the one that belongs to the leaf")]
    SeveralPrivateKeys(usize),
    /// A certificate cannot be parsed, or the trial handshake with it fails.
    #[error("the certificate in {place} cannot be used: {why}")]
    UnusableCertificate {
        /// Position of the block.
        place: pem::Place,
        /// Cause, from the parser or the handshake.
        why: String,
    },
    /// The key cannot be used for TLS.
    #[error("the private key in {place} cannot be used: {why}; {USABLE}")]
    UnusablePrivateKey {
        /// Position of the block.
        place: pem::Place,
        /// Description of the key.
        why: String,
    },
}

/// Supported keys.
pub(super) const USABLE: &str =
    "use RSA of at least 2048 bits, ECDSA P-256, P-384 or P-521, or Ed25519";

impl Error {
    /// Returns the reason, one of a fixed set, for metrics and conditions.
    pub fn reason(&self) -> Refusal {
        match self {
            Self::BrokenPem(_) => Refusal::BrokenPem,
            Self::ChainOutOfOrder(_) => Refusal::ChainOutOfOrder,
            Self::ChainTooLong(_) => Refusal::ChainTooLong,
            Self::EncryptedPrivateKey(_) => Refusal::EncryptedPrivateKey,
            Self::NeverVerifies(finding) => Refusal::Found(finding.reason),
            Self::KeyMismatch(_) => Refusal::KeyMismatch,
            Self::NoCertificate(_) => Refusal::NoCertificate,
            Self::NoPrivateKey(_) => Refusal::NoPrivateKey,
            Self::SeveralPrivateKeys(_) => Refusal::SeveralPrivateKeys,
            Self::UnusableCertificate { .. } => Refusal::UnusableCertificate,
            Self::UnusablePrivateKey { .. } => Refusal::UnusablePrivateKey,
        }
    }
}
