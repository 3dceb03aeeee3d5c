//! Why a certificate or a CA bundle is refused, as one of a fixed set: for metrics and conditions.
//!
//! It must not hold details: those are in the error's message.

use crate::finding::Reason;

/// Why a certificate or a CA bundle is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// A PEM block cannot be read.
    BrokenPem,
    /// The certificates are not in the order leaf, issuer, issuer's issuer.
    ChainOutOfOrder,
    /// The chain has too many certificates.
    ChainTooLong,
    /// The private key has a password.
    EncryptedPrivateKey,
    /// A finding that no client accepts; one of [`Reason::REFUSALS`].
    Found(Reason),
    /// The private key is not the leaf's.
    KeyMismatch,
    /// There is no certificate.
    NoCertificate,
    /// There is no private key.
    NoPrivateKey,
    /// There is a private key among CA certificates.
    PrivateKeyInBundle,
    /// There are several private keys.
    SeveralPrivateKeys,
    /// A certificate cannot be used for TLS.
    UnusableCertificate,
    /// The private key cannot be used for TLS.
    UnusablePrivateKey,
}

impl Refusal {
    /// All of them, by name.
    pub const ALL: [Self; 18] = [
        Self::Found(Reason::BlockLeftOut),
        Self::BrokenPem,
        Self::ChainOutOfOrder,
        Self::ChainTooLong,
        Self::EncryptedPrivateKey,
        Self::Found(Reason::IssuerNotCa),
        Self::KeyMismatch,
        Self::Found(Reason::NameNotPermitted),
        Self::NoCertificate,
        Self::NoPrivateKey,
        Self::Found(Reason::PathTooLong),
        Self::PrivateKeyInBundle,
        Self::SeveralPrivateKeys,
        Self::Found(Reason::SignatureMismatch),
        Self::Found(Reason::TemporaryCertificate),
        Self::Found(Reason::UnusableAuthority),
        Self::UnusableCertificate,
        Self::UnusablePrivateKey,
    ];

    /// As metrics and conditions have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::BrokenPem => "BrokenPem",
            Self::ChainOutOfOrder => "ChainOutOfOrder",
            Self::ChainTooLong => "ChainTooLong",
            Self::EncryptedPrivateKey => "EncryptedPrivateKey",
            Self::Found(reason) => reason.name(),
            Self::KeyMismatch => "KeyMismatch",
            Self::NoCertificate => "NoCertificate",
            Self::NoPrivateKey => "NoPrivateKey",
            Self::PrivateKeyInBundle => "PrivateKeyInBundle",
            Self::SeveralPrivateKeys => "SeveralPrivateKeys",
            Self::UnusableCertificate => "UnusableCertificate",
            Self::UnusablePrivateKey => "UnusablePrivateKey",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Refusal;
    use crate::finding::Reason;

    #[test]
    fn they_are_sorted_and_complete() {
        let names = Refusal::ALL.map(Refusal::name);
        assert!(names.is_sorted_by(|one, next| one < next), "{names:?}");
        let found = Refusal::ALL
            .iter()
            .filter(|one| matches!(one, Refusal::Found(_)));
        assert_eq!(found.count(), Reason::REFUSALS.len());
        for reason in Reason::REFUSALS {
            assert!(Refusal::ALL.contains(&Refusal::Found(reason)));
        }
    }
}
