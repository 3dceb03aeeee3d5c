//! Judges the certificates and authorities of the listener and its hosts, and builds their TLS configurations. Pure.
//!
//! It must not judge addresses.

use std::collections::HashMap;
use std::sync::Arc;

use mqtt_tls_config::{
    Alpn, Backend, Certificate as CertificateEntry, ClientAuth, ClientAuthMode, Config, Pem, Tls,
};

use super::hosts::{Host, Hosts, Target};
use super::{Cause, Judgement, Problem};
use crate::tls::{ClientTrust, Offering, Served};
use mqtt_tls_judge::authorities::{self, Authorities};
use mqtt_tls_judge::certificate::{self, Certificate};
use mqtt_tls_judge::pem::Part;

/// Returns the configuration's key of a certificate of a host, of which 0 is the default.
pub(super) fn certificate_key(host: &str, index: usize) -> String {
    match index.checked_sub(1) {
        None => format!("{host}pem"),
        Some(index) => format!("{host}certificates[{index}].pem"),
    }
}

/// Returns the configuration's key of the authorities of a host.
pub(super) fn authorities_key(host: &str) -> String {
    format!("{host}clientAuth.ca")
}

/// Prepares the listener and its hosts, and adds all problems; `None` if the listener has any.
pub(super) fn hosts(
    config: &Config,
    judgement: Judgement<'_>,
    problems: &mut Vec<Problem>,
) -> Option<Hosts> {
    let mut judge = Judge {
        judgement,
        tls: &config.tls,
        problems,
        targets: targets(judgement),
    };
    let certificates = judge.certificates("", &config.pem, &config.certificates);
    let trust = judge.trust("", &config.client_auth);
    let listener = Parts {
        key: String::new(),
        names: Vec::new(),
        certificates,
        trust,
        has_own_certificates: true,
        has_own_trust: true,
        backend: &config.backend,
        alpn: &config.tls.alpn,
        has_protocols_brokers: true,
    };
    let listener = judge.build(listener);
    let mut others = Vec::with_capacity(config.hosts.len());
    for (index, host) in config.hosts.iter().enumerate() {
        let key = format!("hosts[{index}].");
        let certificates = match &host.pem {
            Some(pem) => judge.certificates(&key, pem, &host.certificates),
            None => listener
                .as_ref()
                .map(|listener| listener.certificates.clone()),
        };
        let trust = match &host.client_auth {
            Some(own) => judge.trust(&key, own),
            None => listener.as_ref().map(|listener| listener.trust.clone()),
        };
        let parts = Parts {
            key,
            names: host.names.clone(),
            certificates,
            trust,
            has_own_certificates: host.pem.is_some(),
            has_own_trust: host.client_auth.is_some(),
            backend: host.backend.as_ref().unwrap_or(&config.backend),
            alpn: host.tls.alpn.as_ref().unwrap_or(&config.tls.alpn),
            // Its clients must not reach the broker of another tenant.
            has_protocols_brokers: host.tls.alpn.is_some() || host.backend.is_none(),
        };
        others.extend(judge.build(parts));
    }
    Some(Hosts::new(listener?, others, config.unknown_names))
}

/// A host before its TLS configurations are built.
struct Parts<'p> {
    key: String,
    names: Vec<String>,
    /// `None` if they have problems, as has `trust`.
    certificates: Option<Vec<Certificate>>,
    trust: Option<ClientTrust>,
    has_own_certificates: bool,
    has_own_trust: bool,
    backend: &'p Backend,
    alpn: &'p Alpn,
    /// Whether the brokers of these protocols are for it, too.
    has_protocols_brokers: bool,
}

/// Judges with a strictness, and collects the problems.
struct Judge<'p, 'b> {
    judgement: Judgement<'b>,
    tls: &'b Tls,
    problems: &'p mut Vec<Problem>,
    /// The backends, and what is known of them.
    targets: HashMap<Backend, Target>,
}

/// Returns the backends of active settings.
fn targets(judgement: Judgement<'_>) -> HashMap<Backend, Target> {
    let Judgement::InPlaceOf(before) = judgement else {
        return HashMap::new();
    };
    let targets = before.hosts.all().flat_map(|host| host.targets());
    targets
        .map(|target| ((*target.backend).clone(), target.clone()))
        .collect()
}

