//! The previous configuration, read back from the config Secret. It is judged lazily and at most once: while nothing
//! is wrong, never.
//!
//! It must not return what cannot be served, must not read a Secret of another owner, and must not decide what is
//! served.

use std::sync::OnceLock;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use mqtt_tls_config::{Config, Pem};

use super::authorities::Bundle;
use super::served::Served;
use super::serving::Serving;
use crate::plan::names::{CONFIG_KEY, Identity, Name, Ownership};
use crate::plan::proof::question::{Question, handshakes};
use crate::plan::source::{CaSource, Source, Sources};

/// The previous configuration.
#[derive(Clone, Default)]
pub struct Previous {
    certificates: Vec<Rendered>,
    authorities: Option<RenderedBundle>,
    file: Option<File>,
}

/// The file itself.
#[derive(Clone)]
struct File {
    text: Pem,
    version: Option<String>,
    port: u16,
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

impl Rendered {
    /// Returns the certificate, or `None` if it cannot be served.
    fn served(&self) -> Option<&Served> {
        let judge = || Served::judge(self.source.clone(), self.pem.clone()).ok();
        self.judged.get_or_init(judge).as_ref()
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
        let Some(Ok(config)) = text.map(Config::parse) else {
            return Self::default();
        };
        let file = text.map(|text| File {
            text: Pem::new(text.to_owned()),
            version: config.version.clone(),
            port: config.port,
        });
        let sources = Sources::read(secret.annotations(), &identity.namespace);
        let own = Name::new(&identity.namespace, &secret.name_any());
        Self {
            authorities: authorities(&config, sources.client_ca, &own),
            certificates: certificates(config, sources.certificates, own),
            file,
        }
    }

    /// Returns its version, if it has one.
    pub fn version(&self) -> Option<&str> {
        self.file.as_ref()?.version.as_deref()
    }

    /// Reports whether its file has this text.
    pub fn is(&self, text: &Pem) -> bool {
        self.file.as_ref().is_some_and(|file| file.text == *text)
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

    /// Reports whether the previous configuration contains this chain, from any source.
    pub fn serves(&self, one: &Served) -> bool {
        self.served()
            .any(|served| served.certificate.is_same(&one.certificate))
    }

    /// Returns the CA bundle, and its source if known.
    pub fn authorities(&self) -> Option<(Option<&CaSource>, &Bundle)> {
        let rendered = self.authorities.as_ref()?;
        let judge = || Bundle::judge(&rendered.object, rendered.pem.clone()).ok();
        let bundle = rendered.judged.get_or_init(judge).as_ref()?;
        Some((rendered.source.as_ref(), bundle))
    }

    /// Reports whether the previous configuration contains these CA certificates.
    pub fn trusts(&self, bundle: &Bundle) -> bool {
        let before = self.authorities();
        before.is_some_and(|(_, before)| before.authorities.is_same(&bundle.authorities))
    }

    /// Describes the previous configuration while it is served.
    pub fn serving(&self, now: Timestamp) -> Serving {
        let served: Vec<Served> = self.served().cloned().collect();
        let question = self.file.as_ref().map(|file| Question {
            version: file.version.clone(),
            port: file.port,
            handshakes: handshakes(&served),
        });
        Serving {
            question,
            ..Serving::before(&served, now)
        }
    }

    /// Returns the number of certificates that were judged.
    #[cfg(test)]
    pub(crate) fn judged(&self) -> usize {
        let certificates = self.certificates.iter();
        let judged = certificates.filter(|one| one.judged.get().is_some());
        judged.count()
    }
}

fn certificates(config: Config, sources: Vec<Source>, own: Name) -> Vec<Rendered> {
    let others = config.certificates.into_iter().map(|one| one.pem);
    let pems: Vec<Pem> = std::iter::once(config.pem).chain(others).collect();
    // If someone edited the annotation or the file, the sources are unknown.
    let sources = if sources.len() == pems.len() {
        sources
    } else {
        vec![Source::Secret(own); pems.len()]
    };
    let rendered = sources.into_iter().zip(pems);
    rendered
        .map(|(source, pem)| Rendered {
            source,
            pem,
            judged: OnceLock::new(),
        })
        .collect()
}

fn authorities(config: &Config, source: Option<CaSource>, own: &Name) -> Option<RenderedBundle> {
    let object = source.as_ref().map(CaSource::to_string);
    Some(RenderedBundle {
        object: object.unwrap_or_else(|| Source::Secret(own.clone()).to_string()),
        source,
        pem: config.client_auth.ca.clone()?,
        judged: OnceLock::new(),
    })
}
