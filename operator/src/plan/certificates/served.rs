//! A certificate that can be served, wherever it comes from. It must not be shown: it holds a key.

use std::net::IpAddr;

use jiff::Timestamp;
use mqtt_tls_config::Pem;
use mqtt_tls_judge::Date;
use mqtt_tls_judge::certificate::{self, Certificate, Facts, Validity};
use mqtt_tls_judge::pem::Part;

use crate::crd::CertificateStatus;
use crate::error::chain;
use crate::plan::problem::Problem;
use crate::plan::reason::Reason;
use crate::plan::source::Source;
use crate::text::shortened;

/// How many names of a certificate are shown in a status.
const NAMES_SHOWN_MAX: usize = 64;

/// How long each text of a certificate may be in a status, in bytes: as long as a DNS name. A certificate may
/// hold texts of any length, and a status that is too large could never be written.
const TEXT_SHOWN_MAX: usize = 253;

/// A certificate that can be served.
#[derive(Clone)]
pub struct Served {
    /// Where it came from.
    pub source: Source,
    /// Chain and key.
    pub pem: Pem,
    /// What may be shown of it.
    pub facts: Facts,
    /// What was judged.
    pub certificate: Certificate,
}

impl Served {
    /// What was judged.
    pub fn of(source: Source, pem: Pem, certificate: Certificate) -> Self {
        Self {
            source,
            pem,
            facts: Facts::clone(certificate.facts()),
            certificate,
        }
    }

    /// What was rendered, judged as what an earlier release served: what can never verify is among the findings.
    ///
    /// # Errors
    ///
    /// What the terminator's library says.
    pub fn judge(source: Source, pem: Pem) -> Result<Self, certificate::Error> {
        let certificate = certificate::judge(&[Part::object(pem.expose())])?;
        Ok(Self::of(source, pem, certificate))
    }

    /// Whether it is within its dates.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.invalidity(now).is_none()
    }

    /// Why it is not within its dates, if it is not.
    pub fn invalidity(&self, now: Timestamp) -> Option<Reason> {
        match self.facts.validity(now) {
            Validity::Expired => Some(Reason::Expired),
            Validity::NotYetValid => Some(Reason::NotYetValid),
            Validity::Valid => None,
        }
    }

    /// Why it is not good enough to be served for the first time, if it is not: it can never verify.
    pub fn refusal(&self) -> Option<Problem> {
        let error = self.certificate.clone().strictly().err()?;
        let message = format!("{}: {}", self.source, chain(&error));
        Some(Problem::of_reference((&error).into(), message))
    }

    /// How it stands with its dates.
    pub fn validity(&self, now: Timestamp) -> String {
        let (source, facts) = (&self.source, &self.facts);
        let certificate = format!("the certificate in {source}");
        match facts.validity(now) {
            Validity::Expired => format!("{certificate} expired on {}", facts.not_after),
            Validity::NotYetValid => {
                format!("{certificate} is not valid before {}", facts.not_before)
            }
            Validity::Valid => format!("{certificate} is valid"),
        }
    }

    /// When there is something else to say about it.
    pub fn dates(&self) -> impl Iterator<Item = Timestamp> {
        self.certificate.dates().map(Date::timestamp)
    }

    /// The facts as they stand in a listener's status.
    pub fn status(&self) -> CertificateStatus {
        let facts = &self.facts;
        let addresses = facts.ip_addresses.iter().map(IpAddr::to_string);
        let names = facts.dns_names.iter().cloned().chain(addresses);
        CertificateStatus {
            secret_name: self.source.name().to_owned(),
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
