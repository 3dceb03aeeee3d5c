//! A certificate that can be served, from any source. It must not be shown: it holds a private key.

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

/// Maximum number of a certificate's names in a status.
const NAMES_SHOWN_MAX: usize = 64;

/// Maximum length of each text of a certificate in a status, in bytes: that of a DNS name. A certificate may contain
/// texts of any length, and a status that is too large cannot be written.
const TEXT_SHOWN_MAX: usize = 253;

/// A certificate that can be served.
#[derive(Clone)]
pub struct Served {
    /// Its source.
    pub source: Source,
    /// Chain and private key.
    pub pem: Pem,
    /// Its public facts.
    pub facts: Facts,
    /// The result of judging it.
    pub certificate: Certificate,
}

impl Served {
    /// Creates it from a judged certificate.
    pub fn of(source: Source, pem: Pem, certificate: Certificate) -> Self {
        Self {
            source,
            pem,
            facts: Facts::clone(certificate.facts()),
            certificate,
        }
    }

    /// Judges a certificate as leniently as one that already serves: one that can never verify is only a finding.
    ///
    /// # Errors
    ///
    /// The certificate cannot be served.
    pub fn judge(source: Source, pem: Pem) -> Result<Self, certificate::Error> {
        let certificate = certificate::judge(&[Part::object(pem.expose())])?;
        Ok(Self::of(source, pem, certificate))
    }

    /// Reports whether it is within its validity period.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.invalidity(now).is_none()
    }

    /// Returns why it is outside its validity period, if so.
    pub fn invalidity(&self, now: Timestamp) -> Option<Reason> {
        match self.facts.validity(now) {
            Validity::Expired => Some(Reason::Expired),
            Validity::NotYetValid => Some(Reason::NotYetValid),
            Validity::Valid => None,
        }
    }

    /// Reports whether no client can ever verify it. An earlier release may have served it nevertheless.
    pub fn is_refused(&self) -> bool {
        self.certificate.clone().strictly().is_err()
    }

    /// Returns why it must not be served for the first time, if so: no client can ever verify it.
    pub fn refusal(&self) -> Option<Problem> {
        let error = self.certificate.clone().strictly().err()?;
        let message = format!("{}: {}", self.source, chain(&error));
        Some(Problem::of_reference(error.reason().into(), message))
    }

    /// Describes its validity.
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

    /// Returns the dates at which its findings change.
    pub fn dates(&self) -> impl Iterator<Item = Timestamp> {
        self.certificate.dates().map(Date::timestamp)
    }

    /// Returns the certificate's entry in the listener's status.
    pub fn status(&self) -> CertificateStatus {
        let facts = &self.facts;
        let addresses = facts.ip_addresses.iter().map(IpAddr::to_string);
        let names = facts.dns_names.iter().cloned().chain(addresses);
        CertificateStatus {
            secret_name: self.source.shown(),
            dns_names: names.take(NAMES_SHOWN_MAX).map(shown).collect(),
            not_before: facts.not_before.to_string(),
            not_after: facts.not_after.to_string(),
            fingerprint: facts.fingerprint.clone(),
            serial: shown(facts.serial.clone()),
            subject: shown(facts.subject.clone()),
            issuer: shown(facts.issuer.clone()),
            since: None,
        }
    }
}

fn shown(text: String) -> String {
    shortened(text, TEXT_SHOWN_MAX)
}
