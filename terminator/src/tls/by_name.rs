//! Chooses the certificate that a client gets. Pure.
//!
//! It must not know what else is negotiated.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::sync::Arc;

use mqtt_tls_config::{Tls, TlsVersion};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, NamedGroup, SignatureScheme};

use super::drawn;
use super::hello::offered::KeyKind;
use crate::trial::{Fit, Term};
use mqtt_tls_judge::Date;
use mqtt_tls_judge::certificate::Certificate;

/// A certificate that may take the place of another.
#[derive(Clone)]
pub(crate) struct Candidate {
    /// The index of that, among the certificates of the listener or host.
    pub(crate) index: usize,
    /// The trial that decides which clients get it.
    pub(crate) id: String,
    pub(crate) certificate: Certificate,
}

/// Selects a certificate by the requested host name (RFC 6066, section 3) and the client's signature schemes.
#[derive(Debug)]
pub(super) struct ByName {
    /// In the order of the configuration; the first is the default.
    entries: Vec<Entry>,
    /// Whether TLS 1.3 is on.
    has_tls13: bool,
}

#[derive(Debug)]
struct Entry {
    current: Chain,
    /// What may take its place, with the trial's ID.
    candidate: Option<(String, Chain)>,
}

impl Entry {
    /// Returns the chain that is served if the candidates of a trial have taken their places.
    fn after(&self, trial: Option<&str>) -> &Chain {
        match &self.candidate {
            Some((id, candidate)) if Some(&**id) == trial => candidate,
            _ => &self.current,
        }
    }
}

#[derive(Debug)]
struct Chain {
    /// When it is valid.
    term: Term,
    names: Vec<String>,
    /// Curve of an ECDSA key.
    curve: Option<NamedGroup>,
    certified: Arc<CertifiedKey>,
}

impl Chain {
    fn of(certificate: &Certificate) -> Self {
        let facts = certificate.facts();
        let seconds = |date: Date| u64::try_from(date.as_second()).unwrap_or(0);
        Self {
            term: seconds(facts.not_before)..=seconds(facts.not_after),
            names: facts.dns_names.clone(),
            curve: match key_kind(certificate) {
                Some(KeyKind::P256) => Some(NamedGroup::secp256r1),
                Some(KeyKind::P384) => Some(NamedGroup::secp384r1),
                Some(KeyKind::P521) => Some(NamedGroup::secp521r1),
                _ => None,
            },
            certified: Arc::clone(certificate.certified()),
        }
    }

    /// Reports whether one of its names covers a requested name, both in lower case.
    fn covers(&self, name: &str, exact: bool) -> bool {
        self.names.iter().any(|own| covers(own, name, exact))
    }

    /// Returns how well it fits a requested name: 0 exactly, 1 by a wildcard, 2 not.
    fn by_name(&self, name: &str) -> u8 {
        if self.covers(name, true) {
            0
        } else if self.covers(name, false) {
            1
        } else {
            2
        }
    }

    /// Reports whether a client can verify signatures by this key. In TLS 1.3 PKCS #1 cannot sign handshakes (RFC 8446,
    /// section 4.2.3).
    fn has_scheme(&self, hello: &ClientHello<'_>, has_tls13: bool) -> bool {
        let schemes = hello.signature_schemes();
        if !gets_tls13(hello, has_tls13) {
            return self.certified.key.choose_scheme(schemes).is_some();
        }
        let is_of_tls13 = |scheme: &&SignatureScheme| {
            use SignatureScheme::{RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512};
            !matches!(
                **scheme,
                RSA_PKCS1_SHA256 | RSA_PKCS1_SHA384 | RSA_PKCS1_SHA512
            )
        };
        let schemes: Vec<SignatureScheme> = schemes.iter().filter(is_of_tls13).copied().collect();
        self.certified.key.choose_scheme(&schemes).is_some()
    }

    /// Reports whether a client offers the certificate's curve. In TLS 1.2 its groups also apply to that (RFC 8422, section
    /// 5.1.1).
    fn has_curve(&self, hello: &ClientHello<'_>, has_tls13: bool) -> bool {
        let is_offered = |curve| {
            let groups = hello.named_groups();
            groups.is_none_or(|groups| groups.contains(&curve))
        };
        gets_tls13(hello, has_tls13) || self.curve.is_none_or(is_offered)
    }
}

/// Reports whether a client gets TLS 1.3: it does if it offers one of its suites, which begin with 0x13 (RFC 8446, appendix
/// B.4).
fn gets_tls13(hello: &ClientHello<'_>, has_tls13: bool) -> bool {
    let is_tls13 = |suite: &CipherSuite| u16::from(*suite) >> 8 == 0x13;
    has_tls13 && hello.cipher_suites().iter().any(is_tls13)
}

