//! Converts the rules for clients' certificates, and how revocation is judged, to those of the terminators' configuration.
//!
//! It must not judge a rule; the terminators' judge does.

use mqtt_tls_config as file;

use crate::crd::{ClientRule, Revocation, RevocationCheck, RuleField, WhenUnknown};

/// Converts a rule; `None` if it has not exactly one value.
pub fn of_spec(rule: &ClientRule) -> Option<file::ClientRule> {
    let values = [
        (file::RuleMatching::Exact, &rule.exact),
        (file::RuleMatching::Prefix, &rule.prefix),
        (file::RuleMatching::Suffix, &rule.suffix),
    ];
    let mut values = values
        .into_iter()
        .filter_map(|(matching, value)| Some((matching, value.clone()?)));
    let ((matching, value), None) = (values.next()?, values.next()) else {
        return None;
    };
    Some(file::ClientRule {
        field: match rule.field {
            RuleField::CommonName => file::RuleField::CommonName,
            RuleField::Dns => file::RuleField::Dns,
            RuleField::Uri => file::RuleField::Uri,
            RuleField::Email => file::RuleField::Email,
            RuleField::Ip => file::RuleField::Ip,
            RuleField::Spki => file::RuleField::Spki,
        },
        matching,
        value,
    })
}

/// Converts how revocation is judged.
pub fn revocation(spec: &Revocation) -> file::Revocation {
    let unknown = |value| match value {
        None | Some(WhenUnknown::Accept) => file::WhenUnknown::Accept,
        Some(WhenUnknown::Refuse) => file::WhenUnknown::Refuse,
    };
    file::Revocation {
        check: match spec.check {
            None | Some(RevocationCheck::Chain) => file::RevocationCheck::Chain,
            Some(RevocationCheck::Leaf) => file::RevocationCheck::Leaf,
        },
        when_outdated: unknown(spec.when_outdated),
        when_unlisted: unknown(spec.when_unlisted),
    }
}
