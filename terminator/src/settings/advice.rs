//! Advice about settings that can be served: what has no effect at the moment, or more than it seems to. Pure.
//!
//! It must not refuse anything.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use super::Settings;
use super::hosts::Host;
use crate::crls;
use crate::tls::ClientTrust;

/// Advice about an active configuration, beside that about certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// The first name of the host whose it is; empty for the listener itself.
    pub host: String,
    /// Key of the configuration.
    pub key: String,
    /// Reason, one of a fixed set.
    pub reason: &'static str,
    /// What is wrong, and what to do.
    pub message: &'static str,
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            host, key, message, ..
        } = self;
        if host.is_empty() {
            write!(f, "{key}: {message}")
        } else {
            write!(f, "{key} ({host}): {message}")
        }
    }
}

impl Settings {
    /// Reports whether clients of any host are judged by revocation lists.
    pub(crate) fn judges_revocation(&self) -> bool {
        let mut hosts = self.hosts.all();
        hosts.any(|host| {
            let trust = host.trust.trust();
            trust.is_some_and(|trust| trust.clients.revocation.is_some())
        })
    }

    /// Returns the warnings about revocation lists at a time.
    pub fn list_warnings(&self, now: Timestamp) -> Vec<crls::Warning> {
        self.crls.warnings(now)
    }

    /// Returns the advice: what is written and has no effect at the moment, or more than it seems to.
    pub fn advice(&self) -> Vec<Advice> {
        let judges = |host: &&Arc<Host>| {
            let trust = host.trust.trust().filter(|_| host.has_own_trust);
            trust.is_some_and(|trust| trust.clients.revocation.is_some())
        };
        let hosts = self.hosts.all().filter(judges);
        // A URL that has not brought its list is a warning of its own.
        let is_empty = self.crl_urls.is_empty() && self.crls.lists().lists().is_empty();
        let unlisted = hosts.filter(|_| is_empty);
        let mut advice: Vec<Advice> = Vec::new();
        advice.extend(unlisted.map(|host| Advice {
            host: host.name().to_owned(),
            key: format!("{}clientAuth.revocation", host.key),
            reason: "NoRevocationList",
            message: "there is no revocation list, so no certificate is known to be revoked; add one to the file `--crls`, or to `crls`",
        }));
        let is_unused = !self.crl_urls.is_empty() && !self.judges_revocation();
        advice.extend(is_unused.then(|| Advice {
            host: String::new(),
            key: "crls".to_owned(),
            reason: "RevocationOff",
            message: "no `clientAuth` has `revocation`, so these lists are fetched and revoke nothing; add `revocation`, or remove them",
        }));
        let hosts = self.hosts.all().filter(|host| host.has_unused_rules);
        advice.extend(hosts.map(|host| Advice {
            host: host.name().to_owned(),
            key: format!("{}clientAuth", host.key),
            reason: "ClientAuthOff",
            message: "with `mode: None` clients are not asked for certificates, so `rules`, `revocation` and `acceptServerPurpose` \
                have no effect; set another mode, or remove them",
        }));
        let hosts = self.hosts.all().filter(|host| refuses_all(host));
        advice.extend(hosts.map(|host| Advice {
            host: host.name().to_owned(),
            key: format!("{}identity", host.key),
            reason: "DryRunRefuses",
            message: "in a dry run no client has a certificate that counts, so `identity` refuses each of them; set \
                `withoutCertificate`, or remove `identity` until the dry run is over",
        }));
        advice
    }
}

/// Reports whether a dry run serves clients that its names then refuse.
fn refuses_all(host: &Host) -> bool {
    let is_rehearsed = matches!(host.trust, ClientTrust::DryRun(_));
    let naming = host.naming.as_ref().filter(|_| is_rehearsed);
    naming.is_some_and(|naming| naming.fallback().is_none())
}
