//! Validates server certificates. Every certificate accepted here can be served; no other one is rendered or
//! loaded.
//!
//! It must not read a clock or a file, and no error may show key material. It records dates; callers compare
//! them with the time. Certificates that earlier releases served are accepted with a finding; for new ones,
//! callers use [`Certificate::strictly`].

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{CertificateError, OtherError};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::X509Version;

use super::algorithm::Algorithm;
use super::chain::{self, Chain, Link};
use super::date::Date;
use super::error::USABLE;
use super::facts::sha256;
use super::finding::{self, Finding, Reason};
use super::kind::{self, Encoding};
use super::pem::{self, Part};
use super::sorted::{Candidate, FoundKey, NO_CERTIFICATE, sort};
use super::term::{self, Term};
use super::{leaf, rehearsal};

pub use super::error::{CHAIN_MAX, Error};
pub use super::facts::{Facts, Validity};

/// A certificate chain with its key, ready to be served.
#[derive(Clone)]
pub struct Certificate {
    certified: Arc<CertifiedKey>,
    facts: Arc<Facts>,
    findings: Arc<Vec<Finding>>,
    /// Validity periods of the issuers.
    terms: Arc<Vec<Term>>,
    /// Digest of the texts that it was read from.
    text_digest: TextDigest,
}

/// SHA-256 digest of texts with a chain and its key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TextDigest([u8; 32]);

impl TextDigest {
    /// Returns the digest of texts.
    pub fn of(parts: &[Part<'_>]) -> Self {
        let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        for part in parts {
            context.update(
                &u64::try_from(part.text().len())
                    .unwrap_or(u64::MAX)
                    .to_be_bytes(),
            );
            context.update(part.text().as_bytes());
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        Self(digest)
    }
}

/// Validates PEM with a chain, leaf first, and the leaf's key, in either order, in one text or in several.
///
/// # Errors
///
/// Returns the first problem, in the order in which a user would fix them.
pub fn judge(parts: &[Part<'_>]) -> Result<Certificate, Error> {
    let blocks = pem::blocks(parts).map_err(Error::BrokenPem)?;
    let mut findings = Vec::new();
    let (candidates, key) = sort(parts, blocks, &mut findings)?;
    let key = load(key)?;
    let chain = chain_of(&candidates, &key, &mut findings)?;
    findings.extend(chain.findings);
    findings.sort_by_key(|finding| finding.reason);
    let (leaf, issuers) = (&chain.links[0], &chain.links[1..]);
    let ders = chain.links.iter().map(|link| link.der.clone()).collect();
    let certified = Arc::new(CertifiedKey::new(ders, key.signing));
    rehearsal::handshake(&certified).map_err(|error| Error::UnusableCertificate {
        place: leaf.place.clone(),
        why: error.to_string(),
    })?;
    Ok(Certificate {
        certified,
        facts: Arc::new(leaf.facts.clone()),
        findings: Arc::new(findings),
        terms: Arc::new(issuers.iter().map(Term::of).collect()),
        text_digest: TextDigest::of(parts),
    })
}

/// A usable key.
struct Key {
    place: pem::Place,
    algorithm: Algorithm,
    signing: Arc<dyn SigningKey>,
}

fn load(found: FoundKey) -> Result<Key, Error> {
    let FoundKey { place, key } = found;
    let Some(key) = key else {
        return Err(Error::EncryptedPrivateKey(place));
    };
    let der: &[u8] = &key.der;
    let algorithm = Algorithm::of_private(key.encoding, der);
    let der: PrivateKeyDer<'_> = match key.encoding {
        Encoding::Pkcs1 => PrivatePkcs1KeyDer::from(der).into(),
        Encoding::Pkcs8 => PrivatePkcs8KeyDer::from(der).into(),
        Encoding::Sec1 => PrivateSec1KeyDer::from(der).into(),
    };
    if let Ok(signing) = any_supported_type(&der) {
        return Ok(Key {
            place,
            algorithm,
            signing,
        });
    }
    let described = algorithm.describe();
    let why = match algorithm {
        Algorithm::Unknown => format!("it is {described}, or damaged"),
        _ if algorithm.is_usable() => format!("it is {described}, and damaged"),
        _ => format!("it is {described}"),
    };
    Err(Error::UnusablePrivateKey { place, why })
}

/// Builds the chain from all certificates. Earlier releases ignored certificates under other labels; if those
/// break a chain that used to be served, ignores them again.
fn chain_of<'a>(
    candidates: &'a [Candidate],
    key: &Key,
    findings: &mut Vec<Finding>,
) -> Result<Chain<'a>, Error> {
    let error = match chain_for(candidates.iter(), key) {
        Ok(chain) => return Ok(chain),
        Err(error) => error,
    };
    let is_sure = |one: &&Candidate| kind::was_known(&one.place.label);
    if !candidates.iter().any(|one| is_sure(&one)) {
        return Err(error);
    }
    let Ok(chain) = chain_for(candidates.iter().filter(is_sure), key) else {
        return Err(error);
    };
    findings.extend(candidates.iter().filter(|one| !is_sure(one)).map(|one| {
        let message = format!("{} is ignored: with it {error}", one.place);
        Finding::warning(Reason::BlockLeftOut, message)
    }));
    Ok(chain)
}

