//! Maps the findings of the terminator's judge to reasons of conditions. It must not compile if one is missing.

use mqtt_tls_judge::finding::Reason as Found;
use mqtt_tls_judge::{authorities, certificate};

use super::vocabulary::Reason;

impl From<Found> for Reason {
    fn from(found: Found) -> Self {
        match found {
            Found::IssuerNotCa => Self::IssuerNotCa,
            Found::SignatureMismatch => Self::SignatureMismatch,
            Found::PathTooLong => Self::PathTooLong,
            Found::NameNotPermitted => Self::NameNotPermitted,
            Found::UnusableAuthority => Self::UnusableAuthority,
            Found::Expired => Self::Expired,
            Found::NotYetValid => Self::NotYetValid,
            Found::PublicDemoKey => Self::PublicDemoKey,
            Found::IssuerExpired => Self::IssuerExpired,
            Found::IssuerNotYetValid => Self::IssuerNotYetValid,
            Found::OddDates => Self::OddDates,
            Found::WrongPurpose => Self::WrongPurpose,
            Found::WrongKeyUsage => Self::WrongKeyUsage,
            Found::IssuerCannotSign => Self::IssuerCannotSign,
            Found::WeakSignature => Self::WeakSignature,
            Found::WeakKey => Self::WeakKey,
            Found::ClientsRefuse => Self::ClientsRefuse,
            Found::LeafIsCa => Self::LeafIsCa,
            Found::NoNames => Self::NoNames,
            Found::OddNames => Self::OddNames,
            Found::StapleRequired => Self::StapleRequired,
            Found::NeverChosen => Self::NeverChosen,
            Found::IssuerExpiresSoon => Self::IssuerExpiresSoon,
            Found::BlockLeftOut => Self::BlockLeftOut,
            Found::DuplicateLeftOut => Self::DuplicateLeftOut,
            Found::AuthorityIsLeaf => Self::AuthorityIsLeaf,
        }
    }
}

impl From<&certificate::Error> for Reason {
    fn from(error: &certificate::Error) -> Self {
        use certificate::Error;
        match error {
            Error::BrokenPem(_) => Self::BrokenPem,
            Error::ChainOutOfOrder(_) => Self::ChainOutOfOrder,
            Error::ChainTooLong(_) => Self::ChainTooLong,
            Error::EncryptedPrivateKey(_) => Self::EncryptedPrivateKey,
            Error::NeverVerifies(finding) => finding.reason.into(),
            Error::KeyMismatch(_) => Self::KeyMismatch,
            Error::NoCertificate(_) => Self::NoCertificate,
            Error::NoPrivateKey(_) => Self::NoPrivateKey,
            Error::SeveralPrivateKeys(_) => Self::SeveralPrivateKeys,
            Error::UnusableCertificate { .. } => Self::UnusableCertificate,
            Error::UnusablePrivateKey { .. } => Self::UnusablePrivateKey,
        }
    }
}

impl From<&authorities::Error> for Reason {
    fn from(error: &authorities::Error) -> Self {
        use authorities::Error;
        match error {
            Error::BrokenPem(_) => Self::BrokenPem,
            Error::Found(finding) => finding.reason.into(),
            Error::NoCertificate(_) => Self::NoCertificate,
            Error::PrivateKey(_) => Self::PrivateKeyInBundle,
            Error::UnusableCertificate { .. } => Self::UnusableCertificate,
        }
    }
}

#[cfg(test)]
mod tests {
    use mqtt_tls_judge::finding::Reason as Found;

    use super::Reason;

    #[test]
    fn names_match_the_terminators() {
        for found in Found::ALL {
            assert_eq!(Reason::from(found).name(), found.name());
        }
    }
}
