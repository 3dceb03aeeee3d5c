//! The previous configuration, read back from the config Secret: the last good state of everything that is served, for
//! what is wrong now. Its certificates are judged lazily and at most once: while nothing is wrong, never.
//!
//! It must not return what cannot be served, must not read a Secret of another owner, and must not decide what is
//! served.

use std::sync::OnceLock;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use mqtt_tls_config::{
    self as file, Alpn, Backend, Certificate, ClientAuthMode, Config, Host, Pem, are_same_names,
};

use super::authorities::Bundle;
use super::served::Served;
use super::serving::{self, Serving};
use crate::plan::host_key::HostKey;
use crate::plan::listener::{Authentication, ClientAuth};
use crate::plan::names::{CONFIG_KEY, Identity, Name, Ownership};
use crate::plan::source::{CaSource, HostSources, Source, Sources};

/// The previous configuration.
#[derive(Clone, Default)]
pub struct Previous {
    listener: Entry,
    hosts: Vec<Entry>,
    /// The configuration without hosts, certificates and CA certificates; `None` if there is none.
    rest: Option<Box<Config>>,
    /// The file's text.
    text: Option<Pem>,
}

/// What a configuration has for the listener itself, or for one of its hosts.
#[derive(Clone, Default)]
pub struct Entry {
    key: HostKey,
    names: Vec<String>,
    /// Empty if the listener's are served.
    certificates: Vec<Rendered>,
    /// None if clients are authenticated as by the listener.
    mode: Option<ClientAuthMode>,
    authorities: Option<RenderedBundle>,
    /// None if it is the listener's.
    backend: Option<Backend>,
    /// None if they are the listener's.
    alpn: Option<Alpn>,
}

/// A certificate of a configuration.
#[derive(Clone)]
struct Rendered {
    source: Source,
    pem: Pem,
    judged: OnceLock<Option<Served>>,
}

/// The CA bundle of a configuration.
#[derive(Clone)]
struct RenderedBundle {
    /// None if unknown.
    source: Option<CaSource>,
    /// Description of the source, for messages.
    object: String,
    pem: Pem,
    judged: OnceLock<Option<Bundle>>,
}

/// The source of the CA certificates is unknown: someone edited the annotation or the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown;

impl Rendered {
    /// Returns the certificate, or `None` if it cannot be served.
    fn served(&self) -> Option<&Served> {
        let judge = || Served::judge(self.source.clone(), self.pem.clone()).ok();
        self.judged.get_or_init(judge).as_ref()
    }
}

impl Entry {
    /// Reads what a configuration has. Sources that do not match it are ignored: someone edited the annotation or the
    /// file.
    fn of(part: Part, sources: HostSources, own: &Name) -> Self {
        let object = sources.client_ca.as_ref().map(CaSource::to_string);
        let authorities = part.ca.map(|pem| RenderedBundle {
            object: object.unwrap_or_else(|| Source::Secret(own.clone()).to_string()),
            source: sources.client_ca,
            pem,
            judged: OnceLock::new(),
        });
        let sources = if sources.certificates.len() == part.pems.len() {
            sources.certificates
        } else {
            vec![Source::Secret(own.clone()); part.pems.len()]
        };
        let rendered = sources.into_iter().zip(part.pems);
        Self {
            key: part.key,
            names: part.names,
            certificates: rendered
                .map(|(source, pem)| Rendered {
                    source,
                    pem,
                    judged: OnceLock::new(),
                })
                .collect(),
            mode: part.mode,
            authorities,
            backend: part.backend,
            alpn: part.alpn,
        }
    }

    /// Returns its key.
    pub fn key(&self) -> &HostKey {
        &self.key
    }

    /// Returns its names; none for the listener itself.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Returns its own backend.
    pub fn backend(&self) -> Option<&Backend> {
        self.backend.as_ref()
    }

    /// Returns its own protocols.
    pub fn alpn(&self) -> Option<&Alpn> {
        self.alpn.as_ref()
    }

    /// Returns the sources of its certificates, the default first.
    pub fn sources(&self) -> Vec<Source> {
        let certificates = self.certificates.iter();
        certificates.map(|one| one.source.clone()).collect()
    }

    /// Returns how clients are authenticated, as a spec would have it.
    ///
    /// # Errors
    ///
    /// The source of its CA certificates is unknown.
    pub fn authentication(&self) -> Result<Authentication, Unknown> {
        let mode = match self.mode {
            None => return Ok(Authentication::AsListener),
            Some(ClientAuthMode::None) => return Ok(Authentication::Off),
            Some(mode) => mode,
        };
        let bundle = self.authorities.as_ref().ok_or(Unknown)?;
        let ca = bundle.source.clone().ok_or(Unknown)?;
        Ok(Authentication::Mutual(ClientAuth { mode, ca }))
    }

    /// Returns the client authentication, which is none if it is the listener's; `None` if the CA bundle cannot be used.
    pub fn client_auth(&self) -> Option<Option<file::ClientAuth>> {
        let Some(mode) = self.mode else {
            return Some(None);
        };
        if mode == ClientAuthMode::None {
            return Some(Some(file::ClientAuth::default()));
        }
        let ca = Some(self.authorities()?.1.pem.clone());
        Some(Some(file::ClientAuth {
            mode,
            ca,
            ..file::ClientAuth::default()
        }))
    }

