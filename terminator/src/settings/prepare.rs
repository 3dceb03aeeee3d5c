//! Judges the certificates and authorities of the listener and its hosts, and builds their TLS configurations. Pure.
//!
//! It must not judge addresses.

mod chains;

use std::collections::HashMap;
use std::sync::Arc;

use mqtt_tls_config::{
    Alpn, AlpnProtocol, Backend, ClientAuth, ClientAuthMode, Config, Identity, Pem, SharedNames,
    Tls,
};

use self::chains::Chains;
use super::hosts::{Host, Hosts, Target, reserve};
use super::{Cause, Judgement, Lasting, Problem};
use crate::tls::tickets::{Scope, Tickets};
use crate::tls::{ClientTrust, Offering, Served, Trust};
use crate::verdicts::Verdicts;
use mqtt_tls_judge::authorities::{self, Authorities};
use mqtt_tls_judge::certificate::{self, Certificate, TextDigest};
use mqtt_tls_judge::client;
use mqtt_tls_judge::identity::naming::Naming;
use mqtt_tls_judge::identity::{configured, shared};
use mqtt_tls_judge::pem::Part;

/// Returns the configuration's key of a certificate of a host, of which 0 is the default.
pub(super) fn certificate_key(host: &str, index: usize) -> String {
    match index.checked_sub(1) {
        None => format!("{host}pem"),
        Some(index) => format!("{host}certificates[{index}].pem"),
    }
}

/// Returns the configuration's key of the candidate of such a certificate.
pub(super) fn candidate_key(host: &str, index: usize) -> String {
    match index.checked_sub(1) {
        None => format!("{host}candidate.pem"),
        Some(index) => format!("{host}certificates[{index}].candidate.pem"),
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
    lasting: &Lasting,
    problems: &mut Vec<Problem>,
) -> Option<Hosts> {
    let mut judge = Judge {
        lasting,
        judgement,
        tls: &config.tls,
        problems,
        targets: targets(judgement),
        judged: judged(judgement),
    };
    let default = (&config.pem, config.candidate.as_ref());
    let chains = judge.chains("", default, &config.certificates);
    let trust = judge.trust("", &config.client_auth);
    let listener = Parts {
        key: String::new(),
        names: Vec::new(),
        chains,
        trust,
        has_own_certificates: true,
        has_own_trust: true,
        has_unused_rules: has_unused_rules(&config.client_auth),
        backend: &config.backend,
        alpn: &config.tls.alpn,
        brokers: &config.tls.alpn.protocols,
        has_own_backend: true,
        has_own_protocols: true,
        identity: giving(config.identity.as_ref()),
        has_own_identity: true,
    };
    let listener = judge.build(listener);
    let mut others = Vec::with_capacity(config.hosts.len());
    for (index, host) in config.hosts.iter().enumerate() {
        others.extend(judge.host(config, listener.as_ref(), index, host));
    }
    let mut listener = listener?;
    let mut all: Vec<&mut Host> = std::iter::once(&mut listener).chain(&mut others).collect();
    reserve(&mut all);
    if config.shared_names == SharedNames::Refuse {
        let hosts: Vec<shared::Host<'_>> = all.iter().map(|host| host.named()).collect();
        for (index, error) in shared::judge(&hosts) {
            judge.add(format!("{}identity", all[index].key), Cause::Shared(error));
        }
    }
    Some(Hosts::new(listener, others, config.unknown_names))
}

/// Returns an identity that gives names.
fn giving(identity: Option<&Identity>) -> Option<&Identity> {
    identity.filter(|identity| identity.gives_names())
}

/// Reports whether clients are not asked for certificates, although it is written how to judge them.
fn has_unused_rules(client_auth: &ClientAuth) -> bool {
    let judges = client_auth.revocation.is_some()
        || !client_auth.rules.is_empty()
        || client_auth.accept_server_purpose;
    client_auth.mode == ClientAuthMode::None && judges
}

/// A host before its TLS configurations are built.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says of a part of its own whether the host has one"
)]
struct Parts<'p> {
    key: String,
    names: Vec<String>,
    /// `None` if they have problems, as has `trust`.
    chains: Option<Chains>,
    trust: Option<ClientTrust>,
    has_own_certificates: bool,
    has_own_trust: bool,
    has_unused_rules: bool,
    backend: &'p Backend,
    alpn: &'p Alpn,
    /// The protocols whose brokers are for it.
    brokers: &'p [AlpnProtocol],
    has_own_backend: bool,
    has_own_protocols: bool,
    identity: Option<&'p Identity>,
    has_own_identity: bool,
}

