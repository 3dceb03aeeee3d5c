//! The checks of client authentication: CA certificates, rules and revocation lists, as far as the spec has them.
//!
//! It must not look at other objects.

use std::collections::BTreeMap;

use mqtt_tls_config::{self as file, CRLS_MAX};
use mqtt_tls_judge::client::configured;

use super::{Environment, Part};
use crate::crd::{ClientAuth, ClientAuthMode, CrlUrl, MqttTlsListener};
use crate::plan::client_rules;

/// Maximum number of references to CA certificates and revocation lists of a listener with all its hosts: they are recorded in an
/// annotation.
const REFERENCES_MAX: usize = 128;

/// Maximum number of entries of `caRefs` and of `crlRefs`.
const LIST_MAX: usize = 16;

/// Clients whose certificates are requested have a CA.
pub(super) fn has_a_ca(listener: &MqttTlsListener, _: &Environment) -> Option<String> {
    Part::first_wrong(listener, |part| {
        let auth = part.client_auth?;
        (auth.mode != ClientAuthMode::None && auth.cas().next().is_none()).then(|| {
            format!(
                "{}.mode Optional, Require and DryRun need {0}.caRef, the Secret or ConfigMap with the CA certificates for \
                 devices' certificates; add it, or set mode: None",
                part.key.field("clientAuth")
            )
        })
    })
}

/// Rules and lists can be used, and there are not too many.
pub(super) fn is_usable(listener: &MqttTlsListener, _: &Environment) -> Option<String> {
    let auths = || Part::all(listener).filter_map(|part| part.client_auth);
    let references: usize = auths().map(references).sum();
    if references > REFERENCES_MAX {
        return Some(format!(
            "spec.clientAuth and those of all hosts have {references} references to CA certificates and revocation lists; at most \
             {REFERENCES_MAX} are allowed; put several certificates into one object"
        ));
    }
    Part::first_wrong(listener, |part| {
        let (auth, field) = (part.client_auth?, part.key.field("clientAuth"));
        wrong(auth).map(|wrong| format!("{field}.{wrong}"))
    })
    .or_else(|| differing_urls(listener))
}

fn references(auth: &ClientAuth) -> usize {
    let lists = auth.revocation.iter();
    let servers = lists.clone().flat_map(|lists| &lists.crl_urls);
    let servers = servers.filter(|url| url.ca_ref.is_some());
    let lists = lists.map(|lists| lists.crl_refs.len());
    auth.cas().count() + lists.sum::<usize>() + servers.count()
}

/// Returns what is wrong with client authentication, behind its path.
fn wrong(auth: &ClientAuth) -> Option<String> {
    let too_many = |field: &str, count: usize, most: usize| {
        (count > most).then(|| format!("{field} has {count} entries; it must have at most {most}"))
    };
    let rules: Option<Vec<file::ClientRule>> =
        auth.rules.iter().map(client_rules::of_spec).collect();
    let Some(rules) = rules else {
        let mut rules = auth.rules.iter();
        let index = rules.position(|rule| client_rules::of_spec(rule).is_none());
        return Some(format!(
            "rules[{}] needs one value; set one of exact, prefix and suffix",
            index.unwrap_or_default()
        ));
    };
    if let Err(errors) = configured::rules(&rules) {
        let (index, error) = errors.into_iter().next()?;
        return Some(format!("rules[{index}]: {error}"));
    }
    let lists = auth.revocation.as_ref();
    if lists.is_some_and(|lists| lists.crl_refs.is_empty() && lists.crl_urls.is_empty()) {
        return Some(
            "revocation has no list; add one to crlRefs or crlUrls, or remove it".to_owned(),
        );
    }
    too_many("caRefs", auth.ca_refs.len(), LIST_MAX)
        .or_else(|| too_many("revocation.crlRefs", lists?.crl_refs.len(), LIST_MAX))
        .or_else(|| too_many("revocation.crlUrls", lists?.crl_urls.len(), CRLS_MAX))
        .or_else(|| {
            let mut urls = lists?.crl_urls.iter().enumerate();
            urls.find_map(|(index, url)| {
                let wrong = wrong_url(url)?;
                Some(format!("revocation.crlUrls[{index}].{wrong}"))
            })
        })
}

fn wrong_url(url: &CrlUrl) -> Option<&'static str> {
    if !file::CrlUrl::is_url(&url.url) {
        return Some(
            "url must be a URL of at most 2048 bytes that begins with http:// or https://, with a host, and without user name, \
             password and fragment",
        );
    }
    let is_https = file::CrlUrl::is_https_url(&url.url);
    match (&url.ca_ref, is_https) {
        (None, true) => {
            return Some(
                "caRef is missing: the server of an https URL cannot be verified without CA certificates",
            );
        }
        (Some(_), false) => {
            return Some("caRef is for https only; change the URL, or remove caRef");
        }
        _ => {}
    }
    let refresh = file::CrlUrl::refresh_of(url.refresh.as_deref());
    refresh
        .is_none()
        .then_some("refresh must be a duration from 1m to 24h, such as 30m or 1h")
}

/// Each URL is fetched once, so it has one CA and one period, and there are not too many.
fn differing_urls(listener: &MqttTlsListener) -> Option<String> {
    let mut known: BTreeMap<&str, &CrlUrl> = BTreeMap::new();
    let parts = Part::all(listener).filter_map(|part| part.client_auth?.revocation.as_ref());
    for url in parts.flat_map(|lists| &lists.crl_urls) {
        let first = known.entry(&url.url).or_insert(url);
        let refresh = |url: &CrlUrl| file::CrlUrl::refresh_of(url.refresh.as_deref());
        if first.ca_ref != url.ca_ref || refresh(first) != refresh(url) {
            return Some(format!(
                "clientAuth.revocation.crlUrls has {} twice, with another caRef or refresh; it is fetched once, so use the same",
                url.url
            ));
        }
    }
    let count = known.len();
    (count > CRLS_MAX).then(|| {
        format!(
            "clientAuth.revocation.crlUrls of the listener and its hosts have {count} URLs; at most {CRLS_MAX} are allowed"
        )
    })
}