    /// Returns the text of each certificate.
    pub fn pems(&self) -> impl Iterator<Item = &Pem> {
        self.certificates.iter().map(|one| &one.pem)
    }

    /// Returns the text of the CA certificates.
    pub fn ca(&self) -> Option<&Pem> {
        self.authorities.as_ref().map(|bundle| &bundle.pem)
    }

    /// Returns the certificates that can be served, the default first.
    pub fn served(&self) -> impl Iterator<Item = &Served> {
        self.certificates.iter().filter_map(Rendered::served)
    }

    /// Returns the certificate from a source.
    pub fn certificate(&self, source: &Source) -> Option<&Served> {
        let mut certificates = self.certificates.iter();
        certificates.find_map(|one| (one.source == *source).then(|| one.served()).flatten())
    }

    /// Returns the CA bundle, and its source if known.
    pub fn authorities(&self) -> Option<(Option<&CaSource>, &Bundle)> {
        let rendered = self.authorities.as_ref()?;
        let judge = || Bundle::judge(&rendered.object, rendered.pem.clone()).ok();
        let bundle = rendered.judged.get_or_init(judge).as_ref()?;
        Some((rendered.source.as_ref(), bundle))
    }
}

impl Previous {
    /// Reads the configuration back. An unreadable one is ignored.
    pub fn read(identity: &Identity, secret: Option<&Secret>) -> Self {
        let is_ours = |secret: &&Secret| identity.ownership(&secret.metadata) == Ownership::Ours;
        let Some(secret) = secret.filter(is_ours) else {
            return Self::default();
        };
        let bytes = secret.data.as_ref().and_then(|data| data.get(CONFIG_KEY));
        let text = bytes.and_then(|bytes| std::str::from_utf8(&bytes.0).ok());
        let Some(Ok(mut config)) = text.map(Config::parse) else {
            return Self::default();
        };
        let text = text.map(|text| Pem::new(text.to_owned()));
        let sources = Sources::read(secret.annotations(), &identity.namespace);
        let own = Name::new(&identity.namespace, &secret.name_any());
        let hosts = std::mem::take(&mut config.hosts);
        let mut of_hosts = sources.hosts;
        if of_hosts.len() != hosts.len() {
            of_hosts = vec![HostSources::default(); hosts.len()];
        }
        let hosts = hosts.into_iter().zip(of_hosts);
        Self {
            listener: Entry::of(Part::of_listener(&mut config), sources.listener, &own),
            hosts: hosts
                .map(|(host, sources)| Entry::of(Part::of_host(host), sources, &own))
                .collect(),
            rest: Some(Box::new(config)),
            text,
        }
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
        hosts.find(|host| are_same_names(&host.names, names))
    }

    /// Returns the hosts to which one of these names belongs.
    pub fn hosts_of(&self, names: &[String]) -> impl Iterator<Item = &Entry> {
        let hosts = self.hosts.iter();
        hosts.filter(move |host| host.names.iter().any(|name| names.contains(name)))
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

    /// Returns the certificate from a source.
    pub fn certificate(&self, source: &Source) -> Option<&Served> {
        self.all().find_map(|one| one.certificate(source))
    }

    /// Reports whether the previous configuration contains this chain, from any source.
    pub fn serves(&self, one: &Served) -> bool {
        self.served()
            .any(|served| served.certificate.is_same(&one.certificate))
    }

    /// Returns the CA bundle from a source.
    pub fn authorities(&self, source: &CaSource) -> Option<(Option<&CaSource>, &Bundle)> {
        let mut bundles = self.all().filter_map(Entry::authorities);
        bundles.find(|(found, _)| *found == Some(source))
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
        let certificates = self.all().flat_map(|one| &one.certificates);
        let judged = certificates.filter(|one| one.judged.get().is_some());
        judged.count()
    }
}

/// What a configuration has for the listener itself or for one of its hosts, without the sources.
struct Part {
    key: HostKey,
    names: Vec<String>,
    pems: Vec<Pem>,
    mode: Option<ClientAuthMode>,
    ca: Option<Pem>,
    backend: Option<Backend>,
    alpn: Option<Alpn>,
}

impl Part {
    /// Moves the certificates and CA certificates out of a configuration.
    fn of_listener(config: &mut Config) -> Self {
        let default = std::mem::replace(&mut config.pem, Pem::new(String::new()));
        let others = std::mem::take(&mut config.certificates);
        Self {
            key: HostKey::LISTENER,
            names: Vec::new(),
            pems: pems(Some(default), others),
            mode: Some(config.client_auth.mode),
            ca: config.client_auth.ca.take(),
            backend: Some(config.backend.clone()),
            alpn: Some(config.tls.alpn.clone()),
        }
    }

    fn of_host(host: Host) -> Self {
        let (mode, ca) = match host.client_auth {
            Some(auth) => (Some(auth.mode), auth.ca),
            None => (None, None),
        };
        Self {
            key: HostKey::of_file(&host.names),
            names: host.names,
            pems: pems(host.pem, host.certificates),
            mode,
            ca,
            backend: host.backend,
            alpn: host.tls.alpn,
        }
    }
}

fn pems(default: Option<Pem>, others: Vec<Certificate>) -> Vec<Pem> {
    let others = others.into_iter().map(|one| one.pem);
    default.into_iter().chain(others).collect()
}
