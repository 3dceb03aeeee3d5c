//! The hosts of a configuration: what a client gets by the name that it requests (SNI, RFC 6066, section 3). Pure.
//!
//! It must not judge certificates, and must not know sockets.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use mqtt_tls_config::{Backend, UnknownNames, are_same_names};

use super::name_key::{NameKey, hash};
use super::{About, Warning};
use crate::backend::known::Known;
use crate::tls::{Candidate, ClientTrust, Served};
use crate::verdicts::Verdicts;
use mqtt_tls_judge::certificate::Certificate;
use mqtt_tls_judge::finding::Reason;
use mqtt_tls_judge::hosts as judge;
use mqtt_tls_judge::identity::naming::Naming;
use mqtt_tls_judge::identity::shared;

/// What clients get that request one of its names; or any other, from the listener itself.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says of a part of its own whether the host has one"
)]
pub(crate) struct Host {
    /// Its key in the configuration, with a dot; empty for the listener itself.
    pub(crate) key: String,
    /// Its names, in lower case; none for the listener itself.
    pub(crate) names: Vec<String>,
    pub(crate) tls: Served,
    /// Client authentication.
    pub(crate) trust: ClientTrust,
    /// Whether the configuration has client authentication for this host.
    pub(crate) has_own_trust: bool,
    /// Whether it is written how to judge clients that are not asked for certificates.
    pub(crate) has_unused_rules: bool,
    /// Counters of refused clients, also from before a reload.
    pub(crate) verdicts: Arc<Verdicts>,
    /// Names from clients' certificates.
    pub(crate) naming: Option<Naming>,
    /// Whether the configuration has them for this host.
    pub(crate) has_own_naming: bool,
    /// Its certificates, the default first.
    pub(crate) certificates: Vec<Certificate>,
    /// What may take their places.
    pub(crate) candidates: Vec<Candidate>,
    /// Whether the configuration has certificates for this host.
    pub(crate) has_own_certificates: bool,
    pub(crate) target: Target,
    /// Whether the configuration has a backend for this host.
    pub(crate) has_own_backend: bool,
    /// Whether the configuration has application protocols for this host.
    pub(crate) has_own_protocols: bool,
    /// The backends of clients that negotiate one of these protocols (ALPN).
    pub(crate) by_protocol: Vec<(String, Target)>,
}

/// A backend.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) backend: Arc<Backend>,
    /// What is known of it, also from before a reload.
    pub(crate) known: Arc<Known>,
}

impl Host {
    /// Returns the backend of clients that negotiate a protocol.
    pub(crate) fn target(&self, protocol: Option<&[u8]>) -> &Target {
        let mut by_protocol = self.by_protocol.iter();
        let own = by_protocol.find(|(name, _)| Some(name.as_bytes()) == protocol);
        own.map_or(&self.target, |(_, target)| target)
    }

    /// Returns all its backends.
    pub(crate) fn targets(&self) -> impl Iterator<Item = &Target> {
        let by_protocol = self.by_protocol.iter().map(|(_, target)| target);
        std::iter::once(&self.target).chain(by_protocol)
    }

    /// Returns the first of its names; empty for the listener itself.
    pub(crate) fn name(&self) -> &str {
        self.names.first().map_or("", |name| name)
    }

    /// Returns what it has for the names of its clients.
    pub(super) fn named(&self) -> shared::Host<'_> {
        shared::Host {
            shown: match self.key.strip_suffix('.') {
                Some(key) => format!("`{key}`"),
                None => "the file itself (`identity`)".to_owned(),
            },
            naming: self.naming.as_ref(),
            authorities: self.trust.authorities(),
            backends: self.targets().map(|target| &*target.backend).collect(),
        }
    }

    fn judged<'h>(&'h self, backends: &'h [String]) -> judge::Host<'h> {
        let certificates = self.certificates.iter();
        judge::Host {
            names: &self.names,
            certificates: certificates.map(|one| &*one.facts().dns_names).collect(),
            required: self.trust.required(),
            keeps_client_ids: self.has_own_naming
                && self.naming.as_ref().map(Naming::names) == Some((true, false)),
            backends,
        }
    }
}

/// Lets no certificate give a name of clients without one at another host with the same backend.
pub(super) fn reserve(hosts: &mut [&mut Host]) {
    let guests: Vec<_> = hosts
        .iter()
        .filter_map(|host| {
            let fallback = host.naming.as_ref()?.fallback()?;
            let backends = host.targets().map(|target| Arc::clone(&target.backend));
            Some((backends.collect::<Vec<_>>(), fallback.clone()))
        })
        .collect();
    for host in hosts {
        let is_reached = |backend: &Arc<Backend>| {
            let mut own = host.targets();
            own.any(|target| target.backend == *backend)
        };
        let others: Vec<_> = guests
            .iter()
            .filter(|(backends, _)| backends.iter().any(is_reached))
            .collect();
        if let Some(naming) = &mut host.naming {
            for (_, names) in others {
                naming.reserve(names.clone());
            }
        }
    }
}

/// The listener itself, and its hosts by name.
#[derive(Clone)]
pub(crate) struct Hosts {
    listener: Arc<Host>,
    others: Vec<Arc<Host>>,
    exact: Arc<HashMap<String, usize>>,
    /// By the name after `*.`.
    wildcard: Arc<HashMap<String, usize>>,
    /// All names by their hashes, for connections that have only these.
    by_hash: Arc<HashMap<u64, usize>>,
    unknown: UnknownNames,
}