fn chain_for<'a>(
    candidates: impl Iterator<Item = &'a Candidate>,
    key: &Key,
) -> Result<Chain<'a>, Error> {
    let links = candidates.map(parse).collect::<Result<Vec<_>, _>>()?;
    if links.len() > CHAIN_MAX {
        return Err(Error::ChainTooLong(links.len()));
    }
    let Some(leaf) = links.first() else {
        return Err(Error::NoCertificate(NO_CERTIFICATE.to_owned()));
    };
    if let Err(error) = fits_key(leaf, key) {
        let belongs = links[1..].iter().find(|link| fits_key(link, key).is_ok());
        return Err(belongs.map_or(error, |link| {
            Error::ChainOutOfOrder(format!(
                "the private key belongs to the certificate in {}; put that certificate first",
                link.place
            ))
        }));
    }
    let mut findings = leaf::findings(&leaf.parsed, &leaf.facts);
    let chain = chain::judge(links)?;
    findings.extend(chain.findings);
    Ok(Chain { findings, ..chain })
}

fn parse(Candidate { place, der }: &Candidate) -> Result<Link<'_>, Error> {
    let place = place.clone();
    let why = match X509Certificate::from_der(der) {
        Ok(([], parsed)) => {
            return Ok(Link {
                place,
                der,
                facts: Facts::of(&parsed, der),
                parsed,
            });
        }
        Ok(_) => "there is extra data after its end".to_owned(),
        Err(error) => format!("it is truncated or damaged: it cannot be parsed as X.509 ({error})"),
    };
    Err(Error::UnusableCertificate { place, why })
}

/// Checks that the key belongs to a certificate.
fn fits_key(link: &Link<'_>, key: &Key) -> Result<(), Error> {
    let unusable = |why: String| Error::UnusableCertificate {
        place: link.place.clone(),
        why,
    };
    let version = link.parsed.version();
    if version != X509Version::V3 {
        let version = version.0.saturating_add(1);
        return Err(unusable(format!(
            "it is X.509 version {version}, which has no names; issue it with extensions (`openssl x509 -req … \
             -extfile FILE`)"
        )));
    }
    let certified = CertifiedKey::new(vec![link.der.clone()], Arc::clone(&key.signing));
    let matched = certified.keys_match();
    if matched.is_ok() {
        return Ok(());
    }
    let algorithm = Algorithm::of_public(link.parsed.subject_pki.raw);
    if !algorithm.is_usable() {
        return Err(unusable(format!(
            "it is for {}; {USABLE}",
            algorithm.describe()
        )));
    }
    if key.algorithm == Algorithm::EcExplicit {
        let (place, why) = (
            key.place.clone(),
            format!("it is {}", key.algorithm.describe()),
        );
        return Err(Error::UnusablePrivateKey { place, why });
    }
    Err(match matched {
        Err(rustls::Error::InvalidCertificate(why)) => unusable(describe(&why)),
        _ => Error::KeyMismatch(link.facts.name()),
    })
}