impl Judge<'_, '_> {
    /// Builds the TLS configurations of a host. Tickets of the active host with the same names stay valid, unless one
    /// of the two requests client certificates.
    fn build(&mut self, parts: Parts<'_>) -> Option<Host> {
        let (certificates, trust) = parts.certificates.zip(parts.trust)?;
        let before = match self.judgement {
            Judgement::InPlaceOf(before) => {
                let mut hosts = before.hosts.all();
                hosts.find(|host| host.names == parts.names)
            }
            Judgement::AtStart | Judgement::Strict => None,
        };
        let before = before.filter(|before| before.trust.is_disabled());
        let tickets = before.and_then(|before| before.tls.tickets());
        let (tls, alpn) = (self.tls, parts.alpn);
        let offering = Offering { tls, alpn };
        let tls = match Served::new(&certificates, &trust, offering, tickets) {
            Ok(tls) => tls,
            Err(error) => {
                self.add(format!("{}clientAuth", parts.key), Cause::Tls(error));
                return None;
            }
        };
        let protocols = alpn
            .protocols
            .iter()
            .filter(|_| parts.has_protocols_brokers);
        let by_protocol = protocols.filter_map(|one| {
            let target = self.target(one.backend.as_ref()?);
            Some((one.name.clone(), target))
        });
        Some(Host {
            by_protocol: by_protocol.collect(),
            target: self.target(parts.backend),
            key: parts.key,
            names: parts.names,
            tls,
            trust,
            has_own_trust: parts.has_own_trust,
            certificates,
            has_own_certificates: parts.has_own_certificates,
        })
    }

    /// Returns a backend, of which all hosts that have it know the same.
    fn target(&mut self, backend: &Backend) -> Target {
        let target = self.targets.entry(backend.clone());
        let target = target.or_insert_with(|| Target {
            backend: Arc::new(backend.clone()),
            known: Arc::default(),
        });
        target.clone()
    }

    fn certificates(
        &mut self,
        host: &str,
        default: &Pem,
        others: &[CertificateEntry],
    ) -> Option<Vec<Certificate>> {
        let pems = std::iter::once(default).chain(others.iter().map(|one| &one.pem));
        let mut certificates = Some(Vec::new());
        for (index, pem) in pems.enumerate() {
            let judged = certificate::judge(&[Part::file(pem.expose())])
                .and_then(|certificate| severely(certificate, self.judgement));
            let misfit = |one: &Certificate| self.tls.misfit(one.facts().is_rsa());
            let judged = judged.map_err(Cause::Certificate);
            let judged =
                judged.and_then(|one| misfit(&one).map_or(Ok(one), |why| Err(Cause::Misfit(why))));
            match judged {
                Ok(certificate) => certificates
                    .iter_mut()
                    .for_each(|all| all.push(certificate.clone())),
                Err(cause) => {
                    self.add(certificate_key(host, index), cause);
                    certificates = None;
                }
            }
        }
        certificates
    }

    fn trust(&mut self, host: &str, client_auth: &ClientAuth) -> Option<ClientTrust> {
        let mode = client_auth.mode;
        if mode == ClientAuthMode::None {
            return Some(ClientTrust::Disabled);
        }
        let judged = match &client_auth.ca {
            None => Err(authorities::Error::nowhere()),
            Some(ca) => authorities::judge(Part::file(ca.expose())),
        };
        let is_known = |authorities: &Authorities| match self.judgement {
            Judgement::AtStart => true,
            Judgement::InPlaceOf(before) => {
                let mut known = before
                    .hosts
                    .all()
                    .filter_map(|host| host.trust.authorities());
                known.any(|before| before.is_same(authorities))
            }
            Judgement::Strict => false,
        };
        let judged = judged.and_then(|authorities| {
            if is_known(&authorities) {
                Ok(authorities)
            } else {
                authorities.strictly()
            }
        });
        match judged {
            Ok(authorities) if mode == ClientAuthMode::Require => {
                Some(ClientTrust::Required(authorities))
            }
            Ok(authorities) => Some(ClientTrust::Optional(authorities)),
            Err(error) => {
                self.add(authorities_key(host), Cause::Authorities(error));
                None
            }
        }
    }

    fn add(&mut self, key: String, cause: Cause) {
        self.problems.push(Problem { key, cause });
    }
}

fn severely(
    certificate: Certificate,
    judgement: Judgement<'_>,
) -> Result<Certificate, certificate::Error> {
    match judgement {
        Judgement::AtStart => Ok(certificate),
        Judgement::InPlaceOf(before)
            if before
                .hosts
                .certificates()
                .any(|one| one.is_same(&certificate)) =>
        {
            Ok(certificate)
        }
        Judgement::InPlaceOf(_) | Judgement::Strict => certificate.strictly(),
    }
}
