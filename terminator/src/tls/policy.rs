//! What TLS offers, and with which changes of it a client could no longer connect, from what its ClientHello offers.
//! Pure.
//!
//! It must not decide about a client: rustls does.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use mqtt_tls_config::key::Named;
use mqtt_tls_config::{Group, Suite, Tls, TlsVersion};

use super::hello::Hash;
use super::hello::offered::{KeyKind, Offered, group_bit, suite_bit};

/// What TLS offers, as sets of bits: bit n is the n-th suite, group or kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    tls12: bool,
    tls13: bool,
    suites: u16,
    groups: u8,
    keys: u8,
}

/// A change of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// TLS 1.3 only.
    Tls13Only,
    /// One suite less.
    Without(Suite),
    /// One group less.
    WithoutGroup(Group),
    /// A certificate with a key of one kind, and no other.
    Only(KeyKind),
}

/// What became of a client's handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The client offers nothing that it could be served with.
    Incompatible,
    /// It is served. Bit n is set if it could not connect after the n-th change.
    Served(u16),
}

impl Change {
    /// Number of changes.
    pub(crate) const COUNT: usize = 16;

    /// Returns all changes.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let suites = Suite::ALL.iter().copied().map(Self::Without);
        let groups = Group::ALL.iter().copied().map(Self::WithoutGroup);
        let keys = [KeyKind::P256, KeyKind::Rsa].map(Self::Only);
        std::iter::once(Self::Tls13Only)
            .chain(suites)
            .chain(groups)
            .chain(keys)
    }

    /// Returns the changed key, and the value that it would have or no longer have: labels of the metric.
    pub(crate) fn labels(self) -> (&'static str, &'static str) {
        match self {
            Self::Tls13Only => ("min_version", "Tls13"),
            Self::Without(suite) => ("without_suite", suite.name()),
            Self::WithoutGroup(group) => ("without_group", group.name()),
            Self::Only(KeyKind::Rsa) => ("certificate", "RSA"),
            Self::Only(_) => ("certificate", "ECDSA"),
        }
    }
}

impl Policy {
    /// Returns what TLS offers with certificates whose keys are of these kinds.
    pub(crate) fn new(tls: &Tls, keys: impl Iterator<Item = KeyKind>) -> Self {
        Self {
            tls12: tls.has(TlsVersion::Tls12),
            tls13: tls.has(TlsVersion::Tls13),
            suites: tls.suites.iter().fold(0, |all, one| all | suite_bit(*one)),
            groups: tls.groups.iter().fold(0, |all, one| all | group_bit(*one)),
            keys: keys.fold(0, |all, one| all | one.bit()),
        }
    }

    /// Returns what becomes of a client with this offer that is served.
    pub(crate) fn verdict(self, mut offered: Offered) -> Verdict {
        if !self.fits(offered) {
            // With no certificate on a curve that the client offers, it gets one on another curve, and may accept it.
            offered.keys12 = offered.any_keys12;
            // Otherwise nothing is known about changes.
            if !self.fits(offered) {
                return Verdict::Served(0);
            }
        }
        let changes = Change::all().enumerate();
        let fails = changes.filter(|(_, change)| !self.with(*change).fits(offered));
        Verdict::Served(fails.fold(0, |all, (index, _)| all | 1 << index))
    }

    /// Reports whether TLS 1.3 would ask a client for a share of another group, with a suite whose hash is not that of the
    /// client's session.
    pub(crate) fn would_retry(self, offered: Offered, session: Hash) -> bool {
        let suites = self.suites & offered.suites;
        let mut same_hash = Suite::ALL.iter().filter(|suite| {
            suite.version() == TlsVersion::Tls13
                && (**suite == Suite::Aes256) == (session == Hash::Sha384)
        });
        let has_share = self.groups & offered.shares != 0;
        let has_hash = same_hash.any(|suite| suites & suite_bit(*suite) != 0);
        self.tls13 && offered.tls13 && !has_share && !has_hash
    }

