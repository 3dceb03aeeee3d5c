//! Judges clients' certificates: chain, purpose, revocation, rules. A handshake and a connection that lives are judged by the
//! same function, at the time that is handed in.
//!
//! It must not read a clock, nor remember a client.

pub mod configured;
mod expiry;
pub mod refusal;

use std::sync::Arc;

use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{
    EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeId, KeyPurposeIdIter, VerifiedPath,
};

use super::der;
use super::identity::Identity;
use super::identity::rules::Rules;
use super::provider::provider;
use super::revocation::{self, Revocations, Status};
pub use expiry::next_expiry;
pub use refusal::{Reason, Refusal};

/// Which purposes are accepted, if the certificate has any (extended key usage).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// clientAuth.
    Client,
    /// clientAuth or serverAuth: public CAs issue for servers only.
    ClientOrServer,
}

/// Which certificates of a chain are looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Depth {
    /// The client's own.
    Leaf,
    /// The client's, and each CA below the trust anchor.
    Chain,
}

/// What becomes of a certificate whose status is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WhenUnknown {
    /// It is accepted.
    Accept,
    /// It is refused.
    Refuse,
}

/// How revocation is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Revocation {
    /// Which certificates are looked up.
    pub depth: Depth,
    /// If the issuer's list is outdated, or from the future, or missing.
    pub when_outdated: WhenUnknown,
    /// If the issuer has no list, also while lists are missing.
    pub when_unlisted: WhenUnknown,
}

/// How clients are judged.
#[derive(Clone, Debug)]
pub struct Clients {
    /// Trust anchors.
    pub roots: Arc<RootCertStore>,
    /// Accepted purposes.
    pub purpose: Purpose,
    /// Revocation, if it is judged.
    pub revocation: Option<Revocation>,
    /// Rules, if not every name may connect.
    pub rules: Option<Rules>,
}

impl Clients {
    /// Judges a client by its certificate, those that it sent with it, and the lists of the time.
    ///
    /// # Errors
    ///
    /// It is refused. The purpose is the reason only if there is no other.
    pub fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        lists: &Revocations,
        now: UnixTime,
    ) -> Result<(), Refusal> {
        let chain = |accepted| self.chain((leaf, intermediates), lists, now, accepted);
        match chain(Accepted::of(self.purpose)) {
            Err(Refusal::Purpose) => {
                chain(Accepted::Any)?;
                self.rules(leaf)?;
                Err(Refusal::Purpose)
            }
            judged => judged.and_then(|()| self.rules(leaf)),
        }
    }

    fn chain(
        &self,
        (leaf, intermediates): (&CertificateDer<'_>, &[CertificateDer<'_>]),
        lists: &Revocations,
        now: UnixTime,
        accepted: Accepted,
    ) -> Result<(), Refusal> {
        let leaf = EndEntityCert::try_from(leaf).map_err(Refusal::of)?;
        let algorithms = provider().signature_verification_algorithms.all;
        let at = timestamp(now);
        let revocation = self.revocation.as_ref();
        let verify = |path: &VerifiedPath<'_>| match revocation {
            Some(revocation) => revocation.check(path, lists, (now, at)),
            None => Ok(()),
        };
        let roots = &self.roots.roots;
        leaf.verify_for_usage(
            algorithms,
            roots,
            intermediates,
            now,
            accepted,
            None,
            Some(&verify),
        )
        .map(|_| ())
        .map_err(Refusal::of)
    }

    fn rules(&self, leaf: &CertificateDer<'_>) -> Result<(), Refusal> {
        let Some(rules) = &self.rules else {
            return Ok(());
        };
        let identity = Identity::of(leaf).map_err(|_| Refusal::Unreadable)?;
        if rules.allow(&identity) {
            Ok(())
        } else {
            Err(Refusal::NoRuleMatches)
        }
    }
}

fn timestamp(time: UnixTime) -> Timestamp {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}

