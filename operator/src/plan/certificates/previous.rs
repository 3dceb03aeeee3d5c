//! The previous configuration, read back from the config Secret, or from the accepted one if someone has deleted it: the last good state
//! of everything that is served, for what is wrong now. Its certificates are judged lazily and at most once: while nothing is wrong, never.
//!
//! It must not return what cannot be served, must not read a Secret of another owner, and must not decide what is
//! served.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use mqtt_tls_config::{self as file, Config, Host, Pem, are_same_names};

use super::authorities::Bundle;
use super::entry::Entry;
use super::lists::Pool;
use super::served::Served;
use super::serving::{self, Serving};
use crate::plan::host_key::HostKey;
use crate::plan::names::{ACCEPTED_KEY, CONFIG_KEY, Identity, Name, Ownership, TRIALS, TRIALS_KEY};
use crate::plan::objects::Children;
use crate::plan::source::{DataKey, HostSources, Source, Sources};
use crate::plan::trials::state::State;

/// The previous configuration.
#[derive(Clone, Default)]
pub struct Previous {
    listener: Entry,
    hosts: Vec<Entry>,
    /// The configuration without hosts, certificates and CA certificates; `None` if there is none.
    rest: Option<Box<Config>>,
    /// The file's text.
    text: Option<Pem>,
    /// The revocation lists beside it.
    crls: Pool,
    /// The trials beside it.
    trials: State,
}

impl Previous {
    /// Reads the configuration back. An unreadable one is ignored.
    ///
    /// Without a config Secret, it is the one that all pods accepted last, with the trials as they stand now: pods that run still serve
    /// it, and a certificate that was rolled back must not reach all because a Secret was deleted.
    pub fn read(identity: &Identity, children: &Children) -> Self {
        let is_ours = |secret: &&Secret| identity.ownership(&secret.metadata) == Ownership::Ours;
        let current = children.config_secret();
        if current.is_some_and(|secret| !is_ours(&secret)) {
            return Self::default();
        }
        let current = current.and_then(|secret| Self::of(identity, secret, CONFIG_KEY));
        let accepted = || {
            let accepted = children.accepted_secret().filter(is_ours);
            accepted.and_then(|secret| Self::of(identity, secret, ACCEPTED_KEY))
        };
        current.or_else(accepted).unwrap_or_default()
    }

    /// Reads the configuration under a key of a Secret.
    fn of(identity: &Identity, secret: &Secret, key: &str) -> Option<Self> {
        let text = text_of(secret, key)?;
        let mut config = Config::parse(text).ok()?;
        let sources = Sources::read(secret.annotations(), &identity.namespace);
        let own = Name::new(&identity.namespace, &secret.name_any());
        let hosts = std::mem::take(&mut config.hosts);
        let mut of_hosts = sources.hosts;
        if of_hosts.len() != hosts.len() {
            of_hosts = vec![HostSources::default(); hosts.len()];
        }
        let listener = listener(&mut config);
        let listener = Entry::of(HostKey::LISTENER, listener, sources.listener, &config, &own);
        let hosts = hosts.into_iter().zip(of_hosts).map(|(host, sources)| {
            let key = HostKey::of_file(&host.names);
            Entry::of(key, host, sources, &config, &own)
        });
        Some(Self {
            listener,
            hosts: hosts.collect(),
            rest: Some(Box::new(config)),
            text: Some(Pem::new(text.to_owned())),
            crls: Pool::read(secret, &identity.namespace),
            trials: State::read(
                secret.annotations().get(TRIALS).map(String::as_str),
                text_of(secret, TRIALS_KEY),
                &identity.namespace,
            ),
        })
    }

    /// Returns what is remembered of trials.
    pub fn trials(&self) -> &State {
        &self.trials
    }

    /// Returns the IDs of the trials of all candidates.
    pub fn candidates(&self) -> BTreeSet<String> {
        let candidates = self.all().flat_map(Entry::candidates);
        candidates.map(|(id, _)| id.to_owned()).collect()
    }

    /// Returns the configuration without hosts, certificates and CA certificates.
    pub fn rest(&self) -> Option<&Config> {
        self.rest.as_deref()
    }

    /// Returns its version, if it has one.
    pub fn version(&self) -> Option<&str> {
        self.rest()?.version.as_deref()
    }

    /// Reports whether its file has this text.
    pub fn is(&self, text: &Pem) -> bool {
        self.text.as_ref() == Some(text)
    }

    /// Returns the ports that it listens on, `port` first.
    pub fn ports(&self) -> Vec<u16> {
        let rest = self.rest().into_iter();
        rest.flat_map(|rest| std::iter::once(rest.port).chain(rest.also_listen.iter().copied()))
            .collect()
    }

    /// Returns what it has for the listener itself.
    pub fn listener(&self) -> &Entry {
        &self.listener
    }

