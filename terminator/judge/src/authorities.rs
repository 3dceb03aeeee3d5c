//! Validates CA bundles: the trust anchors for client certificates.
//!
//! It must not read a clock or a file. It ignores the dates of an authority, since trust anchors have none
//! (RFC 5280, section 6.1.1). Ignoring a block could lock devices out, so each ignored block is reported, and a
//! new bundle that has one is rejected.

use std::fmt;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::algorithm::Algorithm;
use super::facts::{Facts, sha256};
use super::finding::{Finding, Grade, Reason, first_refusal};
use super::kind::{self, Kind};
use super::pem::{self, Content, Part};
use super::refusal::Refusal;
use super::revocation::crl::Issuer;
use super::signature::{self, Fit};
use super::sorted::{ignored, instead};
use super::{leaf, name};

/// Trust anchors for client certificates; at least one.
#[derive(Clone)]
pub struct Authorities {
    roots: Arc<RootCertStore>,
    /// SHA-256 of each certificate.
    fingerprints: Arc<Vec<String>>,
    findings: Arc<Vec<Finding>>,
    issuers: Arc<Vec<Issuer>>,
}

/// Errors in a CA bundle.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A block cannot be parsed.
    #[error("{0}")]
    BrokenPem(pem::Error),
    /// Part of a new bundle is unusable.
    #[error("{0}")]
    Found(Finding),
    /// There is no certificate.
    #[error("there is no certificate{0}")]
    NoCertificate(String),
    /// The bundle contains a private key.
    #[error("{0} is a private key; a CA bundle must contain certificates only; remove the key")]
    PrivateKey(pem::Place),
    /// A certificate cannot be a trust anchor.
    #[error("the certificate in {place} cannot be used: {why}")]
    UnusableCertificate {
        /// Position of the block.
        place: pem::Place,
        /// Cause, from the library.
        why: String,
    },
}

impl Error {
    /// Returns the reason, one of a fixed set, for metrics and conditions.
    pub fn reason(&self) -> Refusal {
        match self {
            Self::BrokenPem(_) => Refusal::BrokenPem,
            Self::Found(finding) => Refusal::Found(finding.reason),
            Self::NoCertificate(_) => Refusal::NoCertificate,
            Self::PrivateKey(_) => Refusal::PrivateKeyInBundle,
            Self::UnusableCertificate { .. } => Refusal::UnusableCertificate,
        }
    }

    /// Returns the error for a missing bundle.
    pub fn nowhere() -> Self {
        Self::NoCertificate(ADVICE.to_owned())
    }
}

const ADVICE: &str = "; add the CA certificates here as CERTIFICATE blocks";

/// Validates a PEM bundle of authorities.
///
/// # Errors
///
/// Returns the first problem.
pub fn judge(part: Part<'_>) -> Result<Authorities, Error> {
    let mut bundle = Bundle::default();
    for block in pem::blocks(&[part]).map_err(Error::BrokenPem)? {
        bundle.take(block)?;
    }
    bundle.into_authorities(part)
}

/// A bundle under construction.
#[derive(Default)]
struct Bundle {
    certificates: Vec<CertificateDer<'static>>,
    roots: Option<RootCertStore>,
    /// Number of certificates that a client certificate can chain to.
    usable: usize,
    has_blocks: bool,
    others: Vec<(pem::Place, Kind)>,
    findings: Vec<Finding>,
}

impl Bundle {
    fn take(&mut self, block: pem::Block) -> Result<(), Error> {
        self.has_blocks = true;
        let pem::Block { place, content } = block;
        match content {
            Content::Certificate {
                der,
                is_for_clients,
            } => return self.add(place, der, is_for_clients),
            // Earlier releases ignored keys under other labels; rejecting them would take a listener down.
            Content::PrivateKey(_) | Content::EncryptedKey if kind::was_known(&place.label) => {
                return Err(Error::PrivateKey(place));
            }
            Content::PrivateKey(_) | Content::EncryptedKey => {
                let message = Error::PrivateKey(place).to_string();
                self.findings
                    .push(Finding::refusal(Reason::BlockLeftOut, message));
            }
            Content::Other(kind) => self.others.push((place, kind)),
        }
        Ok(())
    }

    fn add(
        &mut self,
        place: pem::Place,
        der: CertificateDer<'static>,
        is_for_clients: bool,
    ) -> Result<(), Error> {
        let is_sure = kind::was_known(&place.label);
        if !is_for_clients {
            let message = format!(
                "{place} is ignored: it is marked as not trusted for clients; remove it, or mark it as trusted for \
                clientAuth"
            );
            self.findings
                .push(Finding::warning(Reason::BlockLeftOut, message));
            return Ok(());
        }
        let roots = self.roots.get_or_insert_with(RootCertStore::empty);
        if let Err(error) = roots.add(der.clone()) {
            let why = error.to_string();
            if is_sure {
                return Err(Error::UnusableCertificate { place, why });
            }
            let message = format!("{place} is ignored: it cannot be used: {why}");
            self.findings
                .push(Finding::refusal(Reason::BlockLeftOut, message));
            return Ok(());
        }
        let (findings, is_usable) = findings(&place, &der);
        self.findings.extend(findings);
        self.usable += usize::from(is_usable);
        self.certificates.push(der);
        Ok(())
    }

