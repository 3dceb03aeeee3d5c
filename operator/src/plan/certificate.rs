//! From a Secret's bytes to a certificate that can be served, or to what is wrong with it.
//!
//! What it accepts is what the terminator can load: the terminator's library judges. It must not decide
//! what is served instead; that is `config`. No message shows key material.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use mqtt_tls_config::Pem;
use mqtt_tls_judge::certificate::{self, Certificate, Facts, Validity};
use mqtt_tls_judge::finding::{Finding, Reason};
use mqtt_tls_judge::pem::Part;
use mqtt_tls_judge::text::{NotText, decoded};
use zeroize::Zeroizing;

use super::conditions::shortened;
use super::{About, Problem};
use crate::crd::CertificateStatus;
use crate::error::chain;

/// How many names of a certificate are shown in a status.
const NAMES_SHOWN_MAX: usize = 64;

/// How long each text of a certificate may be in a status, in bytes: as long as a DNS name. A certificate may
/// hold texts of any length, and a status that is too large could never be written.
const TEXT_SHOWN_MAX: usize = 253;

/// A certificate that can be served.
#[derive(Clone)]
pub struct Served {
    /// The Secret that it came from.
    pub source: String,
    /// Chain and key.
    pub pem: Pem,
    /// What may be told of it.
    pub facts: Facts,
    /// What was judged.
    pub certificate: Certificate,
}

impl Served {
    /// What was rendered, judged as what an earlier release served: what can never verify is among the findings.
    ///
    /// # Errors
    ///
    /// What the terminator's library says.
    pub fn judge(source: &str, pem: Pem) -> Result<Self, certificate::Error> {
        let certificate = certificate::judge(&[Part::object(pem.expose())])?;
        Ok(Self::of(source, pem, certificate))
    }

    fn of(source: &str, pem: Pem, certificate: Certificate) -> Self {
        Self {
            source: source.to_owned(),
            pem,
            facts: Facts::clone(certificate.facts()),
            certificate,
        }
    }

    /// Whether it is within its dates.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.facts.validity(now) == Validity::Valid
    }

    /// Why it is not within its dates, in one word.
    pub fn invalidity(&self, now: Timestamp) -> &'static str {
        match self.facts.validity(now) {
            Validity::Expired => "Expired",
            Validity::NotYetValid => "NotYetValid",
            Validity::Valid => "Valid",
        }
    }

    /// How it stands with its dates.
    pub fn told(&self, now: Timestamp) -> String {
        let (source, facts) = (&self.source, &self.facts);
        let certificate = format!("the certificate in Secret {source}");
        match facts.validity(now) {
            Validity::Expired => format!("{certificate} expired on {}", facts.not_after),
            Validity::NotYetValid => {
                format!("{certificate} is not valid before {}", facts.not_before)
            }
            Validity::Valid => format!("{certificate} is valid"),
        }
    }

    /// The facts as they stand in a listener's status.
    pub fn status(&self) -> CertificateStatus {
        let facts = &self.facts;
        let addresses = facts.ip_addresses.iter().map(IpAddr::to_string);
        let names = facts.dns_names.iter().cloned().chain(addresses);
        CertificateStatus {
            secret_name: self.source.clone(),
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

/// Something that someone should look at in what is served, however well it serves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Warning {
    /// Why; one of a fixed set.
    pub reason: Reason,
    /// The object, what was found, and what to do.
    pub message: String,
}

impl Warning {
    fn of(source: &str, finding: &Finding) -> Self {
        Self {
            reason: finding.reason,
            message: format!("Secret {source}: {}", finding.message),
        }
    }
}

/// What someone should look at in the certificates of a configuration, the default first.
fn warnings(served: &[Served], now: Timestamp) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for (index, one) in served.iter().enumerate() {
        // Dates of the leaf are problems, and the public key has words of its own.
        let findings = one.certificate.findings_at(now).into_iter();
        let told_elsewhere = [Reason::Expired, Reason::NotYetValid, Reason::PublicDemoKey];
        let findings = findings.filter(|finding| !told_elsewhere.contains(&finding.reason));
        let never_chosen = one.certificate.never_chosen().filter(|_| index > 0);
        let all = findings.chain(never_chosen);
        warnings.extend(all.map(|finding| Warning::of(&one.source, &finding)));
    }
    warnings
}

