//! Why a revocation list is refused: as an error with details, and as one of a fixed set.
//!
//! A list that is refused revokes nothing: callers keep the last good one.

use super::LISTS_MAX;
use super::crl::NAME_MAX;
use super::source::CERTIFICATE_SIZE_MAX;

/// Errors in a revocation list. Issuers are escaped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The signature's algorithm is not supported, or obsolete.
    #[error(
        "the revocation list of {0} is signed with an algorithm that is not supported, such as SHA-1; let the CA sign it \
        with SHA-256"
    )]
    Algorithm(String),
    /// It is about attribute certificates.
    #[error(
        "the revocation list of {0} is about attribute certificates, which TLS does not use; remove it"
    )]
    AttributeCertificates(String),
    /// The PEM text is damaged.
    #[error("the PEM text is damaged: {0}")]
    BrokenPem(String),
    /// An extension that must be understood is unknown.
    #[error(
        "the revocation list of {issuer} has the critical extension {oid}, which is not supported"
    )]
    CriticalExtension {
        /// Issuer.
        issuer: String,
        /// Object identifier.
        oid: String,
    },
    /// It lists changes only.
    #[error(
        "the revocation list of {0} is a delta list, which has changes only; use the complete list"
    )]
    Delta(String),
    /// It has certificates of other issuers.
    #[error(
        "the revocation list of {0} is an indirect one, with certificates of other issuers; use the list of each issuer"
    )]
    Indirect(String),
    /// The CA may not sign lists.
    #[error(
        "{0} may not sign revocation lists (its key usage lacks cRLSign); let a CA that may sign it issue the list"
    )]
    IssuerCannotSign(String),
    /// A certificate beside the lists is too large.
    #[error(
        "a certificate beside the revocation lists has more than {CERTIFICATE_SIZE_MAX} bytes; remove it"
    )]
    LargeCertificate,
    /// The issuer's name is too long.
    #[error("the name of the revocation list's issuer has more than {NAME_MAX} bytes")]
    LongName,
    /// There is no list.
    #[error("there is no revocation list; add it as an X509 CRL block, or as DER")]
    NoList,
    /// The bytes are no list.
    #[error("this is not a revocation list: it ends or differs at {0}")]
    NotAList(&'static str),
    /// Some reasons only.
    #[error("the revocation list of {0} is about some reasons only; use the complete list")]
    SomeReasons(String),
    /// A serial number is too long.
    #[error(
        "the revocation list of {0} has a serial number of more than 20 bytes, which no CA may issue"
    )]
    Serial(String),
    /// The signature does not fit.
    #[error(
        "the signature of the revocation list of {0} does not fit the CA of that name; use the list that this CA signed"
    )]
    Signature(String),
    /// It is too large.
    #[error("the revocation list has more than {0} bytes")]
    TooLarge(usize),
    /// It has too many entries.
    #[error("the revocation list of {issuer} has more than {most} entries")]
    TooMany {
        /// Issuer.
        issuer: String,
        /// Maximum.
        most: usize,
    },
    /// There are too many certificates beside the lists.
    #[error(
        "there are more than {0} certificates beside the revocation lists; keep those of the lists' issuers"
    )]
    TooManyCertificates(usize),
    /// There are too many lists.
    #[error(
        "there are {0} revocation lists, and only the first {LISTS_MAX} are used; remove those that are not needed"
    )]
    TooManyLists(usize),
    /// Its issuer is unknown.
    #[error(
        "the issuer of the revocation list, {0}, is not among the CA certificates; add its certificate to them, or beside \
        the list if one of them has issued it"
    )]
    UnknownIssuer(String),
}

/// Why a revocation list is refused; one of a fixed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// No list, or a damaged one.
    BrokenList,
    /// A CA that may not sign it.
    IssuerCannotSign,
    /// A signature that does not fit, or is too weak.
    SignatureMismatch,
    /// Too large.
    TooLarge,
    /// An issuer without a certificate here.
    UnknownIssuer,
    /// A kind of list that is not supported.
    UnsupportedList,
}

impl Reason {
    /// All of them, by name.
    pub const ALL: [Self; 6] = [
        Self::BrokenList,
        Self::IssuerCannotSign,
        Self::SignatureMismatch,
        Self::TooLarge,
        Self::UnknownIssuer,
        Self::UnsupportedList,
    ];

    /// As metrics and conditions have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::BrokenList => "BrokenList",
            Self::IssuerCannotSign => "IssuerCannotSign",
            Self::SignatureMismatch => "SignatureMismatch",
            Self::TooLarge => "TooLarge",
            Self::UnknownIssuer => "UnknownIssuer",
            Self::UnsupportedList => "UnsupportedList",
        }
    }
}

impl Error {
    /// Returns the reason, one of a fixed set.
    pub fn reason(&self) -> Reason {
        match self {
            Self::BrokenPem(_) | Self::NoList | Self::NotAList(_) | Self::Serial(_) => {
                Reason::BrokenList
            }
            Self::IssuerCannotSign(_) => Reason::IssuerCannotSign,
            Self::Algorithm(_) | Self::Signature(_) => Reason::SignatureMismatch,
            Self::LargeCertificate
            | Self::LongName
            | Self::TooLarge(_)
            | Self::TooMany { .. }
            | Self::TooManyCertificates(_)
            | Self::TooManyLists(_) => Reason::TooLarge,
            Self::UnknownIssuer(_) => Reason::UnknownIssuer,
            Self::AttributeCertificates(_)
            | Self::CriticalExtension { .. }
            | Self::Delta(_)
            | Self::Indirect(_)
            | Self::SomeReasons(_) => Reason::UnsupportedList,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Reason;

    #[test]
    fn reasons_are_sorted() {
        let names = Reason::ALL.map(Reason::name);
        assert!(names.is_sorted_by(|one, next| one < next), "{names:?}");
    }
}