    fn into_authorities(self, part: Part<'_>) -> Result<Authorities, Error> {
        let Self {
            certificates,
            roots,
            usable,
            has_blocks,
            others,
            mut findings,
        } = self;
        let Some(roots) = roots.filter(|roots| !roots.is_empty()) else {
            // An ignored block explains more than "there is no certificate".
            if let Some(finding) = findings.first() {
                return Err(Error::NoCertificate(format!(": {finding}")));
            }
            let filled: &[Option<&str>] = if has_blocks { &[None] } else { &[] };
            return Err(Error::NoCertificate(instead(
                &[part],
                filled,
                &others,
                ADVICE,
            )));
        };
        findings.extend(others.iter().filter_map(|(place, kind)| {
            let grade = match kind {
                Kind::Crl | Kind::DhParameters | Kind::DsaParameters => Grade::Warning,
                _ => Grade::Refusal,
            };
            ignored(place, *kind).map(|finding| Finding { grade, ..finding })
        }));
        if usable == 0 {
            for finding in &mut findings {
                finding.grade = Grade::Refusal;
            }
        }
        findings.sort_by_key(|finding| finding.reason);
        Ok(Authorities {
            roots: Arc::new(roots),
            fingerprints: Arc::new(certificates.iter().map(|der| sha256(der)).collect()),
            findings: Arc::new(findings),
            issuers: Arc::new(
                certificates
                    .iter()
                    .filter_map(|der| Issuer::of(der))
                    .collect(),
            ),
        })
    }
}

/// Returns the finding about one authority, and whether a client certificate can chain to it.
fn findings(place: &pem::Place, der: &CertificateDer<'_>) -> (Option<Finding>, bool) {
    // The library accepts it and this parser does not: skip the other checks.
    let Ok((_, parsed)) = X509Certificate::from_der(der) else {
        return (None, true);
    };
    let described = format!(
        "the certificate of {} in {place}",
        Facts::of(&parsed, der).name()
    );
    let algorithm = Algorithm::of_public(parsed.subject_pki.raw);
    if !algorithm.is_usable() {
        let message = format!(
            "{described} has {}, which cannot verify client certificates; use a CA with RSA of 2048 to 8192 \
            bits, ECDSA P-256, P-384 or P-521, or Ed25519",
            algorithm.describe()
        );
        let finding = Finding::warning(Reason::UnusableAuthority, message);
        return (Some(finding), false);
    }
    let constraints = parsed.basic_constraints().ok().flatten();
    let is_old = parsed.version().0 == 0;
    if leaf::is_ca(&parsed) || (constraints.is_none() && is_old) {
        return (None, true);
    }
    let is_self_signed = name::is_same(parsed.subject(), parsed.issuer())
        && signature::fit(der, parsed.subject_pki.raw) == Fit::Fits;
    if is_self_signed {
        let message = format!(
            "{described} is not a CA (basicConstraints): it admits only the one device that has this certificate"
        );
        let finding = Finding::warning(Reason::AuthorityIsLeaf, message);
        return (Some(finding), true);
    }
    let message = format!(
        "{described} is not a CA (basicConstraints), so no client certificate can chain to it; replace it with the \
        certificate of the CA that issued it ({})",
        name::shown(parsed.issuer())
    );
    let finding = Finding::warning(Reason::UnusableAuthority, message);
    (Some(finding), false)
}

impl Authorities {
    /// Returns the trust anchors for rustls.
    pub fn roots(&self) -> &Arc<RootCertStore> {
        &self.roots
    }

    /// Returns the authorities as issuers of revocation lists.
    pub fn issuers(&self) -> &[Issuer] {
        &self.issuers
    }

    /// Returns the findings, most severe first.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Reports whether both bundles have the same certificates.
    pub fn is_same(&self, other: &Self) -> bool {
        self.fingerprints == other.fingerprints
    }

    /// Returns the bundle if it is good enough for first use.
    ///
    /// # Errors
    ///
    /// No client certificate can chain to it, or a block was ignored.
    pub fn strictly(self) -> Result<Self, Error> {
        match first_refusal(&self.findings) {
            Some(finding) => Err(Error::Found(finding.clone())),
            None => Ok(self),
        }
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authorities({})", self.roots.len())
    }
}