impl Hosts {
    /// Indexes the hosts, each of whose names belongs to one of them.
    pub(crate) fn new(listener: Host, others: Vec<Host>, unknown: UnknownNames) -> Self {
        let (mut exact, mut wildcard) = (HashMap::new(), HashMap::new());
        for (index, host) in others.iter().enumerate() {
            for name in &host.names {
                match name.strip_prefix("*.") {
                    Some(parent) => wildcard.insert(parent.to_owned(), index),
                    None => exact.insert(name.clone(), index),
                };
            }
        }
        let names = others.iter().enumerate();
        let by_hash =
            names.flat_map(|(index, host)| host.names.iter().map(move |name| (hash(name), index)));
        let by_hash = by_hash.collect();
        Self {
            by_hash: Arc::new(by_hash),
            listener: Arc::new(listener),
            others: others.into_iter().map(Arc::new).collect(),
            exact: Arc::new(exact),
            wildcard: Arc::new(wildcard),
            unknown,
        }
    }

    /// Returns what clients without a name get.
    pub(crate) fn listener(&self) -> &Arc<Host> {
        &self.listener
    }

    /// Returns the listener itself, and then its hosts.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Host>> {
        std::iter::once(&self.listener).chain(&self.others)
    }

    /// Returns the listener itself, or the host, with exactly these names, in any order.
    pub(super) fn with_names(&self, names: &[String]) -> Option<&Arc<Host>> {
        let mut hosts = self.all();
        hosts.find(|host| are_same_names(&host.names, names))
    }

    /// Returns the warnings about all of them together.
    pub(super) fn together(&self) -> Vec<Warning> {
        let hosts: Vec<&Arc<Host>> = self.all().collect();
        let of = |host: &Arc<Host>| -> Vec<String> {
            let targets = host.targets();
            targets.map(|target| target.backend.to_string()).collect()
        };
        let backends: Vec<Vec<String>> = hosts.iter().map(|host| of(host)).collect();
        let judged: Vec<judge::Host<'_>> = hosts
            .iter()
            .zip(&backends)
            .map(|(host, backends)| host.judged(backends))
            .collect();
        let found = judge::findings(&judged).into_iter();
        found
            .map(|(index, finding)| {
                let host = hosts[index];
                let key = match finding.reason {
                    Reason::ClientIdKept => "identity",
                    Reason::NameNotCovered => "names",
                    _ => "clientAuth",
                };
                Warning {
                    host: host.name().to_owned(),
                    about: About::Host,
                    key: format!("{}{key}", host.key),
                    finding,
                }
            })
            .collect()
    }

    /// Returns all certificates, each once: the listener's, the default first, and its candidates, and then those of its hosts.
    pub(crate) fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        let owners = self.all().filter(|host| host.has_own_certificates);
        owners.flat_map(|host| {
            let candidates = host.candidates.iter().map(|one| &one.certificate);
            host.certificates.iter().chain(candidates)
        })
    }

    /// Returns the IDs of all candidates.
    pub(crate) fn trials(&self) -> BTreeSet<String> {
        let candidates = self.all().flat_map(|host| &host.candidates);
        candidates.map(|one| one.id.clone()).collect()
    }

    /// Returns the host for a requested name; `None` if such names are refused. An exact name comes before a wildcard,
    /// which stands for one label (RFC 6125, section 6.4.3). An address is no name.
    pub(crate) fn of(&self, requested: Option<&str>) -> Option<&Arc<Host>> {
        let Some(name) = plain(requested) else {
            return Some(&self.listener);
        };
        let by_wildcard = || {
            let (label, parent) = name.split_once('.')?;
            self.wildcard.get(parent).filter(|_| !label.is_empty())
        };
        if let Some(index) = self.exact.get(&name).or_else(by_wildcard) {
            return self.others.get(*index);
        }
        let is_known = || self.listener.tls.has_name(&name);
        (self.unknown == UnknownNames::Serve || is_known()).then_some(&self.listener)
    }

    /// Reports whether clients of each name are judged as by other hosts.
    pub(crate) fn judge_as(&self, other: &Self) -> bool {
        let is_same = |host: &Host, other: &Host| host.trust.is_same(&other.trust);
        is_same(&self.listener, &other.listener)
            && self.others.len() == other.others.len()
            && self.others.iter().all(|host| {
                let other = other.with_names(&host.names);
                other.is_some_and(|other| is_same(host, other))
            })
    }

    /// Returns the host to which a name belongs that a connected client has requested: the listener itself if no host has it any
    /// more.
    pub(crate) fn again(&self, name: NameKey) -> &Arc<Host> {
        let mut hashes = name.hashes().into_iter();
        let index = hashes.find_map(|hash| self.by_hash.get(&hash));
        let host = index.and_then(|index| self.others.get(*index));
        host.unwrap_or(&self.listener)
    }
}

/// Returns the key of a requested name, by which its host is found again.
pub(crate) fn key_of(requested: Option<&str>) -> NameKey {
    plain(requested).map_or_else(NameKey::default, |name| NameKey::of(&name))
}

/// Returns a requested name as hosts have theirs; `None` for an address, which is no name.
fn plain(requested: Option<&str>) -> Option<String> {
    let name = requested.filter(|name| name.parse::<IpAddr>().is_err())?;
    // Clients that resolve an absolute name may send it with its dot, which rustls ignores too.
    let name = name.strip_suffix('.').unwrap_or(name);
    Some(name.to_ascii_lowercase())
}
