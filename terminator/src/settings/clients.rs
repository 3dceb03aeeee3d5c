//! Makes the judge's [`Clients`] of the file's `clientAuth`. Pure.
//!
//! It must not judge CA certificates or lists.

use std::sync::Arc;

use mqtt_tls_config::{
    ClientAuth, ClientRule, RevocationCheck, RuleField, RuleMatching, WhenUnknown as Entry,
};
use mqtt_tls_judge::authorities::Authorities;
use mqtt_tls_judge::client::{Clients, Depth, Purpose, Revocation, WhenUnknown};
use mqtt_tls_judge::identity::Field;
use mqtt_tls_judge::identity::rules::{Error, Matching, Rule, Rules};

/// Makes how clients are judged, with these authorities. Each error has the index of its rule.
pub(super) fn of(
    entry: &ClientAuth,
    authorities: &Authorities,
) -> Result<Clients, Vec<(usize, Error)>> {
    let revocation = entry.revocation.as_ref().map(|entry| Revocation {
        depth: match entry.check {
            RevocationCheck::Chain => Depth::Chain,
            RevocationCheck::Leaf => Depth::Leaf,
        },
        when_outdated: unknown(entry.when_outdated),
        when_unlisted: unknown(entry.when_unlisted),
    });
    Ok(Clients {
        roots: Arc::clone(authorities.roots()),
        purpose: if entry.accept_server_purpose {
            Purpose::ClientOrServer
        } else {
            Purpose::Client
        },
        revocation,
        rules: rules(&entry.rules)?,
    })
}

fn rules(entries: &[ClientRule]) -> Result<Option<Rules>, Vec<(usize, Error)>> {
    if entries.is_empty() {
        return Ok(None);
    }
    let (mut rules, mut errors) = (Vec::new(), Vec::new());
    for (index, entry) in entries.iter().enumerate() {
        match rule(entry) {
            Ok(rule) => rules.push(rule),
            Err(error) => errors.push((index, error)),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    match Rules::new(rules) {
        Ok(rules) => Ok(Some(rules)),
        Err(error) => Err(vec![(0, error)]),
    }
}

fn rule(entry: &ClientRule) -> Result<Rule, Error> {
    let field = match entry.field {
        RuleField::CommonName => Field::CommonName,
        RuleField::Dns => Field::Dns,
        RuleField::Uri => Field::Uri,
        RuleField::Email => Field::Email,
        RuleField::Ip => Field::Ip,
        RuleField::Spki => Field::Spki,
    };
    let matching = match entry.matching {
        RuleMatching::Exact => Matching::Exact,
        RuleMatching::Prefix => Matching::Prefix,
        RuleMatching::Suffix => Matching::Suffix,
    };
    Rule::new(field, matching, &entry.value)
}

fn unknown(entry: Entry) -> WhenUnknown {
    match entry {
        Entry::Accept => WhenUnknown::Accept,
        Entry::Refuse => WhenUnknown::Refuse,
    }
}
