//! Findings about a chain or a CA bundle that loads but has a problem.
//!
//! There are two grades. A chain that can never verify gets a [`Grade::Refusal`]: it is rejected if it is new,
//! and served with a warning if an earlier release served it, so that an upgrade takes no listener down. A chain
//! that many but not all clients reject gets a [`Grade::Warning`].

use std::fmt;

/// Reason of a finding, for conditions and metrics; most severe first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The issuer of another certificate is not a CA.
    IssuerNotCa,
    /// A signature does not match the issuer's key.
    SignatureMismatch,
    /// A path length constraint is exceeded.
    PathTooLong,
    /// A name violates the name constraints of a CA.
    NameNotPermitted,
    /// The leaf is a temporary one, of a CA that no client can know.
    TemporaryCertificate,
    /// No client certificate can chain to an authority.
    UnusableAuthority,
    /// The leaf has expired.
    Expired,
    /// The leaf is not valid yet.
    NotYetValid,
    /// The key is the public example key that smart-mqtt ships.
    PublicDemoKey,
    /// An issuer has expired.
    IssuerExpired,
    /// An issuer is not valid yet.
    IssuerNotYetValid,
    /// OpenSSL and others cannot parse the dates.
    OddDates,
    /// The extended key usage lacks serverAuth.
    WrongPurpose,
    /// The leaf's key usage lacks digitalSignature, which TLS 1.3 requires.
    WrongKeyUsage,
    /// An issuer's key usage lacks keyCertSign.
    IssuerCannotSign,
    /// A signature uses SHA-1 or MD5.
    WeakSignature,
    /// A key is too short, or of a kind that few clients support.
    WeakKey,
    /// rustls rejects the chain for a reason that the other checks do not cover.
    ClientsRefuse,
    /// No certificate of a host is for one of its names.
    NameNotCovered,
    /// The leaf is a CA.
    LeafIsCa,
    /// The leaf has no subject alternative name.
    NoNames,
    /// The leaf has a name that matches no host.
    OddNames,
    /// The leaf requires a stapled OCSP response, which is not sent.
    StapleRequired,
    /// The handshake messages do not fit into the buffer of small devices.
    LargeHandshake,
    /// No host name selects an additional certificate.
    NeverChosen,
    /// The certificate expires soon.
    ExpiresSoon,
    /// An issuer expires soon.
    IssuerExpiresSoon,
    /// A block is not used.
    BlockLeftOut,
    /// A block occurs twice.
    DuplicateLeftOut,
    /// An authority is a self-signed leaf.
    AuthorityIsLeaf,
    /// A device without the client certificate that a host requires reaches its broker by another name.
    ClientAuthAvoidable,
    /// Certificates give user names, and no client IDs.
    ClientIdKept,
    /// A revocation list was to be replaced by now.
    CrlOutdated,
}

impl Reason {
    /// All reasons, most severe first.
    pub const ALL: [Self; 33] = [
        Self::IssuerNotCa,
        Self::SignatureMismatch,
        Self::PathTooLong,
        Self::NameNotPermitted,
        Self::TemporaryCertificate,
        Self::UnusableAuthority,
        Self::Expired,
        Self::NotYetValid,
        Self::PublicDemoKey,
        Self::IssuerExpired,
        Self::IssuerNotYetValid,
        Self::OddDates,
        Self::WrongPurpose,
        Self::WrongKeyUsage,
        Self::IssuerCannotSign,
        Self::WeakSignature,
        Self::WeakKey,
        Self::ClientsRefuse,
        Self::NameNotCovered,
        Self::LeafIsCa,
        Self::NoNames,
        Self::OddNames,
        Self::StapleRequired,
        Self::LargeHandshake,
        Self::NeverChosen,
        Self::ExpiresSoon,
        Self::IssuerExpiresSoon,
        Self::BlockLeftOut,
        Self::DuplicateLeftOut,
        Self::AuthorityIsLeaf,
        Self::ClientAuthAvoidable,
        Self::ClientIdKept,
        Self::CrlOutdated,
    ];

    /// Reasons that can reject new material.
    pub const REFUSALS: [Self; 7] = [
        Self::IssuerNotCa,
        Self::SignatureMismatch,
        Self::PathTooLong,
        Self::NameNotPermitted,
        Self::TemporaryCertificate,
        Self::UnusableAuthority,
        Self::BlockLeftOut,
    ];

    /// Returns the reason in CamelCase.
    pub fn name(self) -> &'static str {
        match self {
            Self::IssuerNotCa => "IssuerNotCa",
            Self::SignatureMismatch => "SignatureMismatch",
            Self::PathTooLong => "PathTooLong",
            Self::NameNotPermitted => "NameNotPermitted",
            Self::TemporaryCertificate => "TemporaryCertificate",
            Self::UnusableAuthority => "UnusableAuthority",
            Self::Expired => "Expired",
            Self::NotYetValid => "NotYetValid",
            Self::PublicDemoKey => "PublicDemoKey",
            Self::ClientAuthAvoidable => "ClientAuthAvoidable",
            Self::ClientIdKept => "ClientIdKept",
            Self::CrlOutdated => "CrlOutdated",
            Self::IssuerExpired => "IssuerExpired",
            Self::IssuerNotYetValid => "IssuerNotYetValid",
            Self::OddDates => "OddDates",
            Self::WrongPurpose => "WrongPurpose",
            Self::WrongKeyUsage => "WrongKeyUsage",
            Self::IssuerCannotSign => "IssuerCannotSign",
            Self::WeakSignature => "WeakSignature",
            Self::WeakKey => "WeakKey",
            Self::ClientsRefuse => "ClientsRefuse",
            Self::NameNotCovered => "NameNotCovered",
            Self::LeafIsCa => "LeafIsCa",
            Self::NoNames => "NoNames",
            Self::OddNames => "OddNames",
            Self::StapleRequired => "StapleRequired",
            Self::LargeHandshake => "LargeHandshake",
            Self::NeverChosen => "NeverChosen",
            Self::ExpiresSoon => "ExpiresSoon",
            Self::IssuerExpiresSoon => "IssuerExpiresSoon",
            Self::BlockLeftOut => "BlockLeftOut",
            Self::DuplicateLeftOut => "DuplicateLeftOut",
            Self::AuthorityIsLeaf => "AuthorityIsLeaf",
        }
    }
}

/// Severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grade {
    /// The chain can never verify: new material is rejected.
    Refusal,
    /// Many clients reject it.
    Warning,
}

/// A problem that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Reason, one of a fixed set.
    pub reason: Reason,
    /// Severity.
    pub grade: Grade,
    /// Which certificate, what is wrong, and what to do.
    pub message: String,
}

impl Finding {
    pub(super) fn refusal(reason: Reason, message: String) -> Self {
        let grade = Grade::Refusal;
        Self {
            reason,
            grade,
            message,
        }
    }

    pub(super) fn warning(reason: Reason, message: String) -> Self {
        let grade = Grade::Warning;
        Self {
            reason,
            grade,
            message,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Returns the first finding that rejects new material.
pub(super) fn first_refusal(findings: &[Finding]) -> Option<&Finding> {
    findings
        .iter()
        .find(|finding| finding.grade == Grade::Refusal)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Reason;

    #[test]
    fn each_reason_has_a_unique_name_and_is_listed_once() {
        let words: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(words.len(), Reason::ALL.len());
        assert!(Reason::ALL.is_sorted(), "most severe first");
        for word in words {
            assert!(
                word.bytes().all(|byte| byte.is_ascii_alphabetic()),
                "{word}"
            );
        }
    }
}
