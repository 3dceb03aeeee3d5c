//! Turns a [`Config`], the parsed file, into [`Settings`], a valid configuration. Pure: callers pass the time
//! in, and it reads and binds nothing.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod advice;
mod fetched;
pub(crate) mod hosts;
pub(crate) mod name_key;
mod prepare;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use jiff::Timestamp;
use mqtt_tls_config::{Config, Limits, Protocol, Timeouts};

use crate::address;
use crate::crls::Pool;
use crate::crls::urls::Url;
use crate::reload::Reload;
use crate::sockets::Place;
use crate::tls;
use crate::tls::tickets::{Keys, NoRandom};
pub use advice::Advice;
use hosts::{Host, Hosts};
use mqtt_tls_judge::authorities::{self, Authorities};
use mqtt_tls_judge::certificate::{self, Certificate, Validity};
use mqtt_tls_judge::finding::{Finding, Reason};
use mqtt_tls_judge::identity::{configured, rules, shared};
use mqtt_tls_judge::revocation::crl::Issuer;

/// A valid configuration.
#[derive(Clone)]
pub struct Settings {
    /// Address to listen on; `None` is all addresses, IPv4 and IPv6.
    pub(crate) host: Option<IpAddr>,
    pub(crate) port: u16,
    /// More ports, each once, and without `port`.
    pub(crate) also_listen: Vec<u16>,
    pub(crate) version: Option<String>,
    /// What clients get by the name that they request.
    pub(crate) hosts: Hosts,
    /// The session ticket keys, which all settings of this process share.
    pub(crate) tickets: Arc<Keys>,
    /// The revocation lists, which all settings of this process share.
    pub(crate) crls: Arc<Pool>,
    /// Lists that are fetched.
    pub(crate) crl_urls: Vec<Url>,
    /// What clients speak inside TLS.
    pub(crate) protocol: Protocol,
    pub(crate) timeouts: Timeouts,
    pub(crate) limits: Limits,
    pub(crate) drain_deadline: std::time::Duration,
    pub(crate) admin: SocketAddr,
    /// Whether failed handshakes are kept in the journal.
    pub(crate) journal: bool,
    /// Whether connections that open are listed.
    pub(crate) connections: bool,
    /// Size of the devices' TLS buffers in bytes, if they are small.
    device_buffer: Option<u32>,
}

/// A problem in a configuration.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {cause}")]
pub struct Problem {
    key: String,
    cause: Cause,
}

/// Cause of a problem, by the part that it concerns.
#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error("{0}")]
    Address(address::Error),
    #[error("{0}")]
    Authorities(authorities::Error),
    #[error("{0}")]
    Certificate(certificate::Error),
    /// Its key has no suite.
    #[error("{0}")]
    Misfit(String),
    #[error("{0}")]
    Naming(configured::Error),
    #[error("{0}")]
    Rule(rules::Error),
    #[error("{0}")]
    Shared(shared::Error),
    #[error("{0}")]
    Tls(tls::Error),
}

impl Problem {
    /// Returns the reason, one of a fixed set.
    pub fn reason(&self) -> Reload {
        match &self.cause {
            Cause::Address(error) => error.reason(),
            Cause::Authorities(error) => Reload::Refused(error.reason()),
            Cause::Certificate(error) => Reload::Refused(error.reason()),
            Cause::Misfit(_) => Reload::NoSuite,
            Cause::Rule(_) => Reload::ClientRules,
            Cause::Naming(_) | Cause::Shared(_) => Reload::Identity,
            Cause::Tls(error) => error.reason(),
        }
    }
}

