//! From [`Config`], what was written, to [`Settings`], what can run. Pure: time is handed in, and
//! nothing is read or bound here.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use jiff::Timestamp;
use mqtt_tls_config::{Backend, ClientAuthMode, Config, Limits, Timeouts};

use crate::certificate::{self, Certificate, Facts, Validity};
use crate::tls::{self, ClientTrust};
use crate::{address, authorities};

/// A configuration that can run.
#[derive(Clone)]
pub struct Settings {
    /// Where to listen; `None` is all addresses, IPv4 and IPv6.
    pub(crate) host: Option<IpAddr>,
    pub(crate) port: u16,
    pub(crate) version: Option<String>,
    pub(crate) tls: Arc<rustls::ServerConfig>,
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
    pub fn reason(&self) -> &'static str {
        match &self.cause {
            Cause::Address(error) => error.reason(),
            Cause::Authorities(error) => error.reason(),
            Cause::Certificate(error) => error.reason(),
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

/// What runs, and yet someone should look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The certificate is over. Devices without a clock still connect.
    Expired(Arc<Facts>),
    /// The certificate is yet to begin.
    NotYetValid(Arc<Facts>),
    /// The key is the one that smart-mqtt ships: everyone has it.
    PublicDemoKey(Arc<Facts>),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired(facts) => write!(
                f,
                "the certificate of {} expired at {}; clients that check dates refuse it: renew it",
                facts.subject, facts.not_after
            ),
            Self::NotYetValid(facts) => write!(
                f,
                "the certificate of {} is valid only from {}; clients that check dates refuse it \
                 until then",
                facts.subject, facts.not_before
            ),
            Self::PublicDemoKey(facts) => write!(
                f,
                "the key of {} is the example that smart-mqtt ships: it is public, and anyone can \
                 read and change what goes through this listener; replace it",
                facts.subject
            ),
        }
    }
}

impl Settings {
    /// Makes a configuration runnable.
    ///
    /// `before` is what runs now: a session ticket that it issued stays good where clients show no
    /// certificates, before and after.
    ///
    /// # Errors
    ///
    /// All that keeps it from running.
    pub fn prepare(config: &Config, before: Option<&Self>) -> Result<Self, Problems> {
        let mut problems = addresses(config);
        let certificates = certificates(config, &mut problems);
        let trust = trust(config, &mut problems);
        let Some(trust) = trust.filter(|_| problems.is_empty()) else {
            return Err(Problems(problems));
        };
        let tickets = before
            .filter(|before| before.trust.is_nobody() && before.tls.ticketer.enabled())
            .map(|before| Arc::clone(&before.tls.ticketer));
        let tls = tls::server_config(&certificates, &trust, config.tls.tickets, tickets).map_err(
            |error| {
                Problems(vec![Problem {
                    key: "clientAuth".to_owned(),
                    cause: Cause::Tls(error),
                }])
            },
        )?;
        Ok(Self {
            host: config.host,
            port: config.port,
            version: config.version.clone(),
            tls: Arc::new(tls),
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

    /// What someone should look at.
    pub fn warnings(&self, now: Timestamp) -> Vec<Warning> {
        let mut warnings = Vec::new();
        for facts in self.certificates.iter().map(Certificate::facts) {
            match facts.validity(now) {
                Validity::Expired => warnings.push(Warning::Expired(Arc::clone(facts))),
                Validity::NotYetValid => warnings.push(Warning::NotYetValid(Arc::clone(facts))),
                Validity::Valid => {}
            }
            if facts.is_public_demo {
                warnings.push(Warning::PublicDemoKey(Arc::clone(facts)));
            }
        }
        warnings
    }

    /// Whether these may take the place of others: a certificate outside of its dates never replaces
    /// valid ones.
    ///
    /// # Errors
    ///
    /// The warning that is a refusal here.
    pub fn may_replace(&self, before: &Self, now: Timestamp) -> Result<(), Warning> {
        let valid = |facts: &Facts| facts.validity(now) == Validity::Valid;
        if !before
            .certificates
            .iter()
            .all(|certificate| valid(certificate.facts()))
        {
            return Ok(());
        }
        let out_of_date = |warning: &Warning| !matches!(warning, Warning::PublicDemoKey(_));
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

fn certificates(config: &Config, problems: &mut Vec<Problem>) -> Vec<Certificate> {
    let more = config
        .certificates
        .iter()
        .enumerate()
        .map(|(index, certificate)| (format!("certificates[{index}].pem"), &certificate.pem));
    let mut certificates = Vec::new();
    for (key, pem) in std::iter::once(("pem".to_owned(), &config.pem)).chain(more) {
        match certificate::judge(pem.expose()) {
            Ok(certificate) => certificates.push(certificate),
            Err(error) => problems.push(Problem {
                key,
                cause: Cause::Certificate(error),
            }),
        }
    }
    certificates
}

fn trust(config: &Config, problems: &mut Vec<Problem>) -> Option<ClientTrust> {
    let mode = config.client_auth.mode;
    let (ClientAuthMode::Optional | ClientAuthMode::Require, Some(ca)) =
        (mode, &config.client_auth.ca)
    else {
        if mode == ClientAuthMode::None {
            return Some(ClientTrust::Nobody);
        }
        let cause = Cause::Authorities(authorities::Error::NoCertificate);
        problems.push(Problem {
            key: "clientAuth.ca".to_owned(),
            cause,
        });
        return None;
    };
    match authorities::judge(ca.expose()) {
        Ok(authorities) if mode == ClientAuthMode::Require => {
            Some(ClientTrust::Required(authorities))
        }
        Ok(authorities) => Some(ClientTrust::Optional(authorities)),
        Err(error) => {
            let key = "clientAuth.ca".to_owned();
            problems.push(Problem {
                key,
                cause: Cause::Authorities(error),
            });
            None
        }
    }
}