/// Describes why rustls rejects a certificate.
fn describe(why: &CertificateError) -> String {
    let CertificateError::Other(OtherError(other)) = why else {
        return format!("it is not valid X.509 ({why:?})");
    };
    match other.downcast_ref::<webpki::Error>() {
        Some(webpki::Error::UnsupportedCriticalExtension) => {
            "it has a critical extension that clients do not know; reissue it without that extension".to_owned()
        }
        _ => format!("it is not valid X.509 ({other})"),
    }
}

impl Certificate {
    /// Returns the public facts about the certificate.
    pub fn facts(&self) -> &Arc<Facts> {
        &self.facts
    }

    /// Returns the digest of the texts that it was read from.
    pub fn text_digest(&self) -> TextDigest {
        self.text_digest
    }

    /// Returns the chain and the key for rustls.
    pub fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

    /// Returns the findings that do not depend on the time.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Returns all findings at a time, most severe first.
    pub fn findings_at(&self, now: Timestamp) -> Vec<Finding> {
        let (facts, name) = (&self.facts, self.facts.name());
        let mut findings = Vec::clone(&self.findings);
        findings.extend(self.terms.iter().filter_map(|term| term.finding(now)));
        findings.extend(match facts.validity(now) {
            Validity::Expired => Some(Finding::warning(
                Reason::Expired,
                format!(
                    "the certificate of {name} expired at {}; clients that check dates reject it; renew it",
                    facts.not_after
                ),
            )),
            Validity::NotYetValid => Some(Finding::warning(
                Reason::NotYetValid,
                format!(
                    "the certificate of {name} is not valid before {}; clients that check dates reject it \
                    until then",
                    facts.not_before
                ),
            )),
            Validity::Valid => self.expires_soon(now),
        });
        if facts.is_public_demo {
            findings.push(Finding::warning(
                Reason::PublicDemoKey,
                format!(
                    "the key of {name} is the public example key that smart-mqtt ships: anyone can read \
                    and change the traffic of this listener; replace it"
                ),
            ));
        }
        findings.sort_by_key(|finding| finding.reason);
        findings
    }

    /// Returns a finding if no host name can select this certificate; for certificates other than the default.
    pub fn never_chosen(&self) -> Option<Finding> {
        self.facts.dns_names.is_empty().then(|| {
            Finding::warning(
                Reason::NeverChosen,
                format!(
                    "the certificate of {} is not the default and has no DNS name in its subject alternative name, so no \
                    host name selects it; reissue it with `subjectAltName=DNS:…`",
                    self.facts.name()
                ),
            )
        })
    }

    fn expires_soon(&self, now: Timestamp) -> Option<Finding> {
        let facts = &self.facts;
        let soon = term::renewal(facts.not_before, facts.not_after);
        soon.is_before(now).then(|| {
            Finding::warning(
                Reason::ExpiresSoon,
                format!(
                    "the certificate of {} expires at {}, and should have been renewed by now; renew it",
                    facts.name(),
                    facts.not_after
                ),
            )
        })
    }

    /// Returns the times at which the findings change.
    pub fn dates(&self) -> impl Iterator<Item = Date> {
        let (from, until) = (self.facts.not_before, self.facts.not_after);
        let own = [from, term::renewal(from, until), until];
        own.into_iter()
            .chain(self.terms.iter().flat_map(Term::dates))
    }

    /// Reports whether both have the same chain, and so the same key.
    pub fn is_same(&self, other: &Self) -> bool {
        self.certified.cert == other.certified.cert
    }

    /// Returns a digest of the chain, of 32 lower-case hexadecimal digits. All that it is of is public.
    pub fn chain_digest(&self) -> String {
        let ders: Vec<&[u8]> = self.certified.cert.iter().map(|der| &**der).collect();
        // Each says its own length, so no two chains have the same bytes.
        sha256(&ders.concat())[..32].to_owned()
    }

    /// Returns the certificate if it is good enough for first use.
    ///
    /// # Errors
    ///
    /// The chain can never verify.
    pub fn strictly(self) -> Result<Self, Error> {
        match finding::first_refusal(&self.findings) {
            Some(finding) => Err(Error::NeverVerifies(finding.clone())),
            None => Ok(self),
        }
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("facts", &self.facts)
            .finish_non_exhaustive()
    }
}
