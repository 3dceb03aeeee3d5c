//! Judging a server certificate: what is accepted here can be served, and nothing else is rendered or
//! loaded.
//!
//! It must not read a clock or a file, and no error may show key material. Dates are facts here; what
//! follows from them is decided by whoever has the time. What was served before and would be refused today is
//! accepted with a finding; who judges something new asks for [`Certificate::strictly`].

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
use super::finding::{self, Finding, Reason};
use super::kind::{self, Encoding};
use super::pem::{self, Part};
use super::refusal::Refusal;
use super::sorted::{Candidate, FoundKey, NO_CERTIFICATE, sort};
use super::term::Term;
use super::{leaf, rehearsal};

pub use super::facts::{Facts, Validity};

/// How many certificates a chain may have, the leaf included.
pub const CHAIN_MAX: usize = 10;

/// A certificate chain with its key, found fit to be served.
#[derive(Clone)]
pub struct Certificate {
    certified: Arc<CertifiedKey>,
    facts: Arc<Facts>,
    findings: Arc<Vec<Finding>>,
    /// Of the issuers.
    terms: Arc<Vec<Term>>,
}

/// Why a PEM cannot be served as a server certificate.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A block could not be read.
    #[error("{0}")]
    BrokenPem(pem::Error),
    /// The chain is not leaf first, each followed by its issuer.
    #[error("the chain is out of order: {0}")]
    ChainOutOfOrder(String),
    /// The chain is longer than [`CHAIN_MAX`].
    #[error("the chain has {0} certificates; at most {CHAIN_MAX} are served")]
    ChainTooLong(usize),
    /// The key is protected by a password.
    #[error(
        "the private key in {0} is encrypted, and there is nobody to type the password; decrypt it, \
         as with `openssl pkey -in KEY -out PLAIN`"
    )]
    EncryptedPrivateKey(pem::Place),
    /// It can be loaded, and yet never verify.
    #[error("{0}")]
    NeverVerifies(Finding),
    /// The key is not that of the leaf.
    #[error(
        "the private key does not belong to the first certificate (subject {0}); put together the \
         key and the certificate that was issued for it"
    )]
    KeyMismatch(String),
    /// There is no certificate.
    #[error("there is no certificate{0}")]
    NoCertificate(String),
    /// There is no key.
    #[error("there is no private key{0}")]
    NoPrivateKey(String),
    /// There is more than one key.
    #[error("there are {0} private keys; keep only the one that belongs to the leaf")]
    SeveralPrivateKeys(usize),
    /// A certificate cannot be parsed, or no handshake can be made with it.
    #[error("the certificate in {place} cannot be used: {why}")]
    UnusableCertificate {
        /// Where it stands.
        place: pem::Place,
        /// What the parser or the handshake said.
        why: String,
    },
    /// The key cannot be used for TLS.
    #[error("the private key in {place} cannot be used: {why}; {USABLE}")]
    UnusablePrivateKey {
        /// Where it stands.
        place: pem::Place,
        /// What it is.
        why: String,
    },
}

/// What can be used.
const USABLE: &str = "use RSA of at least 2048 bits, ECDSA P-256, P-384 or P-521, or Ed25519";

impl Error {
    /// The kind of error, one of a fixed set, for metrics and conditions.
    pub fn reason(&self) -> Refusal {
        match self {
            Self::BrokenPem(_) => Refusal::BrokenPem,
            Self::ChainOutOfOrder(_) => Refusal::ChainOutOfOrder,
            Self::ChainTooLong(_) => Refusal::ChainTooLong,
            Self::EncryptedPrivateKey(_) => Refusal::EncryptedPrivateKey,
            Self::NeverVerifies(finding) => Refusal::Found(finding.reason),
            Self::KeyMismatch(_) => Refusal::KeyMismatch,
            Self::NoCertificate(_) => Refusal::NoCertificate,
            Self::NoPrivateKey(_) => Refusal::NoPrivateKey,
            Self::SeveralPrivateKeys(_) => Refusal::SeveralPrivateKeys,
            Self::UnusableCertificate { .. } => Refusal::UnusableCertificate,
            Self::UnusablePrivateKey { .. } => Refusal::UnusablePrivateKey,
        }
    }
}

/// Judges PEM with a chain, leaf first, and the leaf's key, in either order, in one text or in several.
///
/// # Errors
///
/// The first thing that is wrong, in the order in which a person would mend it.
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
    })
}

