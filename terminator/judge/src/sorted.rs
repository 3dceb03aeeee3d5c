//! Sorts the blocks of a text into the certificates of a chain and one key. Duplicates and unused blocks are
//! ignored and reported.
//!
//! It must not look into certificates or keys.

use rustls::pki_types::CertificateDer;

use super::error::Error;
use super::finding::{Finding, Reason};
use super::kind::{self, Kind};
use super::nothing;
use super::pem::{self, Content, Part};

/// Advice if there is no certificate.
pub(super) const NO_CERTIFICATE: &str = "; add the chain here, leaf first, as CERTIFICATE blocks";

/// A certificate and its position.
pub(super) struct Candidate {
    pub(super) place: pem::Place,
    pub(super) der: CertificateDer<'static>,
}

/// A key and its position.
pub(super) struct FoundKey {
    pub(super) place: pem::Place,
    /// `None` if it is encrypted.
    pub(super) key: Option<pem::PrivateKey>,
}

/// Sorts blocks into certificates, at least one, and one key.
pub(super) fn sort(
    parts: &[Part<'_>],
    blocks: Vec<pem::Block>,
    findings: &mut Vec<Finding>,
) -> Result<(Vec<Candidate>, FoundKey), Error> {
    let (mut chain, mut keys): (Vec<Candidate>, Vec<FoundKey>) = (Vec::new(), Vec::new());
    let mut others = Vec::new();
    let filled: Vec<Option<&str>> = blocks.iter().map(|block| block.place.key).collect();
    for pem::Block { place, content } in blocks {
        match content {
            Content::Certificate { der, .. } => {
                findings.extend(add(&mut chain, Candidate { place, der }));
            }
            Content::PrivateKey(key) => {
                let key = Some(key);
                findings.extend(add_key(&mut keys, FoundKey { place, key }));
            }
            Content::EncryptedKey => keys.push(FoundKey { place, key: None }),
            Content::Other(kind) => others.push((place, kind)),
        }
    }
    if chain.is_empty() {
        return Err(Error::NoCertificate(instead(
            parts,
            &filled,
            &others,
            NO_CERTIFICATE,
        )));
    }
    let key = one_key(keys, findings)?.ok_or_else(|| {
        Error::NoPrivateKey(instead(
            parts,
            &filled,
            &others,
            "; add the leaf's key as a PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY block",
        ))
    })?;
    findings.extend(
        others
            .iter()
            .filter_map(|(place, kind)| ignored(place, *kind)),
    );
    Ok((chain, key))
}

/// Returns the key, if there is one. Keys under labels that earlier releases ignored are used only if there is no
/// other.
fn one_key(keys: Vec<FoundKey>, findings: &mut Vec<Finding>) -> Result<Option<FoundKey>, Error> {
    let is_sure = |key: &FoundKey| kind::was_known(&key.place.label);
    let (mut sure, mut unsure): (Vec<_>, Vec<_>) = keys.into_iter().partition(is_sure);
    if sure.is_empty() {
        std::mem::swap(&mut sure, &mut unsure);
    }
    if sure.len() > 1 {
        return Err(Error::SeveralPrivateKeys(sure.len()));
    }
    findings.extend(unsure.iter().map(|key| {
        let message = format!("{} is ignored: there is another private key", key.place);
        Finding::warning(Reason::BlockLeftOut, message)
    }));
    Ok(sure.pop())
}

/// Adds a certificate. Of two equal ones, keeps the one with the standard label.
fn add(chain: &mut Vec<Candidate>, new: Candidate) -> Option<Finding> {
    let Some(index) = chain.iter().position(|known| known.der == new.der) else {
        chain.push(new);
        return None;
    };
    let is_sure = |one: &Candidate| kind::was_known(&one.place.label);
    if is_sure(&chain[index]) || !is_sure(&new) {
        return Some(twice(&new.place, &chain[index].place));
    }
    let known = chain.remove(index);
    let finding = twice(&known.place, &new.place);
    chain.push(new);
    Some(finding)
}

/// Adds a key by the same rule.
fn add_key(keys: &mut Vec<FoundKey>, mut new: FoundKey) -> Option<Finding> {
    let is_same = |known: &FoundKey| match (&known.key, &new.key) {
        (Some(known), Some(new)) => known.der == new.der,
        _ => false,
    };
    let known = keys.iter_mut().find(|known| is_same(known));
    let Some(known) = known else {
        keys.push(new);
        return None;
    };
    if !kind::was_known(&known.place.label) && kind::was_known(&new.place.label) {
        std::mem::swap(known, &mut new);
    }
    Some(twice(&new.place, &known.place))
}

fn twice(place: &pem::Place, known: &pem::Place) -> Finding {
    Finding::warning(
        Reason::DuplicateLeftOut,
        format!(
            "{place} is a duplicate of {}, and is ignored; remove it",
            known.short()
        ),
    )
}

/// Returns the finding about an unused block.
pub(super) fn ignored(place: &pem::Place, kind: Kind) -> Option<Finding> {
    // `openssl ecparam -genkey` writes them before the key, which includes them too.
    if kind == Kind::EcParameters {
        return None;
    }
    let message = format!("{place} is ignored: it is {}", kind.describe());
    Some(Finding::warning(Reason::BlockLeftOut, message))
}

/// Describes what was found instead of the missing certificate or key, or else what to do, as a continuation of
/// the error. `filled` are the parts that have a block.
pub(super) fn instead(
    parts: &[Part<'_>],
    filled: &[Option<&str>],
    others: &[(pem::Place, Kind)],
    else_: &str,
) -> String {
    if let Some((place, kind)) = others.first() {
        return format!(": {place} is {}", kind.describe());
    }
    let empty = parts.iter().filter(|part| !filled.contains(&part.name()));
    let described = empty.filter_map(|part| {
        let described = nothing::describe(part.text())?;
        Some(match part.name() {
            Some(key) => format!(" in {key}: {described}"),
            None => format!(": {described}"),
        })
    });
    described.take(1).next().unwrap_or_else(|| else_.to_owned())
}