/// All problems of a configuration; never empty.
#[derive(Debug)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Iterates over the problems, in the order of the configuration's keys.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl fmt::Display for Problems {
    /// Formats one problem per line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let end = if index > 0 { "\n" } else { "" };
            write!(f, "{end}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Strictness of the validation.
#[derive(Clone, Copy)]
pub enum Judgement<'b> {
    /// At startup: rejects only what cannot be served, so that configurations of earlier releases keep working.
    AtStart,
    /// Replacement of active settings: rejects chains that can never verify, unless they are active already.
    InPlaceOf(&'b Settings),
    /// New configuration: rejects chains that can never verify.
    Strict,
}

/// What a warning is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// A certificate, by its index among those of the listener or host; 0 is the default.
    Certificate(usize),
    /// The candidate of such a certificate, by that one's index.
    Candidate(usize),
    /// The authorities for client certificates.
    Authorities,
    /// The listener or host as a whole.
    Host,
}

impl About {
    /// Returns the key of the configuration, of a host with this key.
    fn key(self, host: &str) -> String {
        match self {
            Self::Certificate(index) => prepare::certificate_key(host, index),
            Self::Candidate(index) => prepare::candidate_key(host, index),
            Self::Authorities => prepare::authorities_key(host),
            Self::Host => host.to_owned(),
        }
    }
}

/// Warning about an active configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The first name of the host whose it is; empty for the listener itself.
    pub host: String,
    /// What it is about.
    pub about: About,
    /// Key of the configuration.
    pub key: String,
    /// The finding.
    pub finding: Finding,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            host, key, finding, ..
        } = self;
        if host.is_empty() {
            write!(f, "{key}: {finding}")
        } else {
            write!(f, "{key} ({host}): {finding}")
        }
    }
}

/// What outlives settings.
struct Lasting {
    tickets: Arc<Keys>,
    crls: Arc<Pool>,
}

impl Lasting {
    fn of(judgement: Judgement<'_>) -> Result<Self, Problems> {
        Ok(match judgement {
            Judgement::InPlaceOf(before) => Self {
                tickets: Arc::clone(&before.tickets),
                crls: Arc::clone(&before.crls),
            },
            Judgement::AtStart | Judgement::Strict => Self {
                tickets: Arc::new(Keys::own().map_err(no_keys)?),
                crls: Arc::default(),
            },
        })
    }
}

impl Settings {
    /// Validates a configuration.
    ///
    /// Session tickets of an active host stay valid if it has the same names in the new settings.
    ///
    /// # Errors
    ///
    /// Returns all problems.
    pub fn prepare(config: &Config, judgement: Judgement<'_>) -> Result<Self, Problems> {
        let mut problems = addresses(config);
        let crl_urls = fetched::urls(config, &mut problems);
        let lasting = Lasting::of(judgement)?;
        let Some(hosts) = prepare::hosts(config, judgement, &lasting, &mut problems) else {
            return Err(Problems(problems));
        };
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        Ok(Self {
            host: config.host,
            port: config.port,
            also_listen: others(config),
            version: config.version.clone(),
            hosts,
            tickets: lasting.tickets,
            crls: lasting.crls,
            crl_urls,
            protocol: config.protocol,
            timeouts: config.timeouts.clone(),
            limits: config.limits.clone(),
            drain_deadline: config.drain.deadline,
            admin: SocketAddr::new(config.admin.host, config.admin.port),
            journal: config.admin.journal,
            connections: config.admin.connections,
            device_buffer: config.tls.device_buffer(),
        })
    }

    /// Returns the issuers whose revocation lists count: all CAs that client certificates chain to, each once.
    pub(crate) fn issuers(&self) -> Vec<Issuer> {
        let mut issuers: Vec<Issuer> = Vec::new();
        let authorities = self.hosts.all().filter_map(|host| host.trust.authorities());
        for issuer in authorities.flat_map(Authorities::issuers) {
            if !issuers.contains(issuer) {
                issuers.push(issuer.clone());
            }
        }
        issuers
    }

    /// Returns where to listen.
    pub(crate) fn places(&self) -> Vec<Place> {
        let ports = std::iter::once(&self.port).chain(&self.also_listen);
        let host = self.host;
        ports.map(|port| Place { host, port: *port }).collect()
    }

