//! The certificates that cert-manager issues for a listener: which ones are wanted, and what keeps one from being there.
//!
//! It must not decide what is served meanwhile; `certificates::choose` does.

use std::collections::BTreeMap;

use mqtt_tls_judge::facts::sha256;

use super::host_key::HostKey;
use super::names::{Identity, Name};
use super::objects::Wanted;
use super::owned::Claim;
use super::problem::Problem;
use super::reason::Reason;
use super::source::{Source, Sources};
use super::world::World;
use crate::crd::{CertificateSource, KeyAlgorithm, MqttTlsListener, Usage};
use crate::kinds::Child;
use crate::kinds::certificate::{Certificate, CertificateSpec, Issuer, PrivateKey};
use crate::text::shortened;

/// Number of hexadecimal digits in the name of an issued certificate.
const DIGITS: usize = 8;

/// Maximum length of cert-manager's words in a message, in bytes.
const SAID_MAX: usize = 512;

/// A certificate that cert-manager issues.
#[derive(Clone, Debug, PartialEq)]
pub struct Issued {
    /// The name of the Certificate, and of its Secret.
    pub name: Name,
    /// What is requested.
    pub spec: CertificateSpec,
}

/// Returns the name of an issued certificate. It stays as long as host, key algorithm and first name do: another issuer, lifetime or
/// further name changes the Certificate, whose Secret keeps the certificate of before until the new one is issued.
pub fn name_of(listener: &Identity, host: &HostKey, source: &CertificateSource) -> Name {
    let first = source.dns_names.first().or(source.ip_addresses.first());
    let first = first.map_or("", |first| first);
    let key = [
        host.name().unwrap_or_default(),
        algorithm(source).name(),
        first,
    ];
    let digest = sha256(key.join("\n").as_bytes());
    let name = format!("{}-{}", listener.child_name(), &digest[..DIGITS]);
    Name::new(&listener.namespace, &name)
}

/// Returns the certificates that a spec wants to be issued.
pub fn all(listener: &MqttTlsListener) -> Vec<Issued> {
    let identity = Identity::of(listener);
    let spec = &listener.spec;
    let inheriting = spec
        .hosts
        .iter()
        .filter(|host| host.certificates.is_empty());
    let inherited: Vec<String> = inheriting.flat_map(|host| host.names.clone()).collect();
    let hosts = spec.hosts.iter().enumerate().map(|(index, host)| {
        let key = HostKey::of_spec(index, &host.names);
        (key, &host.certificates, &host.names)
    });
    let own = (HostKey::LISTENER, &spec.certificates, &inherited);
    std::iter::once(own)
        .chain(hosts)
        .flat_map(|(key, certificates, names)| {
            let issued = certificates
                .iter()
                .filter_map(|source| Issued::of(&identity, &key, source, names));
            issued.collect::<Vec<_>>()
        })
        .collect()
}

fn algorithm(source: &CertificateSource) -> KeyAlgorithm {
    let key = source.private_key.as_ref();
    key.and_then(|key| key.algorithm).unwrap_or_default()
}

impl Issued {
    /// Returns what a source wants to be issued, by default for these names; `None` if it has no issuer.
    pub fn of(
        listener: &Identity,
        host: &HostKey,
        source: &CertificateSource,
        names: &[String],
    ) -> Option<Self> {
        let issuer = source.issuer_ref.as_ref()?;
        let name = name_of(listener, host, source);
        let algorithm = algorithm(source);
        let size = source.private_key.as_ref().and_then(|key| key.size);
        let has_names = !(source.dns_names.is_empty() && source.ip_addresses.is_empty());
        let usages = match &*source.usages {
            [] if algorithm == KeyAlgorithm::Rsa => &[
                Usage::DigitalSignature,
                Usage::KeyEncipherment,
                Usage::ServerAuth,
            ][..],
            [] => &[Usage::DigitalSignature, Usage::ServerAuth],
            own => own,
        };
        let spec = CertificateSpec {
            secret_name: name.name.clone(),
            issuer_ref: Issuer {
                name: issuer.name.clone(),
                kind: issuer.kind().to_owned(),
                group: issuer.group().to_owned(),
            },
            dns_names: if has_names {
                source.dns_names.clone()
            } else {
                names.to_vec()
            },
            ip_addresses: source.ip_addresses.clone(),
            duration: source.duration.clone(),
            renew_before: source.renew_before.clone(),
            private_key: PrivateKey {
                algorithm: algorithm.name().to_owned(),
                size: size.unwrap_or(algorithm.sizes()[0]),
                // A key that leaked ends with its certificate.
                rotation_policy: "Always".to_owned(),
            },
            usages: usages.iter().map(|one| one.name().to_owned()).collect(),
        };
        Some(Self { name, spec })
    }
}

