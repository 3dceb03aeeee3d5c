//! What the previous configuration has for the listener itself, or for one of its hosts. Its certificates are judged lazily and at
//! most once: while nothing is wrong, never.
//!
//! It must not return what cannot be served.

use std::sync::OnceLock;

use mqtt_tls_config::{self as file, Alpn, Backend, Candidate, ClientAuthMode, Config, Host, Pem};

use super::authorities::Bundle;
use super::served::Served;
use crate::plan::host_key::HostKey;
use crate::plan::listener::{Authentication, ClientAuth, CrlUrl};
use crate::plan::names::Name;
use crate::plan::source::{DataKey, HostSources, Source, Withdrawn};

/// What a configuration has for the listener itself, or for one of its hosts.
#[derive(Clone)]
pub struct Entry {
    key: HostKey,
    /// Empty if the listener's are served.
    certificates: Vec<Rendered>,
    /// Certificates whose ReferenceGrant was withdrawn.
    withdrawn: Vec<Withdrawn>,
    authorities: Option<RenderedBundle>,
    /// Sources of revocation lists.
    crls: Vec<DataKey>,
    /// The revocation lists that the pods fetch for it, as a spec and as the configuration have them.
    urls: Vec<(CrlUrl, file::CrlUrl)>,
    /// Everything else; what a host does not have is the listener's.
    rest: Host,
}

/// A certificate of a configuration.
#[derive(Clone)]
struct Rendered {
    source: Source,
    pem: Pem,
    judged: OnceLock<Option<Served>>,
    candidate: Option<RenderedCandidate>,
}

/// The candidate of a certificate.
#[derive(Clone)]
struct RenderedCandidate {
    id: String,
    pem: Pem,
    judged: OnceLock<Option<Served>>,
}

/// The CA bundle of a configuration.
#[derive(Clone)]
struct RenderedBundle {
    /// None if unknown.
    sources: Vec<DataKey>,
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

    /// Returns the candidate, or `None` if there is none that can be served.
    fn candidate(&self) -> Option<&Served> {
        let RenderedCandidate { pem, judged, .. } = self.candidate.as_ref()?;
        let judge = || Served::judge(self.source.clone(), pem.clone()).ok();
        judged.get_or_init(judge).as_ref()
    }
}

impl RenderedCandidate {
    fn of(candidate: Candidate) -> Self {
        let Candidate { id, pem } = candidate;
        Self {
            id,
            pem,
            judged: OnceLock::new(),
        }
    }
}

impl Default for Entry {
    fn default() -> Self {
        Self {
            key: HostKey::LISTENER,
            certificates: Vec::new(),
            withdrawn: Vec::new(),
            authorities: None,
            crls: Vec::new(),
            urls: Vec::new(),
            rest: Host::new(Vec::new()),
        }
    }
}

impl Entry {
    /// Reads what a configuration has. Sources that do not match it are ignored: someone edited the annotation or the
    /// file.
    pub(super) fn of(
        key: HostKey,
        mut rest: Host,
        sources: HostSources,
        config: &Config,
        own: &Name,
    ) -> Self {
        let cas = sources.all_client_cas();
        let ca = rest.client_auth.as_mut().and_then(|auth| auth.ca.take());
        let authorities = ca.map(|pem| RenderedBundle {
            object: if cas.is_empty() {
                Source::Secret(own.clone()).to_string()
            } else {
                DataKey::all(&cas)
            },
            sources: cas,
            pem,
            judged: OnceLock::new(),
        });
        let urls = sources.urls.into_iter().filter_map(|url| {
            let rendered = config.crls.get(url.place)?.clone();
            let source = CrlUrl {
                url: rendered.url.clone(),
                ca: url.ca,
                refresh: rendered.refresh,
            };
            Some((source, rendered))
        });
        let others = std::mem::take(&mut rest.certificates).into_iter();
        let candidate = rest.candidate.take();
        let default = rest
            .pem
            .take()
            .into_iter()
            .map(|pem| (pem, candidate.clone()));
        let others = others.map(|one| (one.pem, one.candidate));
        let pems: Vec<(Pem, Option<Candidate>)> = default.chain(others).collect();
        let certificates = if sources.certificates.len() == pems.len() {
            sources.certificates
        } else {
            vec![Source::Secret(own.clone()); pems.len()]
        };
        let rendered = certificates.into_iter().zip(pems);
        Self {
            key,
            certificates: rendered
                .map(|(source, (pem, candidate))| Rendered {
                    source,
                    pem,
                    judged: OnceLock::new(),
                    candidate: candidate.map(RenderedCandidate::of),
                })
                .collect(),
            withdrawn: sources.withdrawn,
            authorities,
            crls: sources.crls,
            urls: urls.collect(),
            rest,
        }
    }

