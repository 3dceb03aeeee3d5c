//! The checks that a listener's spec must pass, as an ordered list; each has a reason and returns a message.
//!
//! It must not look at other objects: whether references resolve is another condition.

mod client_auth;
mod identity;
mod issued;
mod names;
mod tls;
mod trial;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use kube::ResourceExt;
use mqtt_tls_config::{Limits, Timeouts, is_dns_name, show_duration, unreachable};
use mqtt_tls_judge::escape::escaped;

pub(super) use self::issued::duration;
use super::backend::protocol_backend;
use super::bounds;
use super::environment::Environment;
use super::host_key::HostKey;
use super::names::Identity as Owner;
use super::problem::Problem;
use super::reason::{ConditionType, Reason};
use super::source::Source;
use crate::crd::{
    Alpn, Backend, CERTIFICATES_MAX, CertificateSource, ClientAuth, GRACE, HOST_CERTIFICATES_MAX,
    Identity, MqttTlsListener, MqttTlsListenerSpec, NAME_LENGTH_MAX, REPLICAS_MAX,
};

/// A check returns a message if it fails.
type Check = fn(&MqttTlsListener, &Environment) -> Option<String>;

/// Every check with its reason, in the order in which problems are reported.
pub const CHECKS: [(Reason, Check); 19] = [
    (Reason::InvalidName, name_fits),
    (Reason::InvalidHost, host_is_an_address),
    (Reason::UnreachableHost, host_is_reachable),
    (Reason::InvalidPort, port_is_free),
    (Reason::InvalidCertificates, certificates_are_usable),
    (Reason::DuplicateCertificate, certificates_differ),
    (Reason::IssuerNotPermitted, issued::are_permitted),
    (Reason::InvalidTrial, trial::is_usable),
    (Reason::MissingCaRef, client_auth::has_a_ca),
    (Reason::InvalidClientAuth, client_auth::is_usable),
    (Reason::InvalidHostNames, names::are_valid),
    (Reason::DuplicateHostName, names::differ),
    (Reason::InvalidIdentity, identity::gives_names),
    (Reason::InvalidTls, tls::is_consistent),
    (Reason::InvalidTimeouts, timeouts_are_bounded),
    (Reason::InvalidLimits, limits_are_bounded),
    (Reason::InvalidBackend, backend_is_one),
    (Reason::BackendIsOwn, backend_is_another),
    (Reason::InvalidReplicas, replicas_are_bounded),
];

/// Runs all checks.
pub fn run(listener: &MqttTlsListener, environment: &Environment) -> Vec<Problem> {
    CHECKS
        .iter()
        .filter_map(|(reason, check)| {
            let message = check(listener, environment)?;
            Some(Problem {
                about: ConditionType::Accepted,
                reason: *reason,
                message,
            })
        })
        .collect()
}

/// What a spec has for the listener itself, or for one of its hosts.
struct Part<'p> {
    key: HostKey,
    certificates: &'p [CertificateSource],
    client_auth: Option<&'p ClientAuth>,
    identity: Option<&'p Identity>,
    backend: Option<&'p Backend>,
    alpn: Option<&'p Alpn>,
}

impl<'p> Part<'p> {
    /// Returns the parts of a listener, that of the listener itself first.
    fn all(listener: &'p MqttTlsListener) -> impl Iterator<Item = Self> {
        let spec = &listener.spec;
        let hosts = spec.hosts.iter().enumerate();
        let hosts = hosts.map(|(index, host)| Self {
            key: HostKey::of_spec(index, &host.names),
            certificates: &host.certificates,
            client_auth: host.client_auth.as_ref(),
            identity: host.identity.as_ref(),
            backend: host.backend.as_ref(),
            alpn: host.tls.alpn.as_ref(),
        });
        let own = Self {
            key: HostKey::LISTENER,
            certificates: &spec.certificates,
            client_auth: Some(&spec.client_auth),
            identity: spec.identity.as_ref(),
            backend: Some(&spec.backend),
            alpn: spec.tls.alpn.as_ref(),
        };
        std::iter::once(own).chain(hosts)
    }

    /// Runs a check on its backend and those of its protocols, each with its path, and returns the message about the first that
    /// fails.
    fn first_wrong_backend(
        &self,
        check: impl Fn(&Backend, &str) -> Option<String>,
    ) -> Option<String> {
        let own = self.backend.map(|one| (self.key.field("backend"), one));
        let protocols = self.alpn.iter().flat_map(|alpn| &alpn.protocols);
        let of_protocols = protocols.enumerate().filter_map(|(index, protocol)| {
            let field = self.key.field(&protocol_backend(index));
            Some((field, protocol.backend.as_ref()?))
        });
        let mut backends = own.into_iter().chain(of_protocols);
        backends.find_map(|(field, backend)| check(backend, &field))
    }