    /// Returns what it has for the hosts.
    pub fn hosts(&self) -> &[Entry] {
        &self.hosts
    }

    /// Returns the host with exactly these names, in any order. One with other names may be another tenant's.
    pub fn host(&self, names: &[String]) -> Option<&Entry> {
        let mut hosts = self.hosts.iter();
        hosts.find(|host| are_same_names(host.names(), names))
    }

    /// Returns the hosts to which one of these names belongs.
    pub fn hosts_of(&self, names: &[String]) -> impl Iterator<Item = &Entry> {
        let hosts = self.hosts.iter();
        hosts.filter(move |host| host.names().iter().any(|name| names.contains(name)))
    }

    /// Reports whether one of these names belongs to a host.
    pub fn has_host(&self, names: &[String]) -> bool {
        self.hosts_of(names).next().is_some()
    }

    fn all(&self) -> impl Iterator<Item = &Entry> {
        std::iter::once(&self.listener).chain(&self.hosts)
    }

    /// Returns the certificates that can be served, the default first, and then those of the hosts.
    pub fn served(&self) -> impl Iterator<Item = &Served> {
        self.all().flat_map(Entry::served)
    }

    /// Returns the first that one of its entries has.
    pub fn find<'p, T: ?Sized>(&'p self, of: impl Fn(&'p Entry) -> Option<&'p T>) -> Option<&'p T> {
        self.all().find_map(of)
    }

    /// Returns since when the ReferenceGrant of a certificate is withdrawn, if it is.
    pub fn withdrawn(&self, source: &Source) -> Option<Timestamp> {
        let mut all = self.all().flat_map(Entry::withdrawn);
        let withdrawn = all.find(|one| one.source == *source)?;
        Some(withdrawn.since)
    }

    /// Reports whether the previous configuration contains this chain, from any source.
    pub fn serves(&self, one: &Served) -> bool {
        self.served()
            .any(|served| served.certificate.is_same(&one.certificate))
    }

    /// Returns the CA bundle from these sources.
    pub fn authorities(&self, sources: &[DataKey]) -> Option<(&[DataKey], &Bundle)> {
        let mut bundles = self.all().filter_map(Entry::authorities);
        bundles.find(|(found, _)| *found == sources)
    }

    /// Returns the revocation lists beside it.
    pub fn crls(&self) -> &Pool {
        &self.crls
    }

    /// Returns the revocation lists that the pods fetch.
    pub fn urls(&self) -> &[file::CrlUrl] {
        self.rest().map_or(&[], |rest| &rest.crls)
    }

    /// Reports whether the previous configuration contains these CA certificates.
    pub fn trusts(&self, bundle: &Bundle) -> bool {
        let mut bundles = self.all().filter_map(Entry::authorities);
        bundles.any(|(_, before)| before.authorities.is_same(&bundle.authorities))
    }

    /// Describes the previous configuration while it is served.
    pub fn serving(&self, now: Timestamp) -> Serving {
        let served: Vec<Vec<Served>> = self
            .all()
            .map(|one| one.served().cloned().collect())
            .collect();
        let parts = self.all().zip(&served).map(|(one, served)| serving::Part {
            key: one.key(),
            names: one.names(),
            served,
            ca_warnings: &[],
            authorities: one.authorities().map(|(_, bundle)| &bundle.authorities),
        });
        let parts: Vec<serving::Part<'_>> = parts.collect();
        let file = self.rest().map(|rest| serving::File {
            version: rest.version.clone(),
            port: rest.port,
            device_buffer: rest.tls.device_buffer(),
        });
        Serving::before(&parts, file, now)
    }

    /// Returns the number of certificates that were judged.
    #[cfg(test)]
    pub(crate) fn judged(&self) -> usize {
        self.all().map(Entry::judged).sum()
    }
}

/// Returns the text under a key of the config Secret.
fn text_of<'s>(secret: &'s Secret, key: &str) -> Option<&'s str> {
    let bytes = secret.data.as_ref()?.get(key)?;
    std::str::from_utf8(&bytes.0).ok()
}

/// Moves what a configuration has for the listener itself out of it, as far as that is certificates and CA certificates.
fn listener(config: &mut Config) -> Host {
    let ca = config.client_auth.ca.take();
    let pem = std::mem::replace(&mut config.pem, Pem::new(String::new()));
    Host {
        pem: Some(pem),
        candidate: config.candidate.take(),
        certificates: std::mem::take(&mut config.certificates),
        client_auth: Some(file::ClientAuth {
            ca,
            ..config.client_auth.clone()
        }),
        identity: config.identity.clone(),
        backend: Some(config.backend.clone()),
        tls: file::HostTls {
            alpn: Some(config.tls.alpn.clone()),
        },
        ..Host::new(Vec::new())
    }
}