    /// Returns the number of certificates that were judged.
    #[cfg(test)]
    pub(super) fn judged(&self) -> usize {
        let certificates = self.certificates.iter();
        let judged = certificates.filter(|one| one.judged.get().is_some());
        judged.count()
    }

    /// Returns its key.
    pub fn key(&self) -> &HostKey {
        &self.key
    }

    /// Returns its certificates whose ReferenceGrant was withdrawn.
    pub fn withdrawn(&self) -> &[Withdrawn] {
        &self.withdrawn
    }

    /// Returns its names; none for the listener itself.
    pub fn names(&self) -> &[String] {
        &self.rest.names
    }

    /// Returns its own names from clients' certificates.
    pub fn client_identity(&self) -> Option<&file::Identity> {
        self.rest.identity.as_ref()
    }

    /// Returns its own backend.
    pub fn backend(&self) -> Option<&Backend> {
        self.rest.backend.as_ref()
    }

    /// Returns its own protocols.
    pub fn alpn(&self) -> Option<&Alpn> {
        self.rest.tls.alpn.as_ref()
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
        let settings = match &self.rest.client_auth {
            None => return Ok(Authentication::AsListener),
            Some(auth) if auth.mode == ClientAuthMode::None => return Ok(Authentication::Off),
            Some(auth) => auth.clone(),
        };
        let bundle = self.authorities.as_ref().ok_or(Unknown)?;
        if bundle.sources.is_empty() {
            return Err(Unknown);
        }
        Ok(Authentication::Mutual(ClientAuth {
            settings,
            cas: bundle.sources.clone(),
            crls: self.crls.clone(),
            urls: self.url_sources(),
        }))
    }

    /// Returns the client authentication, which is none if it is the listener's; `None` if the CA bundle cannot be used.
    pub fn client_auth(&self) -> Option<Option<file::ClientAuth>> {
        let Some(auth) = &self.rest.client_auth else {
            return Some(None);
        };
        let mut auth = auth.clone();
        if auth.mode != ClientAuthMode::None {
            auth.ca = Some(self.authorities()?.1.pem.clone());
        }
        Some(Some(auth))
    }

    /// Returns the text of each certificate.
    pub fn pems(&self) -> impl Iterator<Item = &Pem> {
        self.certificates.iter().map(|one| &one.pem)
    }

    /// Returns the text of the certificate from a source.
    pub fn pem(&self, source: &Source) -> Option<&Pem> {
        let mut certificates = self.certificates.iter();
        certificates.find_map(|one| (one.source == *source).then_some(&one.pem))
    }

    /// Returns the candidate of the certificate from a source.
    pub fn candidate(&self, source: &Source) -> Option<&Served> {
        let mut certificates = self.certificates.iter();
        certificates.find_map(|one| (one.source == *source).then(|| one.candidate()).flatten())
    }

    /// Returns the IDs of the trials of all candidates, with their texts.
    pub fn candidates(&self) -> impl Iterator<Item = (&str, &Pem)> {
        let candidates = self
            .certificates
            .iter()
            .filter_map(|one| one.candidate.as_ref());
        candidates.map(|one| (one.id.as_str(), &one.pem))
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

    /// Returns the sources of its revocation lists.
    pub fn crls(&self) -> &[DataKey] {
        &self.crls
    }

    /// Returns the revocation lists that the pods fetch for it.
    pub fn urls(&self) -> impl Iterator<Item = &file::CrlUrl> {
        self.urls.iter().map(|(_, rendered)| rendered)
    }

    /// Returns the sources of the CA certificates of their servers.
    pub fn url_sources(&self) -> Vec<CrlUrl> {
        self.urls.iter().map(|(source, _)| source.clone()).collect()
    }

    /// Returns the CA bundle, and its sources if known.
    pub fn authorities(&self) -> Option<(&[DataKey], &Bundle)> {
        let rendered = self.authorities.as_ref()?;
        let judge = || Bundle::judge(&rendered.object, rendered.pem.clone()).ok();
        let bundle = rendered.judged.get_or_init(judge).as_ref()?;
        Some((&rendered.sources, bundle))
    }
}