    /// Reports whether a suite is on.
    pub(crate) fn has(self, suite: Suite) -> bool {
        self.suites & suite_bit(suite) != 0
    }

    /// Reports whether there is a suite of TLS 1.3 with each hash.
    pub(crate) fn has_all_hashes(self) -> bool {
        self.has(Suite::Aes256) && (self.has(Suite::Aes128) || self.has(Suite::ChaCha20))
    }

    fn with(mut self, change: Change) -> Self {
        match change {
            Change::Tls13Only => self.tls12 = false,
            Change::Without(suite) => self.suites &= !suite_bit(suite),
            Change::WithoutGroup(group) => self.groups &= !group_bit(group),
            Change::Only(key) => self.keys = key.bit(),
        }
        self
    }

    /// Reports whether a client has a version, a group, a kind of key and a suite in common with it, as rustls decides.
    fn fits(self, offered: Offered) -> bool {
        let (version, keys) = if self.tls13 && offered.tls13 {
            (TlsVersion::Tls13, offered.keys13)
        } else if self.tls12 && offered.tls12 {
            (TlsVersion::Tls12, offered.keys12)
        } else {
            return false;
        };
        let keys = keys & self.keys;
        let groups = self.groups & offered.groups;
        let mut groups_of = Group::ALL.iter().filter(|group| group.is_of(version));
        let suites = self.suites & offered.suites;
        let mut suites_of = Suite::ALL.iter().filter(|suite| suite.version() == version);
        let has_key = |suite: &Suite| {
            (suite.fits(true) && keys & KeyKind::Rsa.bit() != 0)
                || (suite.fits(false) && keys & !KeyKind::Rsa.bit() != 0)
        };
        groups_of.any(|group| groups & group_bit(*group) != 0)
            && suites_of.any(|suite| suites & suite_bit(*suite) != 0 && has_key(suite))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mqtt_tls_config::key::Named;
    use mqtt_tls_config::{Alpn, Group, Suite, Tls, TlsVersion};
    use mqtt_tls_judge::certificate::{self, Certificate};
    use mqtt_tls_judge::pem::Part;
    use mqtt_tls_judge::provider::provider;
    use proptest::prelude::*;
    use rustls::pki_types::ServerName;
    use rustls::version::{TLS12, TLS13};
    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::{Change, KeyKind, Offered, Policy, Verdict, group_bit, suite_bit};
    use crate::tls::hello::Needs;
    use crate::tls::session::Session;
    use crate::tls::tickets::{Keys, Scope, Tickets};
    use crate::tls::{ClientTrust, Offering, Served};

    fn certificate(algorithm: &'static rcgen::SignatureAlgorithm) -> Certificate {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let chain = params.self_signed(&key).unwrap().pem();
        let pem = format!("{chain}{}", key.serialize_pem());
        certificate::judge(&[Part::file(&pem)]).unwrap()
    }

    /// Returns the ClientHello of rustls with these versions, suites and groups; `None` if it cannot have them.
    fn hello(versions: (bool, bool), suites: &[Suite], groups: &[Group]) -> Option<Vec<u8>> {
        let mut limited = (*provider()).clone();
        let has = |number: u16| suites.iter().any(|suite| suite.number() == number);
        limited
            .cipher_suites
            .retain(|suite| has(suite.suite().into()));
        let has = |number: u16| groups.iter().any(|group| group.number() == number);
        limited.kx_groups.retain(|group| has(group.name().into()));
        let on = [(versions.0, &TLS12), (versions.1, &TLS13)];
        let on = on
            .into_iter()
            .filter_map(|(is_on, version)| is_on.then_some(version));
        let config = ClientConfig::builder_with_provider(Arc::new(limited))
            .with_protocol_versions(&on.collect::<Vec<_>>())
            .ok()?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).ok()?;
        let mut hello = Vec::new();
        client.write_tls(&mut hello).unwrap();
        Some(hello)
    }

