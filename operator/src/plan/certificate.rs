//! From a Secret's bytes to a certificate that can be served, or to what is wrong with it.
//!
//! What it accepts is what the terminator can load: the terminator's library judges. It must not decide
//! what is served instead; that is `config`. No message shows key material.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use mqtt_tls_config::Pem;
use mqtt_tls_terminator::authorities;
use mqtt_tls_terminator::certificate::{self, Facts, Validity};

use super::conditions::shortened;
use super::{About, Problem};
use crate::crd::{CaKind, CaRef, CertificateStatus};
use crate::error::chain;

/// How many names of a certificate are shown in a status.
const NAMES_SHOWN_MAX: usize = 64;

/// How long each text of a certificate may be in a status, in bytes: as long as a DNS name. A certificate may
/// hold texts of any length, and a status that is too large could never be written.
const TEXT_SHOWN_MAX: usize = 253;

/// A certificate that can be served.
#[derive(Clone)]
pub struct Served {
    /// The Secret that it came from.
    pub source: String,
    /// Chain and key.
    pub pem: Pem,
    /// What may be told of it.
    pub facts: Facts,
}

impl Served {
    /// Judges a PEM.
    ///
    /// # Errors
    ///
    /// What the terminator's library says.
    pub fn judge(source: &str, pem: Pem) -> Result<Self, certificate::Error> {
        let facts = Facts::clone(certificate::judge(pem.expose())?.facts());
        Ok(Self {
            source: source.to_owned(),
            pem,
            facts,
        })
    }

    /// Whether it is within its dates.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.facts.validity(now) == Validity::Valid
    }

    /// Why it is not within its dates, in one word.
    pub fn invalidity(&self, now: Timestamp) -> &'static str {
        match self.facts.validity(now) {
            Validity::Expired => "Expired",
            Validity::NotYetValid => "NotYetValid",
            Validity::Valid => "Valid",
        }
    }

    /// How it stands with its dates.
    pub fn told(&self, now: Timestamp) -> String {
        let (source, facts) = (&self.source, &self.facts);
        let certificate = format!("the certificate in Secret {source}");
        match facts.validity(now) {
            Validity::Expired => format!("{certificate} expired on {}", facts.not_after),
            Validity::NotYetValid => {
                format!("{certificate} is not valid before {}", facts.not_before)
            }
            Validity::Valid => format!("{certificate} is valid"),
        }
    }

    /// The facts as they stand in a listener's status.
    pub fn status(&self) -> CertificateStatus {
        let facts = &self.facts;
        let addresses = facts.ip_addresses.iter().map(IpAddr::to_string);
        let names = facts.dns_names.iter().cloned().chain(addresses);
        CertificateStatus {
            secret_name: self.source.clone(),
            dns_names: names.take(NAMES_SHOWN_MAX).map(shown).collect(),
            not_before: facts.not_before.to_string(),
            not_after: facts.not_after.to_string(),
            fingerprint: facts.fingerprint.clone(),
            serial: shown(facts.serial.clone()),
            issuer: shown(facts.issuer.clone()),
        }
    }
}

fn shown(text: String) -> String {
    shortened(text, TEXT_SHOWN_MAX)
}

/// The certificates of a configuration, and what is to be said about them.
#[derive(Clone, Debug, Default)]
pub struct Serving {
    /// The certificates, the default first.
    pub certificates: Vec<CertificateStatus>,
    /// The Secret whose private key is public, if one of them is.
    pub public_key: Option<String>,
    /// What is wrong with their dates.
    pub problems: Vec<Problem>,
}

impl Serving {
    /// What is to be said about those of a planned configuration, the default first.
    pub fn planned(served: &[Served], now: Timestamp) -> Self {
        Self::of(served, now, "renew it")
    }

    /// What is to be said about those of the configuration that is there, for as long as there is no other.
    pub fn before(served: &[Served], now: Timestamp) -> Self {
        Self::of(served, now, "renew it, or see why no other one is served")
    }

    fn of(served: &[Served], now: Timestamp, to_do: &str) -> Self {
        let public = served.iter().find(|one| one.facts.is_public_demo);
        Self {
            certificates: served.iter().map(Served::status).collect(),
            public_key: public.map(|one| one.source.clone()),
            problems: served
                .iter()
                .filter_map(|one| dated(one, now, to_do))
                .collect(),
        }
    }
}

/// What is wrong with the dates of a certificate that is served.
fn dated(served: &Served, now: Timestamp, to_do: &str) -> Option<Problem> {
    (!served.is_valid(now)).then(|| Problem {
        about: About::CertificateValid,
        reason: served.invalidity(now),
        message: format!(
            "{}; it is served all the same, for devices without a clock: {to_do}",
            served.told(now)
        ),
    })
}