/// The certificates of a configuration, and what is to be said about them.
#[derive(Clone, Debug, Default)]
pub struct Serving {
    /// The certificates, the default first.
    pub certificates: Vec<CertificateStatus>,
    /// The Secret whose private key is public, if one of them is.
    pub public_key: Option<String>,
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
    pub fn reasons(&self) -> Vec<&'static str> {
        let mut reasons: Vec<&'static str> = self
            .warnings
            .iter()
            .map(|warning| warning.reason.name())
            .collect();
        reasons.extend(
            self.public_key
                .as_ref()
                .map(|_| Reason::PublicDemoKey.name()),
        );
        reasons.extend(self.problems.iter().map(|problem| problem.reason));
        reasons.sort_unstable();
        reasons.dedup();
        reasons
    }

    fn of(served: &[Served], ca: &[Warning], now: Timestamp, to_do: &str) -> Self {
        let public = served.iter().find(|one| one.facts.is_public_demo);
        let mut warnings = warnings(served, now);
        warnings.extend_from_slice(ca);
        warnings.sort_by_key(|warning| warning.reason);
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

/// What is wrong with the dates of a certificate that is served.
fn dated(served: &Served, now: Timestamp, to_do: &str) -> Option<Problem> {
    (!served.is_valid(now)).then(|| Problem {
        about: About::CertificateValid,
        reason: served.invalidity(now),
        message: format!(
            "{}; it is served all the same, for devices without a clock: {to_do}",
            served.told(now)
        ),
    })
}

/// Reads the certificate in a Secret.
///
/// # Errors
///
/// What is wrong, with the object, the key, and what to do.
pub fn read(name: &str, secret: Option<&Secret>) -> Result<Served, Problem> {
    let Some(secret) = secret else {
        return Err(Problem {
            about: About::ResolvedRefs,
            reason: "SecretNotFound",
            message: format!(
                "Secret {name} does not exist in this namespace; create it with tls.crt and tls.key, or \
                 correct the name in spec.certificates"
            ),
        });
    };
    let empty = BTreeMap::new();
    let (keys, pem, judged) = pem_of(name, secret.data.as_ref().unwrap_or(&empty))?;
    match judged {
        Ok(certificate) => Ok(Served::of(name, pem, certificate)),
        Err(error) => Err(unusable(name, keys, &error)),
    }
}

fn unusable(name: &str, keys: &str, error: &certificate::Error) -> Problem {
    Problem {
        about: About::ResolvedRefs,
        reason: error.reason(),
        message: format!("Secret {name}, {keys}: {}", chain(error)),
    }
}

/// A certificate that was not served before, if it is good enough to be served for the first time.
///
/// # Errors
///
/// It can never verify.
pub fn strictly(served: Served) -> Result<Served, Problem> {
    match served.certificate.clone().strictly() {
        Ok(_) => Ok(served),
        Err(error) => Err(Problem {
            about: About::ResolvedRefs,
            reason: error.reason(),
            message: format!("Secret {}: {}", served.source, chain(&error)),
        }),
    }
}

type Judged = Result<Certificate, certificate::Error>;

/// Chain and key as one text, what was judged of them, and the keys of the Secret that they were under.
fn pem_of(
    name: &str,
    data: &BTreeMap<String, ByteString>,
) -> Result<(&'static str, Pem, Judged), Problem> {
    let pair = data.contains_key("tls.crt") || data.contains_key("tls.key");
    if !pair && data.contains_key("pem") {
        let text = text(name, data, "pem")?;
        let judged = certificate::judge(&[Part::key("pem", &text)]);
        return Ok(("key pem", Pem::new(text.as_str().to_owned()), judged));
    }
    if !pair {
        return Err(Problem {
            about: About::ResolvedRefs,
            reason: "MissingKey",
            message: format!(
                "Secret {name} has neither tls.crt and tls.key nor pem; put the certificate chain under \
                 tls.crt and its private key under tls.key, or both under pem"
            ),
        });
    }
    let (chain, key) = (text(name, data, "tls.crt")?, text(name, data, "tls.key")?);
    let judged = certificate::judge(&[Part::key("tls.crt", &chain), Part::key("tls.key", &key)]);
    // A chain without a newline at its end would run into the key's first line.
    let mut text = String::with_capacity(chain.len() + 1 + key.len());
    text.extend([chain.trim_end(), "\n", key.as_str()]);
    Ok(("keys tls.crt and tls.key", Pem::new(text), judged))
}

/// A text of a Secret, as it is or as it was made of bytes of another encoding.
pub(super) enum Text<'d> {
    AsItIs(&'d str),
    Decoded(Zeroizing<String>),
}

impl Text<'_> {
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::AsItIs(text) => text,
            Self::Decoded(text) => text,
        }
    }
}

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

/// The text of some bytes.
pub(super) fn text_of(bytes: &[u8]) -> Result<Text<'_>, NotText> {
    if let Some(text) = decoded(bytes)? {
        return Ok(Text::Decoded(text));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| NotText::Binary)?;
    Ok(Text::AsItIs(text))
}

/// The text under one key of a Secret.
fn text<'d>(
    name: &str,
    data: &'d BTreeMap<String, ByteString>,
    key: &str,
) -> Result<Text<'d>, Problem> {
    let problem = |reason, what: &str| Problem {
        about: About::ResolvedRefs,
        reason,
        message: format!("Secret {name}, key {key}: {what}"),
    };
    let Some(ByteString(bytes)) = data.get(key) else {
        return Err(problem(
            "MissingKey",
            "it is missing; add it beside the other one",
        ));
    };
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(problem("MissingKey", "it is empty; put the PEM text there"));
    }
    text_of(bytes).map_err(|error| problem("BrokenPem", &error.to_string()))
}
