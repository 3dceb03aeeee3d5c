//! What a leaf says about itself that keeps clients away: its names, usages and kind. Its dates and its place
//! in the chain are judged elsewhere.

use std::net::IpAddr;

use mqtt_tls_config::is_dns_name;
use x509_parser::der_parser::oid;
use x509_parser::prelude::X509Certificate;

use super::der;
use super::facts::Facts;
use super::finding::{Finding, Reason};

/// The extension of a ClientHello by which a client asks for an OCSP response (RFC 6066, section 1.1).
const STATUS_REQUEST: u8 = 5;

/// What is found about a leaf that serves.
pub(super) fn findings(leaf: &X509Certificate<'_>, facts: &Facts) -> Vec<Finding> {
    let name = facts.name();
    let mut findings = Vec::new();
    if !is_for_servers(leaf) {
        findings.push(Finding::warning(
            Reason::WrongPurpose,
            format!(
                "the certificate of {name} is not for servers (its extended key usage lacks serverAuth), and \
                 most clients refuse it; issue it with serverAuth"
            ),
        ));
    }
    let usage = leaf.key_usage().ok().flatten();
    if usage.is_some_and(|usage| !usage.value.digital_signature()) {
        findings.push(Finding::warning(
            Reason::WrongKeyUsage,
            format!(
                "the key of {name} may not sign (its key usage lacks digitalSignature), which TLS 1.3 needs, and \
                 many clients refuse it; issue it with digitalSignature"
            ),
        ));
    }
    if is_ca(leaf) {
        findings.push(Finding::warning(
            Reason::LeafIsCa,
            format!(
                "the certificate of {name} is a CA (basicConstraints), and clients made with rustls refuse it as a \
                 server's; issue it with `basicConstraints=critical,CA:FALSE`"
            ),
        ));
    }
    if needs_staple(leaf) {
        findings.push(Finding::warning(
            Reason::StapleRequired,
            format!(
                "the certificate of {name} must come with an OCSP response (OCSP must-staple), which terminators do not \
                 send, and clients made with GnuTLS refuse it; issue it without must-staple"
            ),
        ));
    }
    if facts.dns_names.is_empty() && facts.ip_addresses.is_empty() {
        findings.push(Finding::warning(
            Reason::NoNames,
            format!(
                "the certificate of {name} has no subject alternative name, which is where clients look for host \
                 names and addresses; issue it with `subjectAltName=DNS:…`"
            ),
        ));
    }
    if let Some(odd) = facts.dns_names.iter().find(|name| is_odd(name)) {
        let belongs = if odd.parse::<IpAddr>().is_ok() {
            "an address is looked for under `IP:`"
        } else {
            "a name has neither scheme nor port, and `*` stands for the whole first label only"
        };
        findings.push(Finding::warning(
            Reason::OddNames,
            format!(
                "the certificate of {name} has {odd} among its DNS names, where no client looks for it: {belongs}; issue \
                 it with the right subjectAltName"
            ),
        ));
    }
    findings
}

/// Whether what stands among the DNS names is an address, or no name that a client could ask for.
fn is_odd(name: &str) -> bool {
    let name = name.strip_prefix("*.").unwrap_or(name);
    name.parse::<IpAddr>().is_ok() || !is_dns_name(name)
}

/// Whether it may be used for servers, as far as it says anything about that. Any usage at all is none that
/// OpenSSL and rustls take for it.
pub(super) fn is_for_servers(certificate: &X509Certificate<'_>) -> bool {
    let usage = certificate.extended_key_usage().ok().flatten();
    usage.is_none_or(|usage| usage.value.server_auth)
}

/// Whether clients are to refuse it without a stapled OCSP response (RFC 7633: the feature `status_request`).
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

/// Whether it says that it is a CA.
pub(super) fn is_ca(certificate: &X509Certificate<'_>) -> bool {
    let constraints = certificate.basic_constraints().ok().flatten();
    constraints.is_some_and(|constraints| constraints.value.ca)
}
