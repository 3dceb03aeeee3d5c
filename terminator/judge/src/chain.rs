//! A chain as a path, from the leaf up, as clients walk it: who issued whom, signatures, CA flags, usages, dates.
//!
//! It must not trust an order or a name: a signature says who issued what.

use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::prelude::X509Certificate;
use x509_parser::x509::X509Version;

use super::algorithm::Algorithm;
use super::certificate::Error;
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
    /// Which certificate, in full.
    pub(super) fn told(&self) -> String {
        format!("the certificate of {} in {}", self.facts.name(), self.place)
    }

    /// Whether this one has the name of who issued that one.
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

/// A chain in the order in which it is served.
pub(super) struct Chain<'a> {
    pub(super) links: Vec<Link<'a>>,
    pub(super) findings: Vec<Finding>,
}

/// Judges certificates, the leaf first, as a path.
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
        // What is said of the other path to a CA keeps nobody from this one.
        each(link, index == 0, &mut findings);
    }
    if findings.is_empty() {
        findings.extend(as_rustls_has_it(&path));
    }
    let links = path.into_iter().chain(others).collect();
    Ok(Chain { links, findings })
}

/// Each certificate must be followed by its issuer (RFC 8446, section 4.4.2, as most clients have it). A
/// second certificate of an issuer, by which another root can be reached, may stand in between.
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
        format!("{} is left out of the chain: {why}", link.told()),
    )
}

/// The path from the leaf up, each followed by the one whose key signed it, and what else is served: the
/// certificates of another path. Those that signed nothing are left out.
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
            let why = "another one has its name, and its key signed none of the others";
            findings.push(left_out(&link, why));
        }
    }
    (path, others)
}

/// Whether one certificate was issued by the next one of the path.
fn issued(child: &Link<'_>, issuer: &Link<'_>, findings: &mut Vec<Finding>) {
    if issuer.fit(child) == Fit::Broken {
        findings.push(Finding::refusal(
            Reason::SignatureMismatch,
            format!(
                "the signature of {} does not fit the key of {}, which has its issuer's name; put the \
                 certificate there that the CA has for the key it signed with",
                child.told(),
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
        let told = format!(
            "{} issued {}, and is no CA (basicConstraints)",
            issuer.told(),
            child.place.short(),
        );
        // OpenSSL takes an old CA by its key usage.
        findings.push(
            if constraints.is_none() && signs_certificates == Some(true) {
                let advice =
                    "many clients refuse it; issue it with `basicConstraints=critical,CA:TRUE`";
                Finding::warning(Reason::IssuerNotCa, format!("{told}; {advice}"))
            } else {
                let advice =
                    "so nothing that it signed verifies; put the CA's own certificate there";
                Finding::refusal(Reason::IssuerNotCa, format!("{told}, {advice}"))
            },
        );
    }
    if is_ca && signs_certificates == Some(false) {
        findings.push(Finding::warning(
            Reason::IssuerCannotSign,
            format!(
                "{} may not sign certificates (its key usage lacks keyCertSign), and most clients refuse what it \
                 signed; issue it with keyCertSign",
                issuer.told()
            ),
        ));
    }
}

/// How many CAs an issuer allows below it, and for what. `index` is that of the certificate below it.
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
            "{} allows {most} CAs between it and a leaf (pathLenConstraint), and there are {below}; the leaf must \
             be issued by a CA nearer to it",
            issuer.told()
        );
        // Some clients take a root as it is.
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
                "{} is not for issuing to servers (its extended key usage lacks serverAuth), and most clients refuse \
                 what it signed",
                issuer.told()
            ),
        ));
    }
}

/// What is found about a certificate by itself.
fn each(link: &Link<'_>, is_leaf: bool, findings: &mut Vec<Finding>) {
    if has_odd_dates(link.der) {
        findings.push(Finding::warning(
            Reason::OddDates,
            format!(
                "the dates of {} are written without seconds or with an offset, which OpenSSL and others refuse (RFC \
                 5280, section 4.1.2.5); reissue it",
                link.told()
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
                "{} has a negative serial number, which clients made with Go refuse; reissue it",
                link.told()
            ),
        ));
    }
    // Nobody verifies the signature of a root by itself.
    let weak_hash = signature::weak_hash(&link.parsed).filter(|_| !link.has_issued(link));
    if let Some(hash) = weak_hash {
        findings.push(Finding::warning(
            Reason::WeakSignature,
            format!(
                "{} is signed with {hash}, which clients of today refuse; issue it with SHA-256",
                link.told()
            ),
        ));
    }
    let algorithm = Algorithm::of_public(link.parsed.subject_pki.raw);
    if !is_leaf && !algorithm.is_usable() {
        let how = if algorithm.is_weak() {
            "is too short for"
        } else {
            "is not known to"
        };
        findings.push(Finding::warning(
            Reason::WeakKey,
            format!(
                "{} has {}, which {how} many clients; use a CA with RSA of at least 2048 bits or ECDSA P-256",
                link.told(),
                algorithm.told(),
            ),
        ));
    }
}

/// Whether a date is not as RFC 5280 has it: `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
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

/// What a client made with rustls would say, on a day on which all of it is valid, with the last certificate as
/// its root. It knows rules that are not told above: names that a CA may not issue for, extensions that
/// nobody knows.
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
                "{} has names that a CA of its chain may not issue for (name constraints); issue it for permitted \
                 names",
                leaf.told()
            ),
        )),
        Err(error) => Some(Finding::warning(
            Reason::ClientsRefuse,
            format!(
                "clients made with rustls refuse the chain of {} ({error:?}); verify it with `openssl verify \
                 -x509_strict`",
                leaf.told()
            ),
        )),
    }
}
