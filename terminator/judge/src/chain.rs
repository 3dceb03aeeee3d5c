//! Validates a chain as a path from the leaf up, as clients do: issuers, signatures, CA flags, usages, dates.
//!
//! It must not rely on order or names alone: only a signature proves which certificate issued another.

use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::prelude::X509Certificate;
use x509_parser::x509::X509Version;

use super::algorithm::Algorithm;
use super::error::Error;
use super::facts::Facts;
use super::finding::{Finding, Reason};
use super::signature::{self, Fit};
use super::{der, leaf, name, pem};
use crate::provider::provider;

/// One certificate of a chain.
pub(super) struct Link<'a> {
    pub(super) place: pem::Place,
    pub(super) der: &'a CertificateDer<'static>,
    pub(super) parsed: X509Certificate<'a>,
    pub(super) facts: Facts,
}

impl Link<'_> {
    /// Describes the certificate in full.
    pub(super) fn describe(&self) -> String {
        format!("the certificate of {} in {}", self.facts.name(), self.place)
    }

    /// Reports whether the subject of this certificate is the issuer of the child.
    fn has_issued(&self, child: &Self) -> bool {
        name::is_same(child.parsed.issuer(), self.parsed.subject())
    }

    fn fit(&self, child: &Self) -> Fit {
        signature::fit(child.der, self.parsed.subject_pki.raw)
    }

    fn is_self_signed(&self) -> bool {
        self.has_issued(self) && self.fit(self) != Fit::Broken
    }
}

/// A chain in the order in which the server sends it.
pub(super) struct Chain<'a> {
    pub(super) links: Vec<Link<'a>>,
    pub(super) findings: Vec<Finding>,
}