    /// Runs a check on all parts of a listener, and returns the message about the first that fails.
    fn first_wrong(
        listener: &'p MqttTlsListener,
        check: impl Fn(&Self) -> Option<String>,
    ) -> Option<String> {
        Self::all(listener).find_map(|part| check(&part).map(|message| part.key.named(&message)))
    }
}

fn name_fits(listener: &MqttTlsListener, _: &Environment) -> Option<String> {
    let name = listener.name_any();
    let plain = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-';
    let fits = name.len() <= NAME_LENGTH_MAX
        && name.starts_with(|char: char| char.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.chars().all(plain);
    (!fits).then(|| {
        format!(
            "metadata.name must start with a letter, contain only a-z, 0-9 and -, and have at most \
             {NAME_LENGTH_MAX} characters, because its Service is called NAME-mqtts; choose another name"
        )
    })
}

fn host_is_an_address(listener: &MqttTlsListener, _: &Environment) -> Option<String> {
    let host = listener.spec.host.as_ref()?;
    host.parse::<IpAddr>().is_err().then(|| {
        "spec.host must be an IP address, such as 0.0.0.0 or ::; remove it to listen on all addresses"
            .to_owned()
    })
}

fn host_is_reachable(listener: &MqttTlsListener, environment: &Environment) -> Option<String> {
    let host: IpAddr = listener.spec.host.as_ref()?.parse().ok()?;
    if let Some(kind) = unreachable(host) {
        return Some(format!(
            "spec.host {host} is {kind}, which devices cannot connect to; remove it to listen on all addresses"
        ));
    }
    let is_unreached = host.is_loopback() && !environment.is_loopback_reached;
    is_unreached.then(|| {
        "spec.host is a loopback address, which is unreachable from outside the pod; remove it to listen \
         on all addresses"
            .to_owned()
    })
}

fn port_is_free(listener: &MqttTlsListener, environment: &Environment) -> Option<String> {
    let port = listener.spec.port;
    if port == 0 {
        return Some("spec.port must be from 1 to 65535; devices expect 8883".to_owned());
    }
    let taken = environment.reserved_port == Some(port);
    taken.then(|| {
        format!(
            "spec.port {port} is reserved for probes and metrics in each terminator pod; choose another \
             port"
        )
    })
}

fn certificates_are_usable(listener: &MqttTlsListener, _: &Environment) -> Option<String> {
    Part::first_wrong(listener, |part| {
        let (least, most) = match part.key.name() {
            None => (1, CERTIFICATES_MAX),
            Some(_) => (0, HOST_CERTIFICATES_MAX),
        };
        let count = part.certificates.len();
        let field = part.key.field("certificates");
        (!(least..=most).contains(&count))
            .then(|| format!("{field} has {count} entries; it must have 1 to {most}"))
    })
    .or_else(|| issued::are_valid(listener))
    .or_else(|| {
        let written = listener.spec.reference_grace.as_ref()?;
        let (least, most) = (show_duration(GRACE.0), show_duration(GRACE.1));
        grace(&listener.spec).is_none().then(|| {
            let written = escaped(written, 32);
            format!(
                "spec.referenceGrace is {written}; it must be a duration from {least} to {most}, such as 24h"
            )
        })
    })
}

/// How long a certificate stays in use by default after its ReferenceGrant was withdrawn.
const DEFAULT_GRACE: Duration = Duration::from_secs(24 * 3600);

/// Returns how long certificates of other namespaces stay in use after their ReferenceGrant was withdrawn. An invalid value is a problem
/// of the spec.
pub fn grace_of(spec: &MqttTlsListenerSpec) -> Duration {
    grace(spec).unwrap_or(DEFAULT_GRACE)
}

/// Returns how long certificates of other namespaces stay in use after their ReferenceGrant was withdrawn, if it is set and valid.
fn grace(spec: &MqttTlsListenerSpec) -> Option<Duration> {
    let grace = issued::duration(spec.reference_grace.as_ref()?)?;
    (GRACE.0..=GRACE.1).contains(&grace).then_some(grace)
}

fn certificates_differ(listener: &MqttTlsListener, _: &Environment) -> Option<String> {
    let namespace = Owner::of(listener).namespace;
    Part::first_wrong(listener, |part| {
        let mut seen = BTreeSet::new();
        let certificates = part.certificates.iter();
        let secrets = certificates.filter_map(|one| one.secret_ref.as_ref());
        let mut sources = secrets.map(|secret| Source::of_secret(secret, &namespace));
        let twice = sources.find(|source| !seen.insert(source.clone()))?;
        let field = part.key.field("certificates");
        Some(format!(
            "{field} lists {twice} twice; list each Secret once"
        ))
    })
}

fn timeouts_are_bounded(listener: &MqttTlsListener, _: &Environment) -> Option<String> {
    bounds::section::<Timeouts>(&listener.spec.timeouts).err()
}

fn limits_are_bounded(listener: &MqttTlsListener, _: &Environment) -> Option<String> {
    bounds::section::<Limits>(&listener.spec.limits).err()
}

fn backend_is_one(listener: &MqttTlsListener, _: &Environment) -> Option<String> {
    Part::first_wrong(listener, |part| {
        part.first_wrong_backend(|backend, field| match (&backend.service, &backend.address) {
            (Some(service), None) if service.port != 0 && is_service_name(&service.name) => None,
            (None, Some(address)) if address.port != 0 && is_host(&address.host) => None,
            (Some(_), None) => Some(format!(
                "{field}.service must have the name of a Service in this namespace, without dots, and a port from 1"
            )),
            (None, Some(_)) => Some(format!(
                "{field}.address must have a DNS name or an IP address as host, and a port from 1"
            )),
            (Some(_), Some(_)) | (None, None) => Some(format!(
                "{field} must have exactly one of service (a Service in this namespace) and address (a host name or an \
                 IP address)"
            )),
        })
    })
}

fn backend_is_another(listener: &MqttTlsListener, environment: &Environment) -> Option<String> {
    Part::first_wrong(listener, |part| {
        part.first_wrong_backend(|backend, field| {
            if environment.is_loopback_reached {
                is_own_port(backend, field, listener, environment)
            } else {
                is_own_pod(backend, field, listener, environment)
            }
        })
    })
}

/// Returns what is wrong with a backend that leads back to the terminator pods.
fn is_own_pod(
    backend: &Backend,
    field: &str,
    listener: &MqttTlsListener,
    environment: &Environment,
) -> Option<String> {
    let identity = Owner::of(listener);
    let own = identity.child_name();
    if backend.service.as_ref().is_some_and(|one| one.name == own) {
        return Some(format!(
            "{field}.service.name {own} is the listener's own Service; set the Service of smart-mqtt"
        ));
    }
    let host = &backend.address.as_ref()?.host;
    if is_loopback(host) {
        return Some(format!(
            "{field}.address.host {host} is a loopback address, which is the terminator pod itself; set the broker's \
             address, or its Service as {field}.service"
        ));
    }
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    let rest = name.strip_prefix(&own)?;
    let within = format!(".{}", identity.namespace);
    let service = format!("{within}.svc");
    let domain = environment.cluster_domain.as_deref().unwrap_or_default();
    let is_own = rest.is_empty()
        || rest == within
        || rest == service
        || rest.strip_prefix(&service) == Some(&format!(".{domain}"));
    is_own.then(|| {
        format!("{field}.address.host {host} is the listener's own Service; set the address of smart-mqtt")
    })
}

/// In this process, a broker may listen on a loopback address, but not on the listener's port.
fn is_own_port(
    backend: &Backend,
    field: &str,
    listener: &MqttTlsListener,
    environment: &Environment,
) -> Option<String> {
    let port = match (&environment.backend, &backend.service, &backend.address) {
        (Some(one), ..) => is_loopback(&one.host).then_some(one.port)?,
        (None, Some(service), _) => service.port,
        (None, None, Some(one)) => is_loopback(&one.host).then_some(one.port)?,
        (None, None, None) => return None,
    };
    let is_here = listener.spec.host.as_deref().is_none_or(is_loopback);
    (is_here && port == listener.spec.port).then(|| {
        format!(
            "{field} is port {port} of this machine, which is the listener's own; set the broker's port, or another \
             spec.port"
        )
    })
}

fn replicas_are_bounded(listener: &MqttTlsListener, _: &Environment) -> Option<String> {
    let replicas = listener.spec.replicas;
    (!(0..=REPLICAS_MAX).contains(&replicas))
        .then(|| format!("spec.replicas is {replicas}; it must be from 0 to {REPLICAS_MAX}"))
}

/// Reports whether a text is an IP address or a DNS name that the configuration accepts.
fn is_host(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok() || is_dns_name(text)
}

/// Reports whether connections to a host stay in the pod or on the machine; an unspecified address does on Linux.
pub(super) fn is_loopback(host: &str) -> bool {
    if let Ok(address) = host.parse::<IpAddr>() {
        let address = address.to_canonical();
        return address.is_loopback() || address.is_unspecified();
    }
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// Reports whether a text can be a Service's name: one DNS label. Anything else, followed by the namespace and the
/// cluster's domain, would be an invalid name or the name of something else.
fn is_service_name(text: &str) -> bool {
    !text.contains('.') && is_dns_name(&format!("{text}.svc"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{
        CHECKS, Duration, Environment, Reason, is_host, is_loopback, is_service_name, run,
    };

    #[test]
    fn checks_are_ordered_and_have_distinct_reasons() {
        let reasons: Vec<Reason> = CHECKS.iter().map(|(reason, _)| *reason).collect();
        assert_eq!(reasons.first(), Some(&Reason::InvalidName));
        assert_eq!(reasons.last(), Some(&Reason::InvalidReplicas));
        let mut distinct = reasons.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(
            distinct.len(),
            reasons.len(),
            "each check has its own reason"
        );
    }

    #[test]
    fn hosts() {
        for good in [
            "10.0.0.1",
            "fd00::1",
            "a",
            "smart-mqtt.iot.svc.cluster.local.",
            "a_b.c",
        ] {
            assert!(is_host(good), "{good}");
        }
        for bad in [
            "",
            ".",
            "a..b",
            "-a",
            "a-",
            "a b",
            "a:1883",
            "[fd00::1]",
            "10.0.0.300",
            &"a".repeat(64),
        ] {
            assert!(!is_host(bad), "{bad}");
        }
    }

    #[test]
    fn loopback_hosts() {
        for own in [
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "::ffff:127.0.0.1",
            "0.0.0.0",
            "::",
            "localhost",
            "LocalHost.",
            "a.localhost",
        ] {
            assert!(is_loopback(own), "{own}");
        }
        for other in [
            "10.0.0.1",
            "fd00::1",
            "localhosts",
            "mylocalhost",
            "localhost.example.com",
        ] {
            assert!(!is_loopback(other), "{other}");
        }
    }

    /// Pods can bind these, and would drop the socket that devices can connect to.
    #[test]
    fn hosts_that_no_device_can_connect_to() {
        let (image, domain) = ("a".to_owned(), "cluster.local".to_owned());
        let environment = Environment::cluster(image, domain, Duration::from_secs(30));
        let reason = |host: &str| {
            let backend = json!({"address": {"host": "broker"}});
            let spec = json!({"host": host, "certificates": [{"secretRef": {"name": "a"}}], "backend": backend});
            let listener = json!({"metadata": {"name": "edge"}, "spec": spec});
            let problems = run(&serde_json::from_value(listener).unwrap(), &environment);
            problems.first().map(|problem| problem.reason)
        };
        for bad in [
            "224.0.0.1",
            "255.255.255.255",
            "0.0.0.1",
            "ff02::1",
            "127.0.0.1",
            "::1",
        ] {
            assert_eq!(reason(bad), Some(Reason::UnreachableHost), "{bad}");
        }
        for good in ["0.0.0.0", "::", "192.0.2.1", "fd00::1"] {
            assert_eq!(reason(good), None, "{good}");
        }
    }

    /// A broker may listen on a loopback address of the machine, but not on the listener's port.
    #[test]
    fn a_backend_of_this_machine_has_another_port() {
        let admin = ([127, 0, 0, 1], 9883).into();
        let environment = Environment::process(None, Duration::from_secs(30), admin, false);
        let reason = |host: Option<&str>, backend: Value| {
            let spec = json!({"host": host, "certificates": [{"secretRef": {"name": "a"}}], "backend": backend});
            let listener = json!({"metadata": {"name": "edge"}, "spec": spec});
            let problems = run(&serde_json::from_value(listener).unwrap(), &environment);
            problems.first().map(|problem| problem.reason)
        };
        let at = |host: &str, port: u16| json!({"address": {"host": host, "port": port}});
        let service = |port: u16| json!({"service": {"name": "smart-mqtt", "port": port}});
        for (host, own) in [
            (None, at("127.0.0.1", 8883)),
            (Some("0.0.0.0"), at("localhost", 8883)),
            (None, service(8883)),
        ] {
            assert_eq!(
                reason(host, own.clone()),
                Some(Reason::BackendIsOwn),
                "{own}"
            );
        }
        for (host, other) in [
            (None, at("127.0.0.1", 1883)),
            (None, at("192.0.2.1", 8883)),
            (Some("192.0.2.2"), at("127.0.0.1", 8883)),
            (None, service(1883)),
        ] {
            assert_eq!(reason(host, other.clone()), None, "{other}");
        }
    }

    #[test]
    fn service_names() {
        for good in ["smart-mqtt", "a", "1883"] {
            assert!(is_service_name(good), "{good}");
        }
        for bad in [
            "",
            ".",
            "a.",
            "a.b",
            "-a",
            "a:1",
            "10.0.0.1",
            "fd00::1",
            &"a".repeat(64),
        ] {
            assert!(!is_service_name(bad), "{bad}");
        }
    }
}