impl ByName {
    /// Reports whether a certificate covers a name in lower case.
    pub(super) fn has_name(&self, name: &str) -> bool {
        let mut entries = self.entries.iter();
        entries.any(|entry| entry.current.by_name(name) < 2)
    }

    pub(super) fn new(certificates: &[Certificate], candidates: &[Candidate], tls: &Tls) -> Self {
        let entry = |(index, certificate): (usize, &Certificate)| {
            let mut candidates = candidates.iter();
            let candidate = candidates.find(|candidate| candidate.index == index);
            Entry {
                current: Chain::of(certificate),
                candidate: candidate.map(|one| (one.id.clone(), Chain::of(&one.certificate))),
            }
        };
        Self {
            entries: certificates.iter().enumerate().map(entry).collect(),
            has_tls13: tls.has(TlsVersion::Tls13),
        }
    }

    /// Returns the index of the first certificate that the client can verify, in this order: exact name, matching wildcard, the
    /// default, any; after a trial, if one is given.
    fn choose(&self, hello: &ClientHello<'_>, name: &str, trial: Option<&str>) -> Option<usize> {
        let entries = self.entries.iter().map(|entry| entry.after(trial));
        let chosen = entries.enumerate().min_by_key(|(_, chain)| {
            // Some clients accept a curve that they do not offer for key exchange.
            let has_scheme = chain.has_scheme(hello, self.has_tls13);
            (
                !has_scheme,
                !chain.has_curve(hello, self.has_tls13),
                chain.by_name(name),
            )
        });
        chosen.map(|(index, _)| index)
    }

    /// Reports whether a client could be served after a trial by the candidate of the certificate that was chosen; `None` if the trial
    /// is not about it: no certificate fits it today, or it would get another one that is as good.
    fn fit(
        &self,
        hello: &ClientHello<'_>,
        name: &str,
        (index, trial): (usize, &str),
    ) -> Option<Fit> {
        let today = &self.entries.get(index)?.current;
        if !today.has_scheme(hello, self.has_tls13) {
            return None;
        }
        let chosen = self.choose(hello, name, Some(trial))?;
        let after = self.entries.get(chosen)?.after(Some(trial));
        let is_able = after.has_scheme(hello, self.has_tls13);
        match (chosen == index, is_able) {
            (true, true) => Some(Fit::Fits),
            (false, true) if after.by_name(name) <= today.by_name(name) => None,
            _ => Some(Fit::Unable),
        }
    }
}

impl ResolvesServerCert for ByName {
    /// Returns the certificate for a client, or its candidate if that is drawn for it.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello
            .server_name()
            .map(str::to_ascii_lowercase)
            .unwrap_or_default();
        // Never return None: rustls would send access_denied instead of the right alert for a client that can
        // verify none (RFC 8446, section 6.2).
        let index = self.choose(&hello, &name, None)?;
        let Entry { current, candidate } = self.entries.get(index)?;
        let drawn = candidate.as_ref().filter(|(id, chain)| {
            drawn::gets_candidate(id, &chain.term, || self.fit(&hello, &name, (index, id)))
        });
        let chain = drawn.map_or(current, |(_, candidate)| candidate);
        Some(Arc::clone(&chain.certified))
    }
}

/// Reports whether a certificate's name covers a requested name, both in lower case: exactly, or as a wildcard
/// for one label (RFC 6125, section 6.4.3).
fn covers(pattern: &str, name: &str, exact: bool) -> bool {
    if exact {
        return pattern == name;
    }
    let (Some(parent), Some((label, rest))) = (pattern.strip_prefix("*."), name.split_once('.'))
    else {
        return false;
    };
    !label.is_empty() && rest == parent
}

/// Returns the kind of a certificate's key.
pub(super) fn key_kind(certificate: &Certificate) -> Option<KeyKind> {
    match certificate.facts().key {
        "ECDSA P-256" => Some(KeyKind::P256),
        "ECDSA P-384" => Some(KeyKind::P384),
        "ECDSA P-521" => Some(KeyKind::P521),
        "Ed25519" => Some(KeyKind::Ed25519),
        "RSA" => Some(KeyKind::Rsa),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn names_are_matched_as_in_rfc_6125() {
        assert!(covers("a.example", "a.example", true));
        assert!(!covers("*.example", "a.example", true));
        assert!(covers("*.example", "a.example", false));
        assert!(!covers("*.example", "a.b.example", false));
        assert!(!covers("*.example", "example", false));
        assert!(!covers("a.example", "b.example", false));
    }
}