/// Validates certificates, leaf first, as a path.
pub(super) fn judge(links: Vec<Link<'_>>) -> Result<Chain<'_>, Error> {
    let mut findings = Vec::new();
    let links = in_order(links)?;
    let (path, others) = path(links, &mut findings);
    for (index, pair) in path.windows(2).enumerate() {
        let is_top = index + 2 == path.len() && pair[1].is_self_signed();
        let mut found = Vec::new();
        issued(&pair[0], &pair[1], &mut found);
        limits(&path, index, is_top, &mut found);
        findings.append(&mut found);
    }
    for (index, link) in path.iter().chain(&others).enumerate() {
        // Findings about the second path to a CA are warnings only: clients can use the first.
        each(link, index == 0, &mut findings);
    }
    if findings.is_empty() {
        findings.extend(as_rustls_has_it(&path));
    }
    let links = path.into_iter().chain(others).collect();
    Ok(Chain { links, findings })
}

/// Checks that each certificate is followed by its issuer (RFC 8446, section 4.4.2, as most clients implement
/// it). A second certificate of an issuer, which leads to another root, may come in between.
fn in_order(links: Vec<Link<'_>>) -> Result<Vec<Link<'_>>, Error> {
    let mut accepted: Vec<Link<'_>> = Vec::new();
    let mut has_siblings = false;
    for link in links {
        let Some(last) = accepted.last() else {
            accepted.push(link);
            continue;
        };
        let is_sibling = accepted[1..]
            .iter()
            .any(|one| name::is_same(one.parsed.subject(), link.parsed.subject()));
        let follows = link.has_issued(last)
            || is_sibling
            || (has_siblings && accepted.iter().any(|one| link.has_issued(one)));
        if !follows {
            return Err(Error::ChainOutOfOrder(format!(
                "the certificate in {} (subject {}) did not issue the one before it, whose issuer is \
                 {}; order them leaf first, each followed by its issuer",
                link.place,
                link.facts.name(),
                last.facts.issuer,
            )));
        }
        has_siblings |= is_sibling;
        accepted.push(link);
    }
    Ok(accepted)
}

fn left_out(link: &Link<'_>, why: &str) -> Finding {
    Finding::warning(
        Reason::BlockLeftOut,
        format!("{} is ignored: {why}", link.describe()),
    )
}

/// Splits the certificates into the path from the leaf up, each followed by its issuer, and the certificates of
/// a second path, which are served too. Ignores certificates that signed none of the others.
fn path<'a>(
    mut rest: Vec<Link<'a>>,
    findings: &mut Vec<Finding>,
) -> (Vec<Link<'a>>, Vec<Link<'a>>) {
    let mut path: Vec<Link<'a>> = rest.drain(..1).collect();
    while let Some(last) = path.last().filter(|last| !last.is_self_signed()) {
        let best = rest
            .iter()
            .enumerate()
            .filter(|(_, one)| one.has_issued(last))
            .min_by_key(|(_, one)| match one.fit(last) {
                Fit::Fits => 0,
                Fit::Unknown => 1,
                Fit::Broken => 2,
            });
        let Some((index, _)) = best else { break };
        path.push(rest.remove(index));
    }
    let mut others: Vec<Link<'a>> = Vec::new();
    for link in rest {
        let mut children = path.iter().chain(&others);
        let signed_one =
            children.any(|child| link.has_issued(child) && link.fit(child) != Fit::Broken);
        if signed_one {
            others.push(link);
        } else {
            let why = "another certificate has the same subject, and this one's key signed none of the others";
            findings.push(left_out(&link, why));
        }
    }
    (path, others)
}

/// Checks that a certificate was issued by the next one of the path.
fn issued(child: &Link<'_>, issuer: &Link<'_>, findings: &mut Vec<Finding>) {
    if issuer.fit(child) == Fit::Broken {
        findings.push(Finding::refusal(
            Reason::SignatureMismatch,
            format!(
                "the signature of {} does not match the key of {}, although that has the issuer's name; replace \
                the latter with the CA certificate for the key that made the signature",
                child.describe(),
                issuer.place.short(),
            ),
        ));
    }
    let usage = issuer.parsed.key_usage().ok().flatten();
    let signs_certificates = usage.as_ref().map(|usage| usage.value.key_cert_sign());
    let constraints = issuer.parsed.basic_constraints().ok().flatten();
    let is_old_root = issuer.parsed.version() == X509Version::V1 && issuer.is_self_signed();
    let is_ca = match &constraints {
        Some(constraints) => constraints.value.ca,
        None => is_old_root,
    };
    if !is_ca {
        let described = format!(
            "{} issued {}, but is not a CA (basicConstraints)",
            issuer.describe(),
            child.place.short(),
        );
        // OpenSSL accepts an old CA by its key usage.
        findings.push(
            if constraints.is_none() && signs_certificates == Some(true) {
                let advice =
                    "many clients reject it; reissue it with `basicConstraints=critical,CA:TRUE`";
                Finding::warning(Reason::IssuerNotCa, format!("{described}; {advice}"))
            } else {
                let advice =
                    "so the chain can never verify; replace it with the CA's own certificate";
                Finding::refusal(Reason::IssuerNotCa, format!("{described}, {advice}"))
            },
        );
    }
    if is_ca && signs_certificates == Some(false) {
        findings.push(Finding::warning(
            Reason::IssuerCannotSign,
            format!(
                "{} may not sign certificates (its key usage lacks keyCertSign), and most clients reject what it \
                signed; reissue it with keyCertSign",
                issuer.describe()
            ),
        ));
    }
}

/// Checks an issuer's path length constraint and purpose. `index` is the position of the certificate below it.
fn limits(path: &[Link<'_>], index: usize, is_top: bool, findings: &mut Vec<Finding>) {
    let issuer = &path[index + 1];
    let constraints = issuer.parsed.basic_constraints().ok().flatten();
    let below = path[1..=index]
        .iter()
        .filter(|one| !one.has_issued(one))
        .count();
    let most = constraints.and_then(|constraints| constraints.value.path_len_constraint);
    if let Some(most) = most.filter(|most| (*most as usize) < below) {
        let message = format!(
            "{} allows {most} CAs between itself and a leaf (pathLenConstraint), but there are {below}; issue the \
            leaf from a CA closer to it",
            issuer.describe()
        );
        // Some clients do not check the constraints of a root.
        findings.push(if is_top {
            Finding::warning(Reason::PathTooLong, message)
        } else {
            Finding::refusal(Reason::PathTooLong, message)
        });
    }
    if !is_top && !leaf::is_for_servers(&issuer.parsed) {
        findings.push(Finding::warning(
            Reason::WrongPurpose,
            format!(
                "{} may not issue server certificates (its extended key usage lacks serverAuth), and most clients \
                reject what it signed",
                issuer.describe()
            ),
        ));
    }
}

/// Checks a certificate on its own.
fn each(link: &Link<'_>, is_leaf: bool, findings: &mut Vec<Finding>) {
    if has_odd_dates(link.der) {
        findings.push(Finding::warning(
            Reason::OddDates,
            format!(
                "the dates of {} are written without seconds or with an offset, which OpenSSL and others reject (RFC \
                 5280, section 4.1.2.5); reissue it",
                link.describe()
            ),
        ));
    }
    if link
        .parsed
        .raw_serial()
        .first()
        .is_some_and(|first| *first >= 0x80)
    {
        findings.push(Finding::warning(
            Reason::ClientsRefuse,
            format!(
                "{} has a negative serial number, which Go clients reject; reissue it",
                link.describe()
            ),
        ));
    }
    // Clients do not verify a root's own signature.
    let weak_hash = signature::weak_hash(&link.parsed).filter(|_| !link.has_issued(link));
    if let Some(hash) = weak_hash {
        findings.push(Finding::warning(
            Reason::WeakSignature,
            format!(
                "{} is signed with {hash}, which current clients reject; reissue it with SHA-256",
                link.describe()
            ),
        ));
    }
    let algorithm = Algorithm::of_public(link.parsed.subject_pki.raw);
    if !is_leaf && !algorithm.is_usable() {
        let how = if algorithm.is_weak() {
            "is too short for"
        } else {
            "is not supported by"
        };
        findings.push(Finding::warning(
            Reason::WeakKey,
            format!(
                "{} has {}, which {how} many clients; use a CA with RSA of at least 2048 bits or ECDSA P-256",
                link.describe(),
                algorithm.describe(),
            ),
        ));
    }
}

/// Reports whether a date violates RFC 5280, which requires `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn has_odd_dates(certificate: &[u8]) -> bool {
    let dates = der::signed(certificate).and_then(|(what, _, _)| {
        let mut parts = what.children().filter(|part| part.tag != der::CONTEXT_0);
        parts.nth(3)
    });
    let is_odd = |date: der::Element<'_>| {
        let digits = match date.tag {
            der::UTC_TIME => 12,
            der::GENERALIZED_TIME => 14,
            _ => return true,
        };
        let Some((b'Z', found)) = date.content.split_last() else {
            return true;
        };
        found.len() != digits || !found.iter().all(u8::is_ascii_digit)
    };
    dates.is_some_and(|dates| dates.children().any(is_odd))
}

