//! Checks the names, usages and CA flag of a leaf that make clients reject it. Other modules check its dates and
//! its place in the chain.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use mqtt_tls_config::is_dns_name;
use x509_parser::der_parser::oid;
use x509_parser::prelude::X509Certificate;

use super::der;
use super::facts::Facts;
use super::finding::{Finding, Reason};

/// The issuer of a certificate that cert-manager makes until the real one is issued: a CA that is made for it, and whose key is thrown away.
const TEMPORARY_ISSUER: &str = "CN=cert-manager.local";

/// Length of signatures by its key, which is on P-521, in bytes of DER. Those of other curves are shorter, and those of RSA longer.
const TEMPORARY_SIGNATURE: RangeInclusive<usize> = 110..=139;

/// ClientHello extension that requests an OCSP response (RFC 6066, section 1.1).
const STATUS_REQUEST: u8 = 5;

/// Returns the findings about a server's leaf.
pub(super) fn findings(leaf: &X509Certificate<'_>, facts: &Facts) -> Vec<Finding> {
    let name = facts.name();
    let mut findings = Vec::new();
    if is_temporary(leaf, facts) {
        findings.push(Finding::refusal(
            Reason::TemporaryCertificate,
            format!(
                "the certificate of {name} is a temporary one of cert-manager, which no client can verify; wait for the real one, and see \
                what keeps it with `kubectl describe certificate`"
            ),
        ));
    }
    if !is_for_servers(leaf) {
        findings.push(Finding::warning(
            Reason::WrongPurpose,
            format!(
                "the certificate of {name} is not for servers (its extended key usage lacks serverAuth), and \
                most clients reject it; reissue it with serverAuth"
            ),
        ));
    }
    let usage = leaf.key_usage().ok().flatten();
    if usage.is_some_and(|usage| !usage.value.digital_signature()) {
        findings.push(Finding::warning(
            Reason::WrongKeyUsage,
            format!(
                "the key of {name} may not sign (its key usage lacks digitalSignature), which TLS 1.3 requires, and \
                many clients reject it; reissue it with digitalSignature"
            ),
        ));
    }
    if is_ca(leaf) {
        findings.push(Finding::warning(
            Reason::LeafIsCa,
            format!(
                "the certificate of {name} is a CA (basicConstraints), and rustls clients reject it as a server \
                certificate; reissue it with `basicConstraints=critical,CA:FALSE`"
            ),
        ));
    }
    if needs_staple(leaf) {
        findings.push(Finding::warning(
            Reason::StapleRequired,
            format!(
                "the certificate of {name} requires a stapled OCSP response (OCSP must-staple), which terminators do \
                not send, and GnuTLS clients reject it; reissue it without must-staple"
            ),
        ));
    }
    findings.extend(of_names(facts));
    findings
}

/// Returns the findings about the names that clients compare.
fn of_names(facts: &Facts) -> Vec<Finding> {
    let name = facts.name();
    let mut findings = Vec::new();
    if facts.dns_names.is_empty() && facts.ip_addresses.is_empty() {
        findings.push(Finding::warning(
            Reason::NoNames,
            format!(
                "the certificate of {name} has no subject alternative name, where clients look for host names and \
                addresses; reissue it with `subjectAltName=DNS:…`"
            ),
        ));
    }
    if let Some(odd) = facts.dns_names.iter().find(|name| is_odd(name)) {
        let belongs = if odd.parse::<IpAddr>().is_ok() {
            "an IP address belongs under `IP:`"
        } else {
            "a DNS name has neither scheme nor port, and `*` can only be the whole first label"
        };
        findings.push(Finding::warning(
            Reason::OddNames,
            format!(
                "the certificate of {name} has {odd} among its DNS names, which matches no host: {belongs}; reissue it \
                with the correct subjectAltName"
            ),
        ));
    }
    findings
}

/// Reports whether it is what cert-manager makes with the annotation `issue-temporary-certificate`.
fn is_temporary(leaf: &X509Certificate<'_>, facts: &Facts) -> bool {
    facts.issuer == TEMPORARY_ISSUER
        && TEMPORARY_SIGNATURE.contains(&leaf.signature_value.data.len())
}

/// Reports whether an entry among the DNS names is an address or not a valid host name.
fn is_odd(name: &str) -> bool {
    let name = name.strip_prefix("*.").unwrap_or(name);
    name.parse::<IpAddr>().is_ok() || !is_dns_name(name)
}

/// Reports whether the extended key usage, if there is one, has serverAuth. OpenSSL and rustls do not accept
/// anyExtendedKeyUsage instead.
pub(super) fn is_for_servers(certificate: &X509Certificate<'_>) -> bool {
    let usage = certificate.extended_key_usage().ok().flatten();
    usage.is_none_or(|usage| usage.value.server_auth)
}

/// Reports whether clients must reject it without a stapled OCSP response (RFC 7633: the feature `status_request`).
fn needs_staple(certificate: &X509Certificate<'_>) -> bool {
    let features = certificate.get_extension_unique(&oid!(1.3.6.1.5.5.7.1.24));
    let features = features
        .ok()
        .flatten()
        .and_then(|found| der::first(found.value));
    features.is_some_and(|(features, _)| {
        let mut features = features.children();
        features.any(|feature| feature.as_tag(der::INTEGER) == Some(&[STATUS_REQUEST]))
    })
}

/// Reports whether the CA flag is set.
pub(super) fn is_ca(certificate: &X509Certificate<'_>) -> bool {
    let constraints = certificate.basic_constraints().ok().flatten();
    constraints.is_some_and(|constraints| constraints.value.ca)
}