    /// Returns the warnings at a time.
    pub fn warnings(&self, now: Timestamp) -> Vec<Warning> {
        let hosts = self.hosts.all();
        let mut warnings: Vec<Warning> = hosts.flat_map(|host| self.of_host(host, now)).collect();
        warnings.extend(self.hosts.together());
        warnings
    }

    /// Returns the warnings about what a host has of its own.
    fn of_host(&self, host: &Host, now: Timestamp) -> Vec<Warning> {
        let warning = |about, key, finding| Warning {
            host: host.name().to_owned(),
            about,
            key,
            finding,
        };
        let mut warnings = Vec::new();
        let own = host.certificates.iter().enumerate();
        let own = own.map(|(index, one)| (About::Certificate(index), one));
        let candidates = host.candidates.iter();
        let candidates = candidates.map(|one| (About::Candidate(one.index), &one.certificate));
        let own = own.chain(candidates);
        for (about, certificate) in own.filter(|_| host.has_own_certificates) {
            let key = about.key(&host.key);
            let is_default = matches!(about, About::Certificate(0) | About::Candidate(0));
            let findings = certificate.findings_at(now).into_iter();
            let never_chosen = certificate.never_chosen().filter(|_| !is_default);
            let authorities = host.trust.authorities();
            let outgrows = |buffer| certificate.outgrows(buffer, authorities);
            let large = self.device_buffer.and_then(outgrows);
            let findings = findings.chain(large).chain(never_chosen);
            warnings.extend(findings.map(|finding| warning(about, key.clone(), finding)));
        }
        let authorities = host.trust.authorities().filter(|_| host.has_own_trust);
        let findings = authorities.into_iter().flat_map(Authorities::findings);
        let about = About::Authorities;
        let key = about.key(&host.key);
        warnings.extend(findings.map(|finding| warning(about, key.clone(), finding.clone())));
        warnings
    }

    /// Checks whether these settings may replace others: an expired or not yet valid certificate never replaces
    /// valid ones of the listener itself, or of the same host.
    ///
    /// # Errors
    ///
    /// Returns the warning about that certificate.
    pub fn may_replace(&self, before: &Self, now: Timestamp) -> Result<(), Warning> {
        let is_valid =
            |certificate: &Certificate| certificate.facts().validity(now) == Validity::Valid;
        let was_valid = |host: &Host| {
            let before = before.hosts.with_names(&host.names);
            before.is_some_and(|before| before.certificates.iter().all(is_valid))
        };
        // A candidate takes no place yet, and an operator that has stopped must not block other changes.
        let out_of_date = |warning: &Warning| {
            let reason = warning.finding.reason;
            matches!(reason, Reason::Expired | Reason::NotYetValid)
                && !matches!(warning.about, About::Candidate(_))
        };
        let hosts = self.hosts.all().filter(|host| was_valid(host));
        let mut warnings = hosts.flat_map(|host| self.of_host(host, now));
        match warnings.find(out_of_date) {
            Some(warning) => Err(warning),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("port", &self.port)
            .field(
                "certificates",
                &self.hosts.certificates().collect::<Vec<_>>(),
            )
            .finish_non_exhaustive()
    }
}

fn no_keys(error: NoRandom) -> Problems {
    Problems(vec![Problem {
        key: "tls.tickets".to_owned(),
        cause: Cause::Tls(tls::Error::Tickets(error)),
    }])
}

/// Returns the further ports, each once.
fn others(config: &Config) -> Vec<u16> {
    let mut others = Vec::new();
    for port in &config.also_listen {
        if *port != config.port && !others.contains(port) {
            others.push(*port);
        }
    }
    others
}

fn addresses(config: &Config) -> Vec<Problem> {
    let found = address::judge(config).into_iter();
    found
        .map(|(key, error)| Problem {
            key: key.to_owned(),
            cause: Cause::Address(error),
        })
        .collect()
}
