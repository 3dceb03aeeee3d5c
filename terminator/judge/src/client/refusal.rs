//! Why a client's certificate is refused: as an error, as one of a fixed set, and as the alert.
//!
//! It must not include text of the certificate.

use std::sync::Arc;

use rustls::{CertificateError, OtherError};

/// Why a client's certificate is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A signature does not fit.
    #[error("a signature in the chain does not fit")]
    BadSignature,
    /// A certificate of the chain has expired.
    #[error("the certificate, or a CA above it, has expired")]
    Expired,
    /// No rule matches.
    #[error("the certificate has no name that a rule allows")]
    NoRuleMatches,
    /// A certificate of the chain is not valid yet.
    #[error("the certificate, or a CA above it, is not valid yet")]
    NotYetValid,
    /// Another error of the library.
    #[error("the chain cannot be verified: {0:?}")]
    Other(webpki::Error),
    /// The list of the issuer is outdated, or from the future, or may be missing.
    #[error("the revocation list of the certificate's issuer is outdated, or could not be loaded")]
    OutdatedList,
    /// The certificate is for servers only, or for something else. It would be accepted otherwise.
    #[error("the certificate is not for clients (its extended key usage lacks clientAuth)")]
    Purpose,
    /// The certificate is revoked.
    #[error("the certificate, or a CA above it, is revoked")]
    Revoked,
    /// It chains to no trust anchor.
    #[error("the certificate does not chain to the CA certificates")]
    UnknownIssuer,
    /// The issuer has no list.
    #[error("the certificate's issuer has no revocation list here")]
    Unlisted,
    /// It cannot be parsed.
    #[error("the certificate cannot be parsed")]
    Unreadable,
}

/// Why a client's certificate is refused, as one of a fixed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// See [`Refusal::BadSignature`].
    BadSignature,
    /// See [`Refusal::Expired`].
    Expired,
    /// See [`Refusal::NoRuleMatches`].
    NoRuleMatches,
    /// See [`Refusal::NotYetValid`].
    NotYetValid,
    /// See [`Refusal::Other`].
    Other,
    /// See [`Refusal::OutdatedList`].
    OutdatedList,
    /// See [`Refusal::Purpose`].
    Purpose,
    /// See [`Refusal::Revoked`].
    Revoked,
    /// See [`Refusal::UnknownIssuer`].
    UnknownIssuer,
    /// See [`Refusal::Unlisted`].
    Unlisted,
    /// See [`Refusal::Unreadable`].
    Unreadable,
}

impl Reason {
    /// All of them, by name.
    pub const ALL: [Self; 11] = [
        Self::BadSignature,
        Self::Expired,
        Self::NoRuleMatches,
        Self::NotYetValid,
        Self::Other,
        Self::OutdatedList,
        Self::Purpose,
        Self::Revoked,
        Self::UnknownIssuer,
        Self::Unlisted,
        Self::Unreadable,
    ];

    /// Returns the metric label.
    pub fn name(self) -> &'static str {
        match self {
            Self::BadSignature => "bad_signature",
            Self::Expired => "expired",
            Self::NoRuleMatches => "no_rule_matches",
            Self::NotYetValid => "not_yet_valid",
            Self::Other => "other",
            Self::OutdatedList => "outdated_list",
            Self::Purpose => "purpose",
            Self::Revoked => "revoked",
            Self::UnknownIssuer => "unknown_issuer",
            Self::Unlisted => "unlisted",
            Self::Unreadable => "unreadable",
        }
    }

    /// Returns the description for the reference.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::BadSignature => "a signature in the chain, or the client's own, does not fit",
            Self::Expired => "the certificate, or a CA above it, has expired",
            Self::NoRuleMatches => "the certificate has no name that a rule allows",
            Self::NotYetValid => "the certificate, or a CA above it, is not valid yet",
            Self::Other => "the chain cannot be verified for another cause",
            Self::OutdatedList => {
                "the revocation list of the issuer is outdated or could not be loaded, and outdated lists are not accepted"
            }
            Self::Purpose => {
                "the certificate is not for clients, as those of public CAs; nothing else is wrong with it"
            }
            Self::Revoked => "the certificate, or a CA above it, is revoked",
            Self::UnknownIssuer => "the certificate does not chain to the CA certificates",
            Self::Unlisted => "the issuer has no revocation list, and each must have one",
            Self::Unreadable => "the certificate cannot be parsed",
        }
    }
}

impl Refusal {
    /// Returns the reason, one of a fixed set.
    pub fn reason(&self) -> Reason {
        match self {
            Self::BadSignature => Reason::BadSignature,
            Self::Expired => Reason::Expired,
            Self::NoRuleMatches => Reason::NoRuleMatches,
            Self::NotYetValid => Reason::NotYetValid,
            Self::Other(_) => Reason::Other,
            Self::OutdatedList => Reason::OutdatedList,
            Self::Purpose => Reason::Purpose,
            Self::Revoked => Reason::Revoked,
            Self::UnknownIssuer => Reason::UnknownIssuer,
            Self::Unlisted => Reason::Unlisted,
            Self::Unreadable => Reason::Unreadable,
        }
    }

    /// Returns the error from which rustls makes the alert.
    pub fn into_tls(self) -> CertificateError {
        match self {
            Self::Expired => CertificateError::Expired,
            // access_denied (RFC 8446, section 6.2): valid, and not permitted.
            Self::NoRuleMatches => CertificateError::ApplicationVerificationFailure,
            Self::NotYetValid => CertificateError::NotValidYet,
            // decrypt_error, as rustls has it.
            Self::BadSignature
            | Self::Other(
                webpki::Error::UnsupportedSignatureAlgorithmContext(_)
                | webpki::Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_),
            ) => CertificateError::BadSignature,
            Self::Other(error) => CertificateError::Other(OtherError(Arc::new(error))),
            // certificate_unknown: unknown_ca would have the device's log blame its CA.
            Self::OutdatedList | Self::Unlisted => {
                CertificateError::Other(OtherError(Arc::new(self)))
            }
            Self::Purpose => CertificateError::InvalidPurpose,
            Self::Revoked => CertificateError::Revoked,
            Self::UnknownIssuer => CertificateError::UnknownIssuer,
            Self::Unreadable => CertificateError::BadEncoding,
        }
    }

    pub(super) fn of(error: webpki::Error) -> Self {
        match error {
            webpki::Error::BadDer | webpki::Error::BadDerTime | webpki::Error::TrailingData(_) => {
                Self::Unreadable
            }
            webpki::Error::CertExpired { .. } | webpki::Error::InvalidCertValidity => Self::Expired,
            webpki::Error::CertNotValidYet { .. } => Self::NotYetValid,
            webpki::Error::CertRevoked => Self::Revoked,
            webpki::Error::CrlExpired { .. } => Self::OutdatedList,
            webpki::Error::InvalidSignatureForPublicKey => Self::BadSignature,
            webpki::Error::RequiredEkuNotFoundContext(_) | webpki::Error::EmptyEkuExtension => {
                Self::Purpose
            }
            webpki::Error::UnknownIssuer => Self::UnknownIssuer,
            webpki::Error::UnknownRevocationStatus => Self::Unlisted,
            other => Self::Other(other),
        }
    }
}
