//! Maps the findings of the terminator's judge to reasons of conditions. It must not compile if one is missing.

use mqtt_tls_judge::finding::Reason as Found;
use mqtt_tls_judge::refusal::Refusal;

use super::vocabulary::Reason;

impl From<Found> for Reason {
    fn from(found: Found) -> Self {
        match found {
            Found::IssuerNotCa => Self::IssuerNotCa,
            Found::SignatureMismatch => Self::SignatureMismatch,
            Found::PathTooLong => Self::PathTooLong,
            Found::NameNotPermitted => Self::NameNotPermitted,
            Found::TemporaryCertificate => Self::TemporaryCertificate,
            Found::UnusableAuthority => Self::UnusableAuthority,
            Found::Expired => Self::Expired,
            Found::NotYetValid => Self::NotYetValid,
            Found::PublicDemoKey => Self::PublicDemoKey,
            Found::ClientAuthAvoidable => Self::ClientAuthAvoidable,
            Found::ClientIdKept => Self::ClientIdKept,
            Found::CrlOutdated => Self::CrlOutdated,
            Found::IssuerExpired => Self::IssuerExpired,
            Found::IssuerNotYetValid => Self::IssuerNotYetValid,
            Found::OddDates => Self::OddDates,
            Found::WrongPurpose => Self::WrongPurpose,
            Found::WrongKeyUsage => Self::WrongKeyUsage,
            Found::IssuerCannotSign => Self::IssuerCannotSign,
            Found::WeakSignature => Self::WeakSignature,
            Found::WeakKey => Self::WeakKey,
            Found::ClientsRefuse => Self::ClientsRefuse,
            Found::NameNotCovered => Self::NameNotCovered,
            Found::LeafIsCa => Self::LeafIsCa,
            Found::NoNames => Self::NoNames,
            Found::OddNames => Self::OddNames,
            Found::StapleRequired => Self::StapleRequired,
            Found::LargeHandshake => Self::LargeHandshake,
            Found::NeverChosen => Self::NeverChosen,
            Found::ExpiresSoon => Self::ExpiresSoon,
            Found::IssuerExpiresSoon => Self::IssuerExpiresSoon,
            Found::BlockLeftOut => Self::BlockLeftOut,
            Found::DuplicateLeftOut => Self::DuplicateLeftOut,
            Found::AuthorityIsLeaf => Self::AuthorityIsLeaf,
        }
    }
}

impl From<Refusal> for Reason {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::BrokenPem => Self::BrokenPem,
            Refusal::ChainOutOfOrder => Self::ChainOutOfOrder,
            Refusal::ChainTooLong => Self::ChainTooLong,
            Refusal::EncryptedPrivateKey => Self::EncryptedPrivateKey,
            Refusal::Found(reason) => reason.into(),
            Refusal::KeyMismatch => Self::KeyMismatch,
            Refusal::NoCertificate => Self::NoCertificate,
            Refusal::NoPrivateKey => Self::NoPrivateKey,
            Refusal::PrivateKeyInBundle => Self::PrivateKeyInBundle,
            Refusal::SeveralPrivateKeys => Self::SeveralPrivateKeys,
            Refusal::UnusableCertificate => Self::UnusableCertificate,
            Refusal::UnusablePrivateKey => Self::UnusablePrivateKey,
        }
    }
}

#[cfg(test)]
mod tests {
    use mqtt_tls_judge::finding::Reason as Found;
    use mqtt_tls_judge::refusal::Refusal;

    use super::Reason;

    #[test]
    fn names_match_the_terminators() {
        for found in Found::ALL {
            assert_eq!(Reason::from(found).name(), found.name());
        }
        for refusal in Refusal::ALL {
            assert_eq!(Reason::from(refusal).name(), refusal.name());
        }
    }
}