/// A key that can be used.
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
    let told = algorithm.told();
    let why = match algorithm {
        Algorithm::Unknown => format!("it is {told}, or damaged"),
        _ if algorithm.is_usable() => format!("it is {told}, and damaged"),
        _ => format!("it is {told}"),
    };
    Err(Error::UnusablePrivateKey { place, why })
}

/// The chain of all certificates. Those under labels that the release before left aside do not make one wrong
/// that it served: they are left out then.
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
        let message = format!("{} is left out: with it {error}", one.place);
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
                "the private key belongs to the certificate in {}; put that one first",
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
        Ok(_) => "something stands behind its end".to_owned(),
        Err(error) => format!("it is cut off or damaged, for it does not read as X.509 ({error})"),
    };
    Err(Error::UnusableCertificate { place, why })
}

/// Whether a key is that of a certificate.
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
            algorithm.told()
        )));
    }
    if key.algorithm == Algorithm::EcExplicit {
        let (place, why) = (key.place.clone(), format!("it is {}", key.algorithm.told()));
        return Err(Error::UnusablePrivateKey { place, why });
    }
    Err(match matched {
        Err(rustls::Error::InvalidCertificate(why)) => unusable(told(&why)),
        _ => Error::KeyMismatch(link.facts.name()),
    })
}

/// What rustls says of a certificate that it cannot use.
fn told(why: &CertificateError) -> String {
    let CertificateError::Other(OtherError(other)) = why else {
        return format!("it is not as X.509 has it ({why:?})");
    };
    match other.downcast_ref::<webpki::Error>() {
        Some(webpki::Error::UnsupportedCriticalExtension) => {
            "it has a critical extension that clients do not know; issue it without".to_owned()
        }
        _ => format!("it is not as X.509 has it ({other})"),
    }
}

impl Certificate {
    /// What may be told of it.
    pub fn facts(&self) -> &Arc<Facts> {
        &self.facts
    }

    /// The chain and the key, as rustls serves them.
    pub fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

    /// What someone should look at, whatever the time is.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// What someone should look at now. The worst first.
    pub fn findings_at(&self, now: Timestamp) -> Vec<Finding> {
        let (facts, name) = (&self.facts, self.facts.name());
        let mut findings = Vec::clone(&self.findings);
        findings.extend(self.terms.iter().filter_map(|term| term.finding(now)));
        findings.extend(match facts.validity(now) {
            Validity::Expired => Some(Finding::warning(
                Reason::Expired,
                format!(
                    "the certificate of {name} expired at {}; clients that check dates refuse it: renew it",
                    facts.not_after
                ),
            )),
            Validity::NotYetValid => Some(Finding::warning(
                Reason::NotYetValid,
                format!(
                    "the certificate of {name} is valid only from {}; clients that check dates refuse it \
                     until then",
                    facts.not_before
                ),
            )),
            Validity::Valid => None,
        });
        if facts.is_public_demo {
            findings.push(Finding::warning(
                Reason::PublicDemoKey,
                format!(
                    "the key of {name} is the example that smart-mqtt ships: it is public, and anyone can \
                     read and change what goes through this listener; replace it"
                ),
            ));
        }
        findings.sort_by_key(|finding| finding.reason);
        findings
    }

    /// What is to be said if it is not the default: only a name chooses it then.
    pub fn never_chosen(&self) -> Option<Finding> {
        self.facts.dns_names.is_empty().then(|| {
            Finding::warning(
                Reason::NeverChosen,
                format!(
                    "the certificate of {} is not the default and has no DNS name in its subject alternative name, so no \
                     host name that a device asks for chooses it; issue it with `subjectAltName=DNS:…`",
                    self.facts.name()
                ),
            )
        })
    }

    /// When there is something else to say.
    pub fn dates(&self) -> impl Iterator<Item = Date> {
        let own = [self.facts.not_before, self.facts.not_after];
        own.into_iter()
            .chain(self.terms.iter().flat_map(Term::dates))
    }

    /// Whether it is the same chain for the same key.
    pub fn is_same(&self, other: &Self) -> bool {
        self.certified.cert == other.certified.cert
    }

    /// This one, if it is good enough to be served for the first time.
    ///
    /// # Errors
    ///
    /// It can never verify.
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
