//! What is found about a chain or a CA bundle that can be loaded, and yet someone should look at.
//!
//! There are two grades. What can never verify is a [`Grade::Refusal`]: it refuses what is new. What the
//! release before served goes on being served with a warning: an upgrade takes nobody down. What many clients
//! refuse, and some take, is a [`Grade::Warning`].

use std::fmt;

/// Why something is a finding; one of a fixed set, in CamelCase, for conditions and metrics. The worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// What issued another certificate is no CA.
    IssuerNotCa,
    /// A signature does not fit the key of the issuer above it.
    SignatureMismatch,
    /// There are more CAs below one than it allows.
    PathTooLong,
    /// A name is outside of what a CA of the chain may issue for.
    NameNotPermitted,
    /// Nobody can chain to an authority for client certificates.
    UnusableAuthority,
    /// The leaf is over.
    Expired,
    /// The leaf is yet to begin.
    NotYetValid,
    /// The key is the one that smart-mqtt ships: everyone has it.
    PublicDemoKey,
    /// An issuer is over.
    IssuerExpired,
    /// An issuer is yet to begin.
    IssuerNotYetValid,
    /// Dates are written as OpenSSL and others do not read them.
    OddDates,
    /// It is not for servers (extended key usage).
    WrongPurpose,
    /// The leaf may not sign, which each handshake of TLS 1.3 needs (key usage).
    WrongKeyUsage,
    /// An issuer may not sign certificates (key usage).
    IssuerCannotSign,
    /// A signature by SHA-1 or MD5.
    WeakSignature,
    /// A key that is too short, or of a kind that few clients know.
    WeakKey,
    /// What rustls says against it, and nothing else here does.
    ClientsRefuse,
    /// The leaf is a CA.
    LeafIsCa,
    /// The leaf has no name that clients look at.
    NoNames,
    /// The leaf has a name that no client looks for.
    OddNames,
    /// It must come with an OCSP response, which is not sent.
    StapleRequired,
    /// A further certificate that no name chooses.
    NeverChosen,
    /// An issuer is soon over.
    IssuerExpiresSoon,
    /// A block is of no use here.
    BlockLeftOut,
    /// A block is there twice.
    DuplicateLeftOut,
    /// A certificate that is no CA among the authorities.
    AuthorityIsLeaf,
}

impl Reason {
    /// All of them, the worst first.
    pub const ALL: [Self; 26] = [
        Self::IssuerNotCa,
        Self::SignatureMismatch,
        Self::PathTooLong,
        Self::NameNotPermitted,
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
        Self::LeafIsCa,
        Self::NoNames,
        Self::OddNames,
        Self::StapleRequired,
        Self::NeverChosen,
        Self::IssuerExpiresSoon,
        Self::BlockLeftOut,
        Self::DuplicateLeftOut,
        Self::AuthorityIsLeaf,
    ];

    /// Those that can refuse what is new.
    pub const REFUSALS: [Self; 6] = [
        Self::IssuerNotCa,
        Self::SignatureMismatch,
        Self::PathTooLong,
        Self::NameNotPermitted,
        Self::UnusableAuthority,
        Self::BlockLeftOut,
    ];

    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Self::IssuerNotCa => "IssuerNotCa",
            Self::SignatureMismatch => "SignatureMismatch",
            Self::PathTooLong => "PathTooLong",
            Self::NameNotPermitted => "NameNotPermitted",
            Self::UnusableAuthority => "UnusableAuthority",
            Self::Expired => "Expired",
            Self::NotYetValid => "NotYetValid",
            Self::PublicDemoKey => "PublicDemoKey",
            Self::IssuerExpired => "IssuerExpired",
            Self::IssuerNotYetValid => "IssuerNotYetValid",
            Self::OddDates => "OddDates",
            Self::WrongPurpose => "WrongPurpose",
            Self::WrongKeyUsage => "WrongKeyUsage",
            Self::IssuerCannotSign => "IssuerCannotSign",
            Self::WeakSignature => "WeakSignature",
            Self::WeakKey => "WeakKey",
            Self::ClientsRefuse => "ClientsRefuse",
            Self::LeafIsCa => "LeafIsCa",
            Self::NoNames => "NoNames",
            Self::OddNames => "OddNames",
            Self::StapleRequired => "StapleRequired",
            Self::NeverChosen => "NeverChosen",
            Self::IssuerExpiresSoon => "IssuerExpiresSoon",
            Self::BlockLeftOut => "BlockLeftOut",
            Self::DuplicateLeftOut => "DuplicateLeftOut",
            Self::AuthorityIsLeaf => "AuthorityIsLeaf",
        }
    }
}

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grade {
    /// It can never verify: what is new is refused.
    Refusal,
    /// Many clients refuse it.
    Warning,
}

/// Something found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Why, in one word.
    pub reason: Reason,
    /// How much it weighs.
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

/// The first that refuses what is new.
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
    fn each_reason_has_a_word_of_its_own_and_is_listed_once() {
        let words: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(words.len(), Reason::ALL.len());
        assert!(Reason::ALL.is_sorted(), "the worst first");
        for word in words {
            assert!(
                word.bytes().all(|byte| byte.is_ascii_alphabetic()),
                "{word}"
            );
        }
    }
}
