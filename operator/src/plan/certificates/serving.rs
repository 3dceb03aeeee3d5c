//! Describes the certificates of a configuration: status, problems and warnings. It must not choose them.

use jiff::Timestamp;
use mqtt_tls_judge::authorities::Authorities;
use mqtt_tls_judge::finding::{Finding, Reason as Found};

use super::served::Served;
use crate::crd::{CertificateStatus, HostStatus};
use crate::plan::host_key::HostKey;
use crate::plan::problem::Problem;
use crate::plan::proof::question::{self, Question, handshakes};
use crate::plan::reason::{ConditionType, Reason};
use crate::plan::source::Source;

/// A warning about a certificate or CA certificate that is served.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning {
    /// The reason; ordered from the worst.
    found: Found,
    /// The object, the finding, and what to do.
    pub message: String,
}

impl Warning {
    /// Creates a warning from a finding in an object.
    pub fn of(object: &str, finding: &Finding) -> Self {
        Self {
            found: finding.reason,
            message: format!("{object}: {}", finding.message),
        }
    }

    /// Creates a warning about the listener itself, or one of its hosts.
    pub fn about(key: &HostKey, finding: &Finding) -> Self {
        Self {
            found: finding.reason,
            message: key.says(&finding.message),
        }
    }

    /// Returns the reason.
    pub fn reason(&self) -> Reason {
        self.found.into()
    }
}

/// What a configuration serves as the listener itself, or as one of its hosts.
pub struct Part<'p> {
    /// Whose it is.
    pub key: &'p HostKey,
    /// Its names; none for the listener itself.
    pub names: &'p [String],
    /// Its own certificates, the default first.
    pub served: &'p [Served],
    /// Warnings about its CA bundle.
    pub ca_warnings: &'p [Warning],
    /// Its own CA certificates.
    pub authorities: Option<&'p Authorities>,
}

/// The file with a configuration.
pub struct File {
    /// The configuration's version.
    pub version: Option<String>,
    /// The port for devices.
    pub port: u16,
    /// Size of the devices' TLS buffers in bytes, if they are small.
    pub device_buffer: Option<u32>,
}

/// The certificates of a configuration, with their problems and warnings.
#[derive(Clone, Debug, Default)]
pub struct Serving {
    /// The listener's certificates, the default first.
    pub certificates: Vec<CertificateStatus>,
    /// The certificates of its hosts.
    pub of_hosts: Vec<CertificateStatus>,
    /// The hosts with a certificate outside its validity period.
    pub hosts: Vec<HostStatus>,
    /// What pods that serve it are asked; `None` without a configuration.
    pub question: Option<Question>,
    /// The source of a certificate with a publicly known private key, if any.
    pub public_key: Option<Source>,
    /// Problems with validity periods.
    pub problems: Vec<Problem>,
    /// Warnings about certificates and CA certificates, the worst first.
    pub warnings: Vec<Warning>,
}

impl Serving {
    /// Describes the certificates of a planned configuration, the listener's first.
    pub fn planned(parts: &[Part<'_>], file: Option<File>, now: Timestamp) -> Self {
        Self::of(parts, file, now, "renew it")
    }

    /// Describes the certificates of the previous configuration, while that stays in use.
    pub fn before(parts: &[Part<'_>], file: Option<File>, now: Timestamp) -> Self {
        let to_do = "renew it, or find out why no other certificate is served";
        Self::of(parts, file, now, to_do)
    }

    /// Adds warnings.
    #[must_use]
    pub fn with(mut self, warnings: Vec<Warning>) -> Self {
        self.warnings.extend(warnings);
        self.warnings.sort_by_key(|warning| warning.found);
        self
    }

    /// Returns the distinct reasons of all problems and warnings.
    pub fn reasons(&self) -> Vec<Reason> {
        let mut reasons: Vec<Reason> = self.warnings.iter().map(Warning::reason).collect();
        reasons.extend(self.public_key.as_ref().map(|_| Reason::PublicDemoKey));
        reasons.extend(self.problems.iter().map(|problem| problem.reason));
        reasons.sort_unstable_by_key(|reason| reason.name());
        reasons.dedup();
        reasons
    }

    fn of(parts: &[Part<'_>], file: Option<File>, now: Timestamp, to_do: &str) -> Self {
        let asked = parts.iter().map(|part| question::Asked {
            names: part.names,
            served: part.served,
        });
        let buffer = file.as_ref().and_then(|file| file.device_buffer);
        let mut serving = Self {
            question: file.map(|file| Question {
                version: file.version,
                port: file.port,
                handshakes: handshakes(&asked.collect::<Vec<_>>()),
            }),
            ..Self::default()
        };
        for part in parts {
            let problems = part.served.iter().filter_map(|one| dated(one, now, to_do));
            let problems: Vec<Problem> = problems.collect();
            serving.hosts.extend(Problem::of_host(part.key, &problems));
            let about = problems
                .into_iter()
                .map(|problem| problem.about_host(part.key));
            serving.problems.extend(about);
            serving.warnings.extend(part.warnings(buffer, now));
            let public = part.served.iter().find(|one| one.facts.is_public_demo);
            let public = public.map(|one| one.source.clone());
            serving.public_key = serving.public_key.or(public);
            let certificates = part.served.iter().map(Served::status);
            match part.key.name() {
                None => serving.certificates.extend(certificates),
                Some(_) => serving.of_hosts.extend(certificates),
            }
        }
        serving.warnings.sort_by_key(|warning| warning.found);
        serving
    }
}

impl Part<'_> {
    /// Returns the warnings about the certificates and the CA bundle.
    fn warnings(&self, buffer: Option<u32>, now: Timestamp) -> Vec<Warning> {
        let mut warnings = Vec::new();
        for (index, one) in self.served.iter().enumerate() {
            // The leaf's dates are problems, and the public key has its own message.
            let findings = one.certificate.findings_at(now).into_iter();
            let reported_elsewhere = [Found::Expired, Found::NotYetValid, Found::PublicDemoKey];
            let findings = findings.filter(|finding| !reported_elsewhere.contains(&finding.reason));
            let never_chosen = one.certificate.never_chosen().filter(|_| index > 0);
            let outgrows = buffer.and_then(|size| one.certificate.outgrows(size, self.authorities));
            let all = findings.chain(never_chosen).chain(outgrows);
            let object = one.source.to_string();
            warnings.extend(all.map(|finding| Warning::of(&object, &finding)));
        }
        warnings.extend_from_slice(self.ca_warnings);
        for warning in &mut warnings {
            warning.message = self.key.says(&warning.message);
        }
        warnings
    }
}

/// Returns the problem with the validity period of a served certificate, if any.
fn dated(served: &Served, now: Timestamp, to_do: &str) -> Option<Problem> {
    Some(Problem {
        about: ConditionType::CertificateValid,
        reason: served.invalidity(now)?,
        message: format!(
            "{}; it is still served, for devices without a clock; {to_do}",
            served.validity(now)
        ),
    })
}
