//! Describes the certificates of a configuration: status, problems and warnings. It must not choose them.

use jiff::Timestamp;
use mqtt_tls_judge::finding::{Finding, Reason as Found};

use super::served::Served;
use crate::crd::CertificateStatus;
use crate::plan::problem::Problem;
use crate::plan::proof::question::Question;
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

    /// Returns the reason.
    pub fn reason(&self) -> Reason {
        self.found.into()
    }
}

/// The certificates of a configuration, with their problems and warnings.
#[derive(Clone, Debug, Default)]
pub struct Serving {
    /// The certificates, the default first.
    pub certificates: Vec<CertificateStatus>,
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
    /// Describes the certificates of a planned configuration, the default first.
    pub fn planned(served: &[Served], ca: &[Warning], now: Timestamp) -> Self {
        Self::of(served, ca, now, "renew it")
    }

    /// Describes the certificates of the previous configuration, while that stays in use.
    pub fn before(served: &[Served], now: Timestamp) -> Self {
        Self::of(
            served,
            &[],
            now,
            "renew it, or find out why no other certificate is served",
        )
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

    fn of(served: &[Served], ca: &[Warning], now: Timestamp, to_do: &str) -> Self {
        let public = served.iter().find(|one| one.facts.is_public_demo);
        let mut warnings = warnings(served, now);
        warnings.extend_from_slice(ca);
        warnings.sort_by_key(|warning| warning.found);
        Self {
            certificates: served.iter().map(Served::status).collect(),
            question: None,
            public_key: public.map(|one| one.source.clone()),
            problems: served
                .iter()
                .filter_map(|one| dated(one, now, to_do))
                .collect(),
            warnings,
        }
    }
}

/// Returns the warnings about the certificates of a configuration, the default first.
fn warnings(served: &[Served], now: Timestamp) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for (index, one) in served.iter().enumerate() {
        // The leaf's dates are problems, and the public key has its own message.
        let findings = one.certificate.findings_at(now).into_iter();
        let reported_elsewhere = [Found::Expired, Found::NotYetValid, Found::PublicDemoKey];
        let findings = findings.filter(|finding| !reported_elsewhere.contains(&finding.reason));
        let never_chosen = one.certificate.never_chosen().filter(|_| index > 0);
        let all = findings.chain(never_chosen);
        let object = one.source.to_string();
        warnings.extend(all.map(|finding| Warning::of(&object, &finding)));
    }
    warnings
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
