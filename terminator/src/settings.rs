//! Turns a [`Config`], the parsed file, into [`Settings`], a valid configuration. Pure: callers pass the time
//! in, and it reads and binds nothing.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use jiff::Timestamp;
use mqtt_tls_config::{Backend, ClientAuthMode, Config, Limits, Timeouts};

use crate::address;
use crate::reload::Reload;
use crate::sockets::Place;
use crate::tls::{self, ClientTrust};
use mqtt_tls_judge::authorities;
use mqtt_tls_judge::certificate::{self, Certificate, Validity};
use mqtt_tls_judge::finding::{Finding, Reason};
use mqtt_tls_judge::pem::Part;

/// A valid configuration.
#[derive(Clone)]
pub struct Settings {
    /// Address to listen on; `None` is all addresses, IPv4 and IPv6.
    pub(crate) host: Option<IpAddr>,
    pub(crate) port: u16,
    /// More ports, each once, and without `port`.
    pub(crate) also_listen: Vec<u16>,
    pub(crate) version: Option<String>,
    pub(crate) tls: tls::Served,
    /// Client authentication.
    pub(crate) trust: ClientTrust,
    /// Certificates, the default first.
    pub(crate) certificates: Vec<Certificate>,
    pub(crate) backend: Arc<Backend>,
    pub(crate) timeouts: Timeouts,
    pub(crate) limits: Limits,
    pub(crate) drain_deadline: std::time::Duration,
    pub(crate) admin: SocketAddr,
    /// Whether failed handshakes are kept in the journal.
    pub(crate) journal: bool,
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

/// Warning about an active configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Index of the certificate in the configuration, 0 for the default; `None` for the authorities.
    pub index: Option<usize>,
    /// Key of the configuration.
    pub key: String,
    /// The finding.
    pub finding: Finding,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.finding)
    }
}

impl Settings {
    /// Validates a configuration.
    ///
    /// Session tickets of the active settings stay valid if neither these nor the new ones request client
    /// certificates.
    ///
    /// # Errors
    ///
    /// Returns all problems.
    pub fn prepare(config: &Config, judgement: Judgement<'_>) -> Result<Self, Problems> {
        let before = match judgement {
            Judgement::InPlaceOf(before) => Some(before),
            Judgement::AtStart | Judgement::Strict => None,
        };
        let mut problems = addresses(config);
        let certificates = certificates(config, judgement, &mut problems);
        let trust = trust(config, judgement, &mut problems);
        let Some(trust) = trust.filter(|_| problems.is_empty()) else {
            return Err(Problems(problems));
        };
        let tickets = before
            .filter(|before| before.trust.is_disabled())
            .and_then(|before| before.tls.tickets());
        let tls = tls::Served::new(&certificates, &trust, config.tls.tickets, tickets);
        let tls = tls.map_err(|error| {
            Problems(vec![Problem {
                key: "clientAuth".to_owned(),
                cause: Cause::Tls(error),
            }])
        })?;
        Ok(Self {
            host: config.host,
            port: config.port,
            also_listen: others(config),
            version: config.version.clone(),
            tls,
            trust,
            certificates,
            backend: Arc::new(config.backend.clone()),
            timeouts: config.timeouts.clone(),
            limits: config.limits.clone(),
            drain_deadline: config.drain.deadline,
            admin: SocketAddr::new(config.admin.host, config.admin.port),
            journal: config.admin.journal,
        })
    }

    /// Returns where to listen.
    pub(crate) fn places(&self) -> Vec<Place> {
        let ports = std::iter::once(&self.port).chain(&self.also_listen);
        let host = self.host;
        ports.map(|port| Place { host, port: *port }).collect()
    }

    /// Returns the warnings at a time.
    pub fn warnings(&self, now: Timestamp) -> Vec<Warning> {
        warnings(&self.certificates, self.trust.authorities(), now)
    }

    /// Checks whether these settings may replace others: an expired or not yet valid certificate never replaces
    /// valid ones.
    ///
    /// # Errors
    ///
    /// Returns the warning about that certificate.
    pub fn may_replace(&self, before: &Self, now: Timestamp) -> Result<(), Warning> {
        let is_valid =
            |certificate: &Certificate| certificate.facts().validity(now) == Validity::Valid;
        if !before.certificates.iter().all(is_valid) {
            return Ok(());
        }
        let out_of_date = |warning: &Warning| {
            matches!(
                warning.finding.reason,
                Reason::Expired | Reason::NotYetValid
            )
        };
        match self.warnings(now).into_iter().find(out_of_date) {
            Some(warning) => Err(warning),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("port", &self.port)
            .field("certificates", &self.certificates)
            .finish_non_exhaustive()
    }
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

/// Returns the warnings about the certificates, then about the authorities.
pub(crate) fn warnings(
    certificates: &[Certificate],
    authorities: Option<&authorities::Authorities>,
    now: Timestamp,
) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for (index, certificate) in certificates.iter().enumerate() {
        let mut findings = certificate.findings_at(now);
        if index > 0 {
            findings.extend(certificate.never_chosen());
        }
        warnings.extend(findings.into_iter().map(|finding| Warning {
            index: Some(index),
            key: key_of(index),
            finding,
        }));
    }
    let findings = authorities.map(authorities::Authorities::findings);
    warnings.extend(findings.unwrap_or_default().iter().map(|finding| Warning {
        index: None,
        key: CA.to_owned(),
        finding: finding.clone(),
    }));
    warnings
}

const CA: &str = "clientAuth.ca";

/// Returns the configuration's key of a certificate.
fn key_of(index: usize) -> String {
    match index.checked_sub(1) {
        None => "pem".to_owned(),
        Some(index) => format!("certificates[{index}].pem"),
    }
}

fn certificates(
    config: &Config,
    judgement: Judgement<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<Certificate> {
    let more = config
        .certificates
        .iter()
        .map(|certificate| &certificate.pem);
    let mut certificates = Vec::new();
    for (index, pem) in std::iter::once(&config.pem).chain(more).enumerate() {
        let judged = certificate::judge(&[Part::file(pem.expose())])
            .and_then(|certificate| severely(certificate, judgement));
        match judged {
            Ok(certificate) => certificates.push(certificate),
            Err(error) => problems.push(Problem {
                key: key_of(index),
                cause: Cause::Certificate(error),
            }),
        }
    }
    certificates
}

fn severely(
    certificate: Certificate,
    judgement: Judgement<'_>,
) -> Result<Certificate, certificate::Error> {
    match judgement {
        Judgement::AtStart => Ok(certificate),
        Judgement::InPlaceOf(before)
            if before
                .certificates
                .iter()
                .any(|one| one.is_same(&certificate)) =>
        {
            Ok(certificate)
        }
        Judgement::InPlaceOf(_) | Judgement::Strict => certificate.strictly(),
    }
}

fn trust(
    config: &Config,
    judgement: Judgement<'_>,
    problems: &mut Vec<Problem>,
) -> Option<ClientTrust> {
    let mode = config.client_auth.mode;
    if mode == ClientAuthMode::None {
        return Some(ClientTrust::Disabled);
    }
    let judged = match &config.client_auth.ca {
        None => Err(authorities::Error::nowhere()),
        Some(ca) => authorities::judge(Part::file(ca.expose())),
    };
    let is_known = |authorities: &authorities::Authorities| match judgement {
        Judgement::AtStart => true,
        Judgement::InPlaceOf(before) => before
            .trust
            .authorities()
            .is_some_and(|before| before.is_same(authorities)),
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
            problems.push(Problem {
                key: CA.to_owned(),
                cause: Cause::Authorities(error),
            });
            None
        }
    }
}