    fn suites() -> impl Strategy<Value = Vec<Suite>> {
        use mqtt_tls_config::key::Named;
        proptest::sample::subsequence(Suite::ALL.to_vec(), 1..=9)
    }

    fn groups() -> impl Strategy<Value = Vec<Group>> {
        use mqtt_tls_config::key::Named;
        proptest::sample::subsequence(Group::ALL.to_vec(), 1..=4)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        /// Otherwise the preview would be wrong.
        #[test]
        fn rustls_answers_the_clients_that_fit(
            versions in prop_oneof![Just((true, true)), Just((true, false)), Just((false, true))],
            offered in (suites(), groups()),
            served in (suites(), groups()),
            on in prop_oneof![
                2 => Just((TlsVersion::Tls12, TlsVersion::Tls13)),
                1 => Just((TlsVersion::Tls12, TlsVersion::Tls12)),
                1 => Just((TlsVersion::Tls13, TlsVersion::Tls13)),
            ],
        ) {
            let tls = Tls {
                suites: served.0,
                groups: served.1,
                min_version: on.0,
                max_version: on.1,
                ..Tls::default()
            };
            let hello = hello(versions, &offered.0, &offered.1);
            prop_assume!(hello.is_some() && tls.conflict().is_none());
            prop_assume!(tls.misfit(false).is_none());
            let mut hello = hello.unwrap();
            let (ecdsa, alpn) = (certificate(&rcgen::PKCS_ECDSA_P256_SHA256), Alpn::default());
            let offering = Offering { tls: &tls, alpn: &alpn };
            let keys = Arc::new(Keys::own().unwrap());
            let tickets = Tickets::new(&keys, Scope::of(&[]));
            let served = Served::new(
                (&[ecdsa], &[]),
                (&ClientTrust::Disabled, &Arc::default()),
                offering,
                tickets,
            ).unwrap();
            let needs = Needs::read(&hello);
            let mut session = Session::new(served.to(&needs), served.verifies()).unwrap();
            let answered = session.receive(&mut hello, &mut Vec::new());
            // RFC 8422 lets the client's groups apply to the certificate's curve, and rustls does not ask.
            let is_of_tls13 = needs.offered.tls13 && on.1 == TlsVersion::Tls13;
            prop_assume!(is_of_tls13 || offered.1.contains(&Group::P256));
            let fits = served.policy().fits(needs.offered);
            prop_assert_eq!(answered.is_ok(), fits, "{:?} {:?}", answered, needs.offered);
        }
    }

    /// RFC 8422 lets the client's groups apply to the certificate's curve, and rustls does not ask.
    #[test]
    fn a_client_of_tls_1_2_that_is_served_on_another_curve_fails_with_tls_1_3_only() {
        let tls = Tls::default();
        let policy = Policy::new(&tls, std::iter::once(KeyKind::P256));
        let offered = Offered {
            tls12: true,
            suites: suite_bit(Suite::EcdsaAes128),
            groups: group_bit(Group::X25519),
            any_keys12: KeyKind::P256.bit(),
            ..Offered::default()
        };
        let Verdict::Served(fails) = policy.verdict(offered) else {
            panic!("it is served");
        };
        let failing = Change::all()
            .enumerate()
            .filter(|(index, _)| fails & (1 << index) != 0);
        let failing: Vec<_> = failing.map(|(_, change)| change.labels()).collect();
        let expected = [
            ("min_version", "Tls13"),
            ("without_suite", Suite::EcdsaAes128.name()),
            ("without_group", Group::X25519.name()),
            ("certificate", "RSA"),
        ];
        assert_eq!(failing, expected);
    }

    #[test]
    fn each_change_has_labels_of_its_own() {
        let labels: std::collections::BTreeSet<_> = Change::all().map(Change::labels).collect();
        assert_eq!(labels.len(), Change::COUNT);
        assert_eq!(Change::all().count(), Change::COUNT);
    }
}
