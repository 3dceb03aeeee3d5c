//! What clients check of a chain's extensions: what its keys may be used for (RFC 5280, sections 4.2.1.3 and 4.2.1.12), and which
//! extensions they must know to accept it at all (section 4.2).
//!
//! It must not decide whether a chain is usable.

use std::collections::BTreeSet;

use x509_parser::extensions::KeyUsage;
use x509_parser::oid_registry::{
    OID_X509_EXT_BASIC_CONSTRAINTS, OID_X509_EXT_KEY_USAGE, OID_X509_EXT_SUBJECT_ALT_NAME,
};
use x509_parser::prelude::X509Certificate;

use super::object;

/// Uses of the leaf's key in the handshake that depend on the kind of key.
const OF_KEY: [&str; 2] = ["keyAgreement", "keyEncipherment"];

/// What clients may check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Uses {
    /// What is allowed: what a certificate does not restrict is.
    allowed: BTreeSet<&'static str>,
    /// The critical extensions, but those that each client knows.
    critical: BTreeSet<String>,
}

impl Uses {
    /// Returns those of a chain, the leaf first.
    pub(super) fn of(chain: &[X509Certificate<'_>]) -> Self {
        let mut allowed = BTreeSet::new();
        if let Some((leaf, issuers)) = chain.split_first() {
            let usage = leaf.key_usage().ok().flatten().map(|found| found.value);
            for (name, is_allowed) in [
                (
                    "digitalSignature",
                    usage.is_none_or(KeyUsage::digital_signature),
                ),
                ("keyAgreement", usage.is_none_or(KeyUsage::key_agreement)),
                (
                    "keyEncipherment",
                    usage.is_none_or(KeyUsage::key_encipherment),
                ),
                ("serverAuth", serves(leaf)),
                ("serverAuth by an issuer", issuers.iter().all(serves)),
            ] {
                allowed.extend(is_allowed.then_some(name));
            }
        }
        let extensions = chain.iter().flat_map(|link| link.extensions());
        let critical = extensions.filter(|extension| {
            // Names are critical in a leaf without a subject (RFC 5280, section 4.2.1.6).
            let known = [
                OID_X509_EXT_BASIC_CONSTRAINTS,
                OID_X509_EXT_KEY_USAGE,
                OID_X509_EXT_SUBJECT_ALT_NAME,
            ];
            extension.critical && !known.contains(&extension.oid)
        });
        Self {
            allowed,
            critical: critical.map(|extension| object(&extension.oid)).collect(),
        }
    }

    /// Returns what is allowed no more, with a key of the same kind or another.
    pub(super) fn lost(&self, now: &Self, is_same_key: bool) -> Vec<String> {
        let lost = self.allowed.difference(&now.allowed);
        let lost = lost.filter(|name| is_same_key || !OF_KEY.contains(name));
        lost.map(|name| (*name).to_owned()).collect()
    }

    /// Returns the critical extensions that came.
    pub(super) fn added(&self, now: &Self) -> Vec<String> {
        now.critical.difference(&self.critical).cloned().collect()
    }

    /// Returns what a digest is made of.
    pub(super) fn identity(&self) -> String {
        let allowed = self.allowed.iter().copied();
        let critical = self.critical.iter().map(String::as_str);
        allowed.chain(critical).collect::<Vec<_>>().join("\t")
    }
}

/// Reports whether a certificate is for servers, or issues such ones.
fn serves(link: &X509Certificate<'_>) -> bool {
    let purposes = link.extended_key_usage().ok().flatten();
    purposes.is_none_or(|found| found.value.any || found.value.server_auth)
}
