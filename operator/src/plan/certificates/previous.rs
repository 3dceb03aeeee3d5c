//! The previous configuration, read back from the config Secret: the last good state of everything that is served, for
//! what is wrong now. Its certificates are judged lazily and at most once: while nothing is wrong, never.
//!
//! It must not return what cannot be served, must not read a Secret of another owner, and must not decide what is
//! served.

use std::sync::OnceLock;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use mqtt_tls_config::{Backend, ClientAuthMode, Config, Pem};

use super::authorities::Bundle;
use super::served::Served;
use super::serving::Serving;
use crate::plan::listener::ClientAuth;
use crate::plan::names::{CONFIG_KEY, Identity, Name, Ownership};
use crate::plan::proof::question::{Question, handshakes};
use crate::plan::source::{CaSource, Source, Sources};

/// The previous configuration.
#[derive(Clone, Default)]
pub struct Previous {
    certificates: Vec<Rendered>,
    authorities: Option<RenderedBundle>,
    /// The configuration without its certificates and CA certificates; `None` if there is none.
    rest: Option<Config>,
    /// The file's text.
    text: Option<Pem>,
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
        Self {
            authorities: authorities(&mut config, sources.client_ca, &own),
            certificates: certificates(&mut config, sources.certificates, own),
            rest: Some(config),
            text,
        }
    }

    /// Returns the configuration without its certificates and CA certificates.
    pub fn rest(&self) -> Option<&Config> {
        self.rest.as_ref()
    }

    /// Returns its version, if it has one.
    pub fn version(&self) -> Option<&str> {
        self.rest()?.version.as_deref()
    }

    /// Reports whether its file has this text.
    pub fn is(&self, text: &Pem) -> bool {
        self.text.as_ref() == Some(text)
    }

    /// Returns the backend.
    pub fn backend(&self) -> Option<&Backend> {
        Some(&self.rest()?.backend)
    }

    /// Returns the ports that it listens on, `port` first.
    pub fn ports(&self) -> Vec<u16> {
        let rest = self.rest().into_iter();
        rest.flat_map(|rest| std::iter::once(rest.port).chain(rest.also_listen.iter().copied()))
            .collect()
    }

    /// Returns the sources of the certificates, the default first.
    pub fn sources(&self) -> Vec<Source> {
        let certificates = self.certificates.iter();
        certificates.map(|one| one.source.clone()).collect()
    }

    /// Returns mutual TLS as a spec would have it.
    ///
    /// # Errors
    ///
    /// The source of its CA certificates is unknown.
    pub fn client_auth(&self) -> Result<Option<ClientAuth>, Unknown> {
        let mode = self.rest().map(|rest| rest.client_auth.mode);
        let Some(mode) = mode.filter(|mode| *mode != ClientAuthMode::None) else {
            return Ok(None);
        };
        let bundle = self.authorities.as_ref().ok_or(Unknown)?;
        let ca = bundle.source.clone().ok_or(Unknown)?;
        Ok(Some(ClientAuth { mode, ca }))
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
        let question = self.rest().map(|rest| Question {
            version: rest.version.clone(),
            port: rest.port,
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

/// Moves the certificates out of a configuration.
fn certificates(config: &mut Config, sources: Vec<Source>, own: Name) -> Vec<Rendered> {
    let default = std::mem::replace(&mut config.pem, Pem::new(String::new()));
    let others = std::mem::take(&mut config.certificates).into_iter();
    let pems: Vec<Pem> = std::iter::once(default)
        .chain(others.map(|one| one.pem))
        .collect();
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

/// Moves the CA certificates out of a configuration.
fn authorities(
    config: &mut Config,
    source: Option<CaSource>,
    own: &Name,
) -> Option<RenderedBundle> {
    let object = source.as_ref().map(CaSource::to_string);
    Some(RenderedBundle {
        object: object.unwrap_or_else(|| Source::Secret(own.clone()).to_string()),
        source,
        pem: config.client_auth.ca.take()?,
        judged: OnceLock::new(),
    })
}