/// Reads the certificate in a Secret.
///
/// # Errors
///
/// What is wrong, with the object, the key, and what to do.
pub fn read(name: &str, secret: Option<&Secret>) -> Result<Served, Problem> {
    let Some(secret) = secret else {
        return Err(Problem {
            about: About::ResolvedRefs,
            reason: "SecretNotFound",
            message: format!(
                "Secret {name} does not exist in this namespace; create it with tls.crt and tls.key, or \
                 correct the name in spec.certificates"
            ),
        });
    };
    let empty = BTreeMap::new();
    let (keys, pem) = pem_of(name, secret.data.as_ref().unwrap_or(&empty))?;
    Served::judge(name, pem).map_err(|error| Problem {
        about: About::ResolvedRefs,
        reason: error.reason(),
        message: format!("Secret {name}, {keys}: {}", chain(&error)),
    })
}

/// Chain and key as one text, and the keys of the Secret that they were under.
fn pem_of(name: &str, data: &BTreeMap<String, ByteString>) -> Result<(&'static str, Pem), Problem> {
    let pair = data.contains_key("tls.crt") || data.contains_key("tls.key");
    if !pair && data.contains_key("pem") {
        return Ok(("key pem", Pem::new(text(name, data, "pem")?.to_owned())));
    }
    if !pair {
        return Err(Problem {
            about: About::ResolvedRefs,
            reason: "MissingKey",
            message: format!(
                "Secret {name} has neither tls.crt and tls.key nor pem; put the certificate chain under \
                 tls.crt and its private key under tls.key, or both under pem"
            ),
        });
    }
    let (chain, key) = (text(name, data, "tls.crt")?, text(name, data, "tls.key")?);
    // A chain without a newline at its end would run into the key's first line.
    Ok((
        "keys tls.crt and tls.key",
        Pem::new(format!("{}\n{key}", chain.trim_end())),
    ))
}

/// The text under one key of a Secret.
fn text<'d>(
    name: &str,
    data: &'d BTreeMap<String, ByteString>,
    key: &str,
) -> Result<&'d str, Problem> {
    let problem = |reason, what: &str| Problem {
        about: About::ResolvedRefs,
        reason,
        message: format!("Secret {name}, key {key}: {what}"),
    };
    let Some(ByteString(bytes)) = data.get(key) else {
        return Err(problem(
            "MissingKey",
            "it is missing; add it beside the other one",
        ));
    };
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(problem("MissingKey", "it is empty; put the PEM text there"));
    }
    std::str::from_utf8(bytes).map_err(|_| {
        problem(
            "BrokenPem",
            "it is not text; put PEM there, not DER or PKCS#12",
        )
    })
}

/// Reads a CA bundle.
///
/// # Errors
///
/// What is wrong, with the object, the key, and what to do.
pub fn read_authorities(
    ca: &CaRef,
    secrets: &BTreeMap<String, Secret>,
    config_maps: &BTreeMap<String, ConfigMap>,
) -> Result<Pem, Problem> {
    let object = format!("{} {}", ca.kind.name(), ca.name);
    let problem = |reason, message| Problem {
        about: About::ResolvedRefs,
        reason,
        message,
    };
    let bytes = match ca.kind {
        CaKind::Secret => secrets.get(&ca.name).map(|secret| {
            secret
                .data
                .as_ref()
                .and_then(|data| data.get(&ca.key))
                .map(|value| value.0.as_slice())
        }),
        CaKind::ConfigMap => config_maps.get(&ca.name).map(|map| bytes_of(map, &ca.key)),
    };
    let Some(bytes) = bytes else {
        let message = format!(
            "{object} does not exist in this namespace; create it with the CA certificates under the key \
             {}, or correct spec.clientAuth.caRef",
            ca.key
        );
        return Err(problem("CaNotFound", message));
    };
    let Some(bytes) = bytes else {
        let message = format!(
            "{object} has no key {}; put the CA certificates there, or name the right key in \
             spec.clientAuth.caRef.key",
            ca.key
        );
        return Err(problem("MissingKey", message));
    };
    let Ok(text) = std::str::from_utf8(bytes) else {
        let message = format!(
            "{object}, key {}: it is not text; put PEM there, not DER",
            ca.key
        );
        return Err(problem("BrokenPem", message));
    };
    match authorities::judge(text) {
        Ok(_) => Ok(Pem::new(text.to_owned())),
        Err(error) => {
            let message = format!("{object}, key {}: {}", ca.key, chain(&error));
            Err(problem(error.reason(), message))
        }
    }
}

/// The bytes under one key of a ConfigMap, which has two places for them.
fn bytes_of<'m>(map: &'m ConfigMap, key: &str) -> Option<&'m [u8]> {
    let text = map
        .data
        .as_ref()
        .and_then(|data| data.get(key))
        .map(String::as_bytes);
    text.or_else(|| Some(map.binary_data.as_ref()?.get(key)?.0.as_slice()))
}