impl Revocation {
    /// Checks the certificates of a path. An unknown status refuses with the library's error for it.
    fn check(
        self,
        path: &VerifiedPath<'_>,
        lists: &Revocations,
        time: (UnixTime, Timestamp),
    ) -> Result<(), webpki::Error> {
        let leaf = path.end_entity();
        let authorities: Vec<_> = path.intermediate_certificates().collect();
        let keys: Vec<_> = authorities
            .iter()
            .map(|one| one.subject_public_key_info())
            .collect();
        let anchor = &*path.anchor().subject_public_key_info;
        // The key above the certificate at a position, the leaf's at 0.
        let key_above = |index: usize| match keys.get(index) {
            Some(key) => der::first(key).map_or(&[][..], |(key, _)| key.content),
            None => anchor,
        };
        let certificate = revocation::Certificate {
            issuer: leaf.issuer(),
            issuer_spki: key_above(0),
            serial: leaf.serial(),
            is_ca: false,
        };
        self.accept(lists.status(certificate, time.1), time)?;
        if self.depth == Depth::Leaf {
            return Ok(());
        }
        for (index, one) in authorities.iter().enumerate() {
            let certificate = revocation::Certificate {
                issuer: one.issuer(),
                issuer_spki: key_above(index + 1),
                serial: one.serial(),
                is_ca: true,
            };
            self.accept(lists.status(certificate, time.1), time)?;
        }
        Ok(())
    }

    fn accept(self, status: Status, (now, at): (UnixTime, Timestamp)) -> Result<(), webpki::Error> {
        let outdated = |seconds: i64| {
            let seconds = u64::try_from(seconds).unwrap_or_default();
            let next_update = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
            Err(webpki::Error::CrlExpired {
                time: now,
                next_update,
            })
        };
        let refuses_outdated = self.when_outdated == WhenUnknown::Refuse;
        match status {
            Status::Revoked => Err(webpki::Error::CertRevoked),
            Status::Outdated(date) | Status::NotYetValid(date) if refuses_outdated => {
                outdated(date.as_second())
            }
            Status::Incomplete | Status::Missing if refuses_outdated => outdated(at.as_second()),
            Status::Missing | Status::Unlisted if self.when_unlisted == WhenUnknown::Refuse => {
                Err(webpki::Error::UnknownRevocationStatus)
            }
            Status::Good
            | Status::Unlisted
            | Status::Incomplete
            | Status::Missing
            | Status::Outdated(_)
            | Status::NotYetValid(_) => Ok(()),
        }
    }
}

/// The purposes of which one is needed, if a certificate has any.
#[derive(Clone, Copy)]
enum Accepted {
    Any,
    OneOf(&'static [KeyPurposeId<'static>]),
}

/// id-kp-clientAuth and id-kp-serverAuth (RFC 5280, section 4.2.1.12).
const CLIENT: KeyPurposeId<'static> = KeyPurposeId::new(&[0x2B, 6, 1, 5, 5, 7, 3, 2]);
const SERVER: KeyPurposeId<'static> = KeyPurposeId::new(&[0x2B, 6, 1, 5, 5, 7, 3, 1]);

impl Accepted {
    fn of(purpose: Purpose) -> Self {
        Self::OneOf(match purpose {
            Purpose::Client => &[CLIENT],
            Purpose::ClientOrServer => &[CLIENT, SERVER],
        })
    }
}

impl ExtendedKeyUsageValidator for Accepted {
    /// Called for each certificate of a path, also where there are no purposes: then the list is empty.
    fn validate(&self, purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        let Self::OneOf(accepted) = self else {
            return Ok(());
        };
        let mut is_empty = true;
        for purpose in purposes {
            is_empty = false;
            if accepted.contains(&purpose?) {
                return Ok(());
            }
        }
        if is_empty {
            Ok(())
        } else {
            Err(webpki::Error::EmptyEkuExtension)
        }
    }
}