/// Judges with a strictness, and collects the problems.
struct Judge<'p, 'b> {
    judgement: Judgement<'b>,
    lasting: &'p Lasting,
    tls: &'b Tls,
    problems: &'p mut Vec<Problem>,
    /// The backends, and what is known of them.
    targets: HashMap<Backend, Target>,
    /// Certificates that were judged before, or for another host: judging includes a handshake, and pods that reload hundreds
    /// must stay ready.
    judged: HashMap<TextDigest, Certificate>,
}

/// Returns the certificates of active settings.
fn judged(judgement: Judgement<'_>) -> HashMap<TextDigest, Certificate> {
    let Judgement::InPlaceOf(before) = judgement else {
        return HashMap::new();
    };
    let certificates = before.hosts.certificates();
    certificates
        .map(|one| (one.text_digest(), one.clone()))
        .collect()
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
    /// Prepares a host, which takes what it leaves out from the listener.
    fn host(
        &mut self,
        config: &Config,
        listener: Option<&Host>,
        index: usize,
        host: &mqtt_tls_config::Host,
    ) -> Option<Host> {
        let key = format!("hosts[{index}].");
        let chains = match &host.pem {
            Some(pem) => self.chains(&key, (pem, host.candidate.as_ref()), &host.certificates),
            None => listener.map(Chains::of),
        };
        let trust = match &host.client_auth {
            Some(own) => self.trust(&key, own),
            None => listener.map(|listener| listener.trust.clone()),
        };
        self.build(Parts {
            key,
            names: host.names.clone(),
            chains,
            trust,
            has_own_certificates: host.pem.is_some(),
            has_own_trust: host.client_auth.is_some(),
            has_unused_rules: host.client_auth.as_ref().is_some_and(has_unused_rules),
            backend: host.backend.as_ref().unwrap_or(&config.backend),
            alpn: host.tls.alpn.as_ref().unwrap_or(&config.tls.alpn),
            brokers: match (&host.tls.alpn, &host.backend) {
                (Some(own), _) => &own.protocols,
                (None, None) => &config.tls.alpn.protocols,
                // Its clients must not reach the broker of another tenant.
                (None, Some(_)) => &[],
            },
            has_own_backend: host.backend.is_some(),
            has_own_protocols: host.tls.alpn.is_some(),
            identity: giving(host.identity.as_ref().or(config.identity.as_ref())),
            has_own_identity: host.identity.is_some(),
        })
    }

    /// Builds the TLS configurations of a host.
    fn build(&mut self, parts: Parts<'_>) -> Option<Host> {
        let naming = self.naming(&parts);
        let (chains, trust) = parts.chains.zip(parts.trust)?;
        let Chains {
            certificates,
            candidates,
        } = chains;
        let tickets = Tickets::new(&self.lasting.tickets, Scope::of(&parts.names));
        let verdicts = self.verdicts(&parts.names);
        let (tls, alpn) = (self.tls, parts.alpn);
        let offering = Offering { tls, alpn };
        let tls = match Served::new(
            (&certificates, &candidates),
            (&trust, &verdicts),
            offering,
            tickets,
        ) {
            Ok(tls) => tls,
            Err(error) => {
                self.add(format!("{}clientAuth", parts.key), Cause::Tls(error));
                return None;
            }
        };
        let protocols = parts.brokers.iter();
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
            has_unused_rules: parts.has_unused_rules,
            verdicts,
            naming,
            has_own_naming: parts.has_own_identity,
            certificates,
            candidates,
            has_own_certificates: parts.has_own_certificates,
            has_own_backend: parts.has_own_backend,
            has_own_protocols: parts.has_own_protocols,
        })
    }

    /// Returns the counters of the listener itself, or a host.
    fn verdicts(&self, names: &[String]) -> Arc<Verdicts> {
        let before = match self.judgement {
            Judgement::InPlaceOf(before) => before.hosts.with_names(names),
            Judgement::AtStart | Judgement::Strict => None,
        };
        before.map_or_else(Arc::default, |host| Arc::clone(&host.verdicts))
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

    /// Returns where the names of a host's clients come from; `None` if clients keep theirs, or after a problem.
    fn naming(&mut self, parts: &Parts<'_>) -> Option<Naming> {
        let identity = parts.identity?;
        let has_certificates = !parts.trust.as_ref().is_some_and(ClientTrust::is_disabled);
        match configured::of(identity, has_certificates) {
            Ok(naming) => Some(naming),
            // It is reported where it is written, unless it is about this host.
            Err((key, error)) => {
                if parts.has_own_identity || !has_certificates {
                    self.add(format!("{}identity{key}", parts.key), Cause::Naming(error));
                }
                None
            }
        }
    }

    fn certificate(&mut self, pem: &Pem) -> Result<Certificate, certificate::Error> {
        let parts = [Part::file(pem.expose())];
        let digest = TextDigest::of(&parts);
        if let Some(known) = self.judged.get(&digest) {
            return Ok(known.clone());
        }
        let certificate = severely(certificate::judge(&parts)?, self.judgement)?;
        self.judged.insert(digest, certificate.clone());
        Ok(certificate)
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
        let authorities = match judged {
            Ok(authorities) => authorities,
            Err(error) => {
                self.add(authorities_key(host), Cause::Authorities(error));
                return None;
            }
        };
        let clients = match client::configured::of(client_auth, &authorities) {
            Ok(clients) => clients,
            Err(errors) => {
                for (index, error) in errors {
                    let key = format!("{host}clientAuth.rules[{index}]");
                    self.add(key, Cause::Rule(error));
                }
                return None;
            }
        };
        let trust = Arc::new(Trust {
            authorities,
            clients,
            pool: Arc::clone(&self.lasting.crls),
        });
        Some(match mode {
            ClientAuthMode::None => ClientTrust::Disabled,
            ClientAuthMode::Optional => ClientTrust::Optional(trust),
            ClientAuthMode::Require => ClientTrust::Required(trust),
            ClientAuthMode::DryRun => ClientTrust::DryRun(trust),
        })
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

#[cfg(test)]
mod tests {
    use mqtt_tls_config::{Config, Host as HostEntry, Pem};
    use rcgen::{CertificateParams, KeyPair};

    use super::super::{Judgement, Settings};

    fn pem(name: &str) -> Pem {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let chain = params.self_signed(&key).unwrap().pem();
        Pem::new(format!("{chain}{}", key.serialize_pem()))
    }

    #[test]
    fn only_certificates_that_have_changed_are_judged_again() {
        let host = |name: &str, pem: Pem| HostEntry {
            pem: Some(pem),
            ..HostEntry::new(vec![name.to_owned()])
        };
        let mut config = Config::new(8883, pem("edge.example"));
        let shared = pem("*.example");
        config.hosts = vec![host("a.example", shared.clone()), host("b.example", shared)];
        let before = Settings::prepare(&config, Judgement::AtStart).unwrap();
        config.hosts[0].pem = Some(pem("a.example"));
        let after = Settings::prepare(&config, Judgement::InPlaceOf(&before)).unwrap();
        let judged = |settings: &Settings| -> Vec<_> {
            let certificates = settings.hosts.certificates();
            certificates
                .map(|one| std::sync::Arc::clone(one.facts()))
                .collect()
        };
        let (before, after) = (judged(&before), judged(&after));
        let is_kept = |index: usize| std::sync::Arc::ptr_eq(&before[index], &after[index]);
        assert_eq!([0, 1, 2].map(is_kept), [true, false, true]);
        assert!(
            std::sync::Arc::ptr_eq(&before[1], &before[2]),
            "judged once for both hosts"
        );
    }
}