/// Returns the Certificates of a listener: those that are wanted, and those that are not any more, as far as the sources of what is
/// rendered have them no more. Without cert-manager there is nothing to write.
pub fn children(
    issued: &[Issued],
    world: &World,
    served: Option<&Sources>,
    claim: &mut Claim<'_>,
) -> Vec<(String, Wanted<Certificate>)> {
    if !world.has_cert_manager {
        return Vec::new();
    }
    let found = |name: &str| {
        let mut all = world.children.certificates();
        all.find(|one| one.metadata.name.as_deref() == Some(name))
    };
    let wanted = issued.iter().map(|issued| {
        let name = &issued.name.name;
        let certificate = issued.certificate(claim.identity);
        let wanted = claim.wanted(found(name), Wanted::new(certificate));
        (name.clone(), wanted)
    });
    let mut all: Vec<(String, Wanted<Certificate>)> = wanted.collect();
    for certificate in world.children.certificates() {
        let name = certificate.metadata.name.clone().unwrap_or_default();
        // What still serves must be renewed, and what someone has copied is not ours.
        let is_in_use = served.is_none_or(|served| served.has_issued(&name));
        let is_known = all.iter().any(|(known, _)| *known == name);
        if !is_known && !is_in_use && is_name(&name, claim.identity) {
            let wanted = claim.wanted(Some(certificate), Wanted::Absent);
            all.push((name, wanted));
        }
    }
    all
}

/// Reports whether a name is one that the operator gives.
fn is_name(name: &str, listener: &Identity) -> bool {
    let digits = name.strip_prefix(&listener.child_name());
    let digits = digits.and_then(|rest| rest.strip_prefix('-'));
    digits.is_some_and(|digits| {
        digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

impl Issued {
    fn certificate(&self, listener: &Identity) -> Certificate {
        let mut metadata = listener.child(Child::Certificate, &BTreeMap::new(), BTreeMap::new());
        metadata.name = Some(self.name.name.clone());
        Certificate {
            metadata,
            spec: self.spec.clone(),
            status: None,
        }
    }
}

/// Returns the problem of a listener with issuers in a cluster without cert-manager.
pub fn without_cert_manager(issued: &[Issued], world: &World) -> Option<Problem> {
    (!issued.is_empty() && !world.has_cert_manager).then(|| {
        Problem::of_reference(
            Reason::CertManagerNotFound,
            "certificates with issuerRef are issued by cert-manager, and this cluster does not serve its resource Certificate \
             (cert-manager.io/v1); install cert-manager, or use secretRef"
                .to_owned(),
        )
    })
}

/// Returns the problems of certificates that are there, and that cert-manager cannot issue again as they are wanted.
pub fn failing(issued: &[Issued], world: &World) -> Vec<Problem> {
    let found = |name: &Name| {
        let mut all = world.children.certificates();
        all.find(|one| one.metadata.name.as_ref() == Some(&name.name))
    };
    let there = issued
        .iter()
        .filter(|one| world.secrets.contains_key(&one.name));
    let failing = there.filter_map(|one| {
        let ready = found(&one.name)?.condition("Ready")?;
        (ready.status == "False").then(|| {
            let said = format!("{}: {}", ready.reason, ready.message);
            let (name, said) = (&one.name.name, shortened(said, SAID_MAX));
            let message = format!(
                "Certificate {name} is not issued as it is wanted: {said}; see `kubectl describe certificate {name}` and its \
                 CertificateRequest; the certificate of before stays in use"
            );
            Problem::of_reference(Reason::CertificateNotIssued, message)
        })
    });
    failing.collect()
}

/// Returns the problem of an issued certificate that is not there.
pub fn missing(source: &Source, world: &World) -> Problem {
    let name = source.name();
    let mut found = world.children.certificates();
    let found = found.find(|one| one.metadata.name.as_deref() == Some(name));
    let said = found.and_then(|found| {
        let ready = found.condition("Issuing").or(found.condition("Ready"))?;
        let said = format!("{}: {}", ready.reason, ready.message);
        Some(shortened(said, SAID_MAX))
    });
    let message = match (said, world.has_cert_manager) {
        (_, false) => format!("{source} cannot be issued without cert-manager"),
        (Some(said), true) => format!(
            "{source} is not issued yet: {said}; see `kubectl describe certificate {name}` and its CertificateRequest"
        ),
        (None, true) => format!(
            "{source} is not issued yet; if it stays so, see `kubectl describe certificate {name}` and check that cert-manager runs"
        ),
    };
    Problem::of_reference(Reason::CertificateNotIssued, message)
}
