//! The checks that a listener's spec must pass, as an ordered list; each has a reason and returns a message.
//!
//! It must not look at other objects: whether references resolve is another condition.

use std::collections::BTreeSet;
use std::net::IpAddr;

use kube::ResourceExt;
use mqtt_tls_config::{Limits, Timeouts, is_dns_name};

use super::bounds;
use super::environment::Environment;
use super::problem::Problem;
use super::reason::{ConditionType, Reason};
use crate::crd::{
    CERTIFICATES_MAX, ClientAuthMode, MqttTlsListener, NAME_LENGTH_MAX, REPLICAS_MAX,
};

/// A check returns a message if it fails.
type Check = fn(&MqttTlsListener, &Environment) -> Option<String>;

/// Every check with its reason, in the order in which problems are reported.
pub const CHECKS: [(Reason, Check); 11] = [
    (Reason::InvalidName, name_fits),
    (Reason::InvalidHost, host_is_an_address),
    (Reason::UnreachableHost, host_is_reachable),
    (Reason::InvalidPort, port_is_free),
    (Reason::InvalidCertificates, certificates_are_counted),
    (Reason::DuplicateCertificate, certificates_differ),
    (Reason::MissingCaRef, client_auth_has_a_ca),
    (Reason::InvalidTimeouts, timeouts_are_bounded),
    (Reason::InvalidLimits, limits_are_bounded),
    (Reason::InvalidBackend, backend_is_one),
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
    let unreachable = host.is_loopback() && !environment.is_loopback_reached;
    unreachable.then(|| {
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

fn certificates_are_counted(listener: &MqttTlsListener, _: &Environment) -> Option<String> {
    let count = listener.spec.certificates.len();
    (count == 0 || count > CERTIFICATES_MAX).then(|| {
        format!("spec.certificates has {count} entries; it must have 1 to {CERTIFICATES_MAX}")
    })
}

fn certificates_differ(listener: &MqttTlsListener, _: &Environment) -> Option<String> {
    let mut seen = BTreeSet::new();
    let twice = listener
        .spec
        .certificates
        .iter()
        .find(|one| !seen.insert(one.secret_ref.name.as_str()))?;
    Some(format!(
        "spec.certificates lists Secret {} twice; list each Secret once",
        twice.secret_ref.name
    ))
}

fn client_auth_has_a_ca(listener: &MqttTlsListener, _: &Environment) -> Option<String> {
    let auth = &listener.spec.client_auth;
    (auth.mode != ClientAuthMode::None && auth.ca_ref.is_none()).then(|| {
        "spec.clientAuth.mode Optional and Require need spec.clientAuth.caRef, the Secret or ConfigMap \
         with the CA certificates for devices' certificates; add it, or set mode: None"
            .to_owned()
    })
}

fn timeouts_are_bounded(listener: &MqttTlsListener, _: &Environment) -> Option<String> {
    bounds::section::<Timeouts>(&listener.spec.timeouts).err()
}

fn limits_are_bounded(listener: &MqttTlsListener, _: &Environment) -> Option<String> {
    bounds::section::<Limits>(&listener.spec.limits).err()
}

fn backend_is_one(listener: &MqttTlsListener, _: &Environment) -> Option<String> {
    let backend = &listener.spec.backend;
    match (&backend.service, &backend.address) {
        (Some(service), None) if service.port != 0 && is_service_name(&service.name) => {
            None
        },
        (None, Some(address)) if address.port != 0 && is_host(&address.host) => None,
        (Some(_), None) => Some(
            "spec.backend.service must have the name of a Service in this namespace, without dots, and a \
             port from 1"
                .to_owned(),
        ),
        (None, Some(_)) => Some(
            "spec.backend.address must have a DNS name or an IP address as host, and a port from 1"
                .to_owned(),
        ),
        (Some(_), Some(_)) | (None, None) => Some(
            "spec.backend must have exactly one of service (a Service in this namespace) and address (a \
             host name or an IP address)"
                .to_owned(),
        ),
    }
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

/// Reports whether a text can be a Service's name: one DNS label. Anything else, followed by the namespace and the
/// cluster's domain, would be an invalid name or the name of something else.
fn is_service_name(text: &str) -> bool {
    !text.contains('.') && is_dns_name(&format!("{text}.svc"))
}

#[cfg(test)]
mod tests {
    use super::{CHECKS, Reason, is_host, is_service_name};

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
