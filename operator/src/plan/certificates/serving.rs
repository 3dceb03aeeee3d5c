//! What is to be said about the certificates of a configuration. It must not decide which ones those are.

use jiff::Timestamp;
use mqtt_tls_judge::finding::{Finding, Reason as Found};

use super::served::Served;
use crate::crd::CertificateStatus;
use crate::plan::problem::Problem;
use crate::plan::reason::{ConditionType, Reason};
use crate::plan::source::Source;

/// Something that someone should look at in what is served, however well it serves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning {
    /// Why; the worst first.
    found: Found,
    /// The object, what was found, and what to do.
    pub message: String,
}

impl Warning {
    /// Of what was found in an object.
    pub fn of(object: &str, finding: &Finding) -> Self {
        Self {
            found: finding.reason,
            message: format!("{object}: {}", finding.message),
        }
    }

    /// Why, in one word.
    pub fn reason(&self) -> Reason {
        self.found.into()
    }
}

/// The certificates of a configuration, and what is to be said about them.
#[derive(Clone, Debug, Default)]
pub struct Serving {
    /// The certificates, the default first.
    pub certificates: Vec<CertificateStatus>,
    /// Where the certificate comes from whose private key is public, if one of them is.
    pub public_key: Option<Source>,
    /// What is wrong with their dates.
    pub problems: Vec<Problem>,
    /// What else someone should look at, in them and in the CA certificates; the worst first.
    pub warnings: Vec<Warning>,
}

impl Serving {
    /// What is to be said about those of a planned configuration, the default first.
    pub fn planned(served: &[Served], ca: &[Warning], now: Timestamp) -> Self {
        Self::of(served, ca, now, "renew it")
    }

    /// What is to be said about those of the configuration that is there, for as long as there is no other.
    pub fn before(served: &[Served], now: Timestamp) -> Self {
        Self::of(
            served,
            &[],
            now,
            "renew it, or see why no other one is served",
        )
    }

    /// The reasons to look at it, each once.
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
            public_key: public.map(|one| one.source.clone()),
            problems: served
                .iter()
                .filter_map(|one| dated(one, now, to_do))
                .collect(),
            warnings,
        }
    }
}

/// What someone should look at in the certificates of a configuration, the default first.
fn warnings(served: &[Served], now: Timestamp) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for (index, one) in served.iter().enumerate() {
        // Dates of the leaf are problems, and the public key has words of its own.
        let findings = one.certificate.findings_at(now).into_iter();
        let said_elsewhere = [Found::Expired, Found::NotYetValid, Found::PublicDemoKey];
        let findings = findings.filter(|finding| !said_elsewhere.contains(&finding.reason));
        let never_chosen = one.certificate.never_chosen().filter(|_| index > 0);
        let all = findings.chain(never_chosen);
        let object = one.source.to_string();
        warnings.extend(all.map(|finding| Warning::of(&object, &finding)));
    }
    warnings
}

/// What is wrong with the dates of a certificate that is served.
fn dated(served: &Served, now: Timestamp, to_do: &str) -> Option<Problem> {
    Some(Problem {
        about: ConditionType::CertificateValid,
        reason: served.invalidity(now)?,
        message: format!(
            "{}; it is served all the same, for devices without a clock: {to_do}",
            served.validity(now)
        ),
    })
}