/// Verifies the path as a rustls client would, at a time when all certificates are valid, with the last
/// certificate as its root. This covers rules that are not checked above: name constraints and unknown critical
/// extensions.
fn as_rustls_has_it(path: &[Link<'_>]) -> Option<Finding> {
    let (leaf, above) = path.split_first()?;
    let (root, between) = above.split_last()?;
    let from = path.iter().map(|link| link.facts.not_before).max()?;
    let until = path.iter().map(|link| link.facts.not_after).min()?;
    let on = u64::try_from(from.as_second())
        .ok()
        .filter(|_| from <= until)?;
    let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(on));
    let between: Vec<CertificateDer<'static>> = between.iter().map(|one| one.der.clone()).collect();
    let anchor = anchor_from_trusted_cert(root.der).ok()?;
    let algorithms = provider().signature_verification_algorithms;
    let verified = EndEntityCert::try_from(leaf.der).and_then(|leaf| {
        let anchors = [anchor];
        let usage = KeyUsage::server_auth();
        leaf.verify_for_usage(algorithms.all, &anchors, &between, time, usage, None, None)
            .map(|_| ())
    });
    match verified {
        Ok(()) => None,
        Err(webpki::Error::NameConstraintViolation) => Some(Finding::refusal(
            Reason::NameNotPermitted,
            format!(
                "{} has names that a CA of its chain may not issue for (name constraints); reissue it for permitted \
                names",
                leaf.describe()
            ),
        )),
        Err(error) => Some(Finding::warning(
            Reason::ClientsRefuse,
            format!(
                "rustls clients reject the chain of {} ({error:?}); check it with `openssl verify \
                 -x509_strict`",
                leaf.describe()
            ),
        )),
    }
}
