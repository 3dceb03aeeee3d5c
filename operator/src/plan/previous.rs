//! The last good rendering, read back from the configuration Secret.
//!
//! It must take nothing over that could not be served, nor from a Secret that is not the listener's own, and
//! it must not decide whether it is served.

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use mqtt_tls_config::{Config, Pem};

use super::authorities::Bundle;
use super::certificate::Served;
use super::names::{CA_SOURCE, CERTIFICATE_SOURCES, CONFIG_KEY, Identity, Ownership};

/// What was rendered before.
#[derive(Clone, Default)]
pub struct Previous {
    /// The certificates, the default first.
    pub certificates: Vec<Served>,
    /// The CA bundle and the object that it came from.
    pub authorities: Option<(String, Bundle)>,
}

impl Previous {
    /// Reads it back; what cannot be read is as if it had never been.
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
        Self {
            certificates: certificates(secret, &config),
            authorities: authorities_of(secret, &config),
        }
    }

    /// The certificate that came from a Secret.
    pub fn certificate(&self, source: &str) -> Option<&Served> {
        self.certificates
            .iter()
            .find(|served| served.source == source)
    }

    /// Whether this chain is rendered already, from whichever Secret.
    pub fn serves(&self, one: &Served) -> bool {
        self.certificates
            .iter()
            .any(|served| served.certificate.is_same(&one.certificate))
    }

    /// Whether these CA certificates are rendered already.
    pub fn trusts(&self, bundle: &Bundle) -> bool {
        let before = self.authorities.as_ref();
        before.is_some_and(|(_, before)| before.authorities.is_same(&bundle.authorities))
    }
}

fn certificates(secret: &Secret, config: &Config) -> Vec<Served> {
    let sources = secret
        .annotations()
        .get(CERTIFICATE_SOURCES)
        .map_or("", String::as_str);
    let sources: Vec<&str> = sources.split(',').collect();
    let pems: Vec<&Pem> = std::iter::once(&config.pem)
        .chain(
            config
                .certificates
                .iter()
                .map(|certificate| &certificate.pem),
        )
        .collect();
    // If someone edited one of them, it is unknown which text came from where: then none is known.
    let unknown = secret.name_any();
    let source = |index: usize| {
        if sources.len() == pems.len() {
            sources[index]
        } else {
            unknown.as_str()
        }
    };
    pems.iter()
        .enumerate()
        .filter_map(|(index, pem)| Served::judge(source(index), (*pem).clone()).ok())
        .collect()
}

fn authorities_of(secret: &Secret, config: &Config) -> Option<(String, Bundle)> {
    let pem = config.client_auth.ca.clone()?;
    let source = secret.annotations().get(CA_SOURCE).cloned();
    let source = source.unwrap_or_else(|| secret.name_any());
    let bundle = Bundle::judge(&told(&source), pem).ok()?;
    Some((source, bundle))
}

/// Where a bundle came from, in words: the annotation has `Kind/name/key`.
fn told(source: &str) -> String {
    let parts: Vec<&str> = source.splitn(3, '/').collect();
    match parts.as_slice() {
        [kind, name, key] => format!("{kind} {name}, key {key}"),
        _ => format!("Secret {source}"),
    }
}
