//! From [`Config`], what was written, to [`Settings`], what can run. Pure: time is handed in, and
//! nothing is read or bound here.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use jiff::Timestamp;
use mqtt_tls_config::{Backend, ClientAuthMode, Config, Limits, Timeouts};

use crate::address;
use crate::reload::Reload;
use crate::tls::{self, ClientTrust};
use mqtt_tls_judge::authorities;
use mqtt_tls_judge::certificate::{self, Certificate, Validity};
use mqtt_tls_judge::finding::{Finding, Reason};
use mqtt_tls_judge::pem::Part;

/// A configuration that can run.
#[derive(Clone)]
pub struct Settings {
    /// Where to listen; `None` is all addresses, IPv4 and IPv6.
    pub(crate) host: Option<IpAddr>,
    pub(crate) port: u16,
    pub(crate) version: Option<String>,
    pub(crate) tls: tls::Served,
    /// Whom it lets in.
    pub(crate) trust: ClientTrust,
    /// The default certificate first.
    pub(crate) certificates: Vec<Certificate>,
    pub(crate) backend: Arc<Backend>,
    pub(crate) timeouts: Timeouts,
    pub(crate) limits: Limits,
    pub(crate) drain_deadline: std::time::Duration,
    pub(crate) admin: SocketAddr,
    /// Whether failed handshakes are kept.
    pub(crate) journal: bool,
}

/// One thing that keeps a configuration from running.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {cause}")]
pub struct Problem {
    key: String,
    cause: Cause,
}

/// Which part was judged, and what was found.
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
    /// The kind of error, one of a fixed set.
    pub fn reason(&self) -> Reload {
        match &self.cause {
            Cause::Address(error) => error.reason(),
            Cause::Authorities(error) => Reload::Refused(error.reason()),
            Cause::Certificate(error) => Reload::Refused(error.reason()),
            Cause::Tls(error) => error.reason(),
        }
    }
}

/// All that keeps a configuration from running; never empty.
#[derive(Debug)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// The problems, in the order of the configuration's keys.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl fmt::Display for Problems {
    /// One problem a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let end = if index > 0 { "\n" } else { "" };
            write!(f, "{end}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// How severely a configuration is judged.
#[derive(Clone, Copy)]
pub enum Judgement<'b> {
    /// What ran before, under an earlier release, goes on running: only what cannot be served is refused.
    AtStart,
    /// In place of what runs: what can never verify is refused, unless it runs already.
    InPlaceOf(&'b Settings),
    /// What can never verify is refused.
    Strict,
}

/// What runs, and yet someone should look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The certificate's place in the configuration, 0 for the default; none if it is about authorities.
    pub index: Option<usize>,
    /// The configuration's key.
    pub key: String,
    /// What was found.
    pub finding: Finding,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.finding)
    }
}

impl Settings {
    /// Makes a configuration runnable.
    ///
    /// A session ticket that what runs now issued stays good where clients show no certificates, before and
    /// after.
    ///
    /// # Errors
    ///
    /// All that keeps it from running.
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
            .filter(|before| before.trust.is_nobody())
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

    /// What someone should look at now.
    pub fn warnings(&self, now: Timestamp) -> Vec<Warning> {
        warnings(&self.certificates, self.trust.authorities(), now)
    }

    /// Whether these may take the place of others: a certificate outside of its dates never replaces
    /// valid ones.
    ///
    /// # Errors
    ///
    /// The warning that is a refusal here.
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

fn addresses(config: &Config) -> Vec<Problem> {
    let found = address::judge(config).into_iter();
    found
        .map(|(key, error)| Problem {
            key: key.to_owned(),
            cause: Cause::Address(error),
        })
        .collect()
}

/// What someone should look at: of each certificate what is found in it, its dates, and whether any name
/// chooses it; then of the authorities.
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

/// The configuration's key for a certificate.
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
        return Some(ClientTrust::Nobody);
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
