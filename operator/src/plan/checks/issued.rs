//! The checks of certificates: each has one source, and what is requested of an issuer can be issued.
//!
//! It must not look at other objects: whether an issuer exists is cert-manager's to say.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use mqtt_tls_config::show_duration;
use mqtt_tls_judge::escape::escaped;

use super::names::is_name;
use super::{Environment, Part};
use crate::crd::{
    CertificateSource, DURATION, ISSUED_NAMES_MAX, IssuerRef, MqttTlsListener, RENEW_BEFORE,
};
use crate::plan::issued::{self, Issued};
use crate::plan::names::Identity;

/// Lifetime of certificates, if none is requested; cert-manager's.
const LIFETIME: Duration = Duration::from_secs(2160 * 3600);

/// Maximum length of a value in a message, in bytes.
const SHOWN_MAX: usize = 253;

/// Each certificate has one source, and can be issued if it has an issuer.
pub(super) fn are_valid(listener: &MqttTlsListener) -> Option<String> {
    let identity = Identity::of(listener);
    let issued = issued::all(listener);
    let known = RefCell::new(BTreeMap::new());
    Part::first_wrong(listener, |part| {
        if part.certificates.first().is_some_and(|one| one.optional) {
            let field = part.key.field("certificates");
            return Some(format!(
                "{field}[0] is the default, and must not be optional; remove `optional`, or list another certificate first"
            ));
        }
        let mut certificates = part.certificates.iter().enumerate();
        certificates.find_map(|(index, source)| {
            let field = format!("{}[{index}]", part.key.field("certificates"));
            if let Some(wrong) = wrong(source) {
                return Some(format!("{field}{wrong}"));
            }
            source.issuer_ref.as_ref()?;
            let name = issued::name_of(&identity, &part.key, source);
            let issued = issued.iter().find(|one| one.name == name);
            if let Some(wrong) = issued.and_then(unnamed) {
                return Some(format!("{field}.{wrong}"));
            }
            let first = known.borrow_mut().insert(name, field.clone())?;
            Some(format!(
                "{field} and {first} request the same certificate; they must differ in the first name or in privateKey.algorithm"
            ))
        })
    })
}

/// The operator's settings permit each issuer.
pub(super) fn are_permitted(
    listener: &MqttTlsListener,
    environment: &Environment,
) -> Option<String> {
    Part::first_wrong(listener, |part| {
        let issuers = part.certificates.iter().enumerate();
        let mut issuers =
            issuers.filter_map(|(index, one)| Some((index, one.issuer_ref.as_ref()?)));
        let (index, issuer) = issuers.find(|(_, issuer)| !environment.issuers.permit(issuer))?;
        let (field, issuer) = (part.key.field("certificates"), shown(issuer));
        Some(format!(
            "{field}[{index}].issuerRef names {issuer}, which the operator's option --issuers does not permit; name another issuer, or \
             ask the cluster's administrator"
        ))
    })
}

fn shown(issuer: &IssuerRef) -> String {
    let shown = match issuer.group() {
        "cert-manager.io" => format!("{} {}", issuer.kind(), issuer.name),
        group => format!("{}.{group} {}", issuer.kind(), issuer.name),
    };
    escaped(&shown, SHOWN_MAX)
}

/// Returns what is wrong with a source, behind its path.
fn wrong(source: &CertificateSource) -> Option<String> {
    match (&source.secret_ref, &source.issuer_ref) {
        (Some(_), None) => {
            let bare = CertificateSource {
                secret_ref: source.secret_ref.clone(),
                optional: source.optional,
                ..CertificateSource::default()
            };
            let is_bare = *source == bare;
            return (!is_bare).then(|| {
                " has secretRef and fields for issuerRef (dnsNames, ipAddresses, duration, renewBefore, privateKey, usages); remove \
                 them, or use issuerRef"
                    .to_owned()
            });
        }
        (None, Some(_)) => {}
        (Some(_), Some(_)) | (None, None) => {
            return Some(
                " needs one source: set secretRef (an existing Secret) or issuerRef (an issuer of cert-manager)"
                    .to_owned(),
            );
        }
    }
    wrong_names(source)
        .or_else(|| wrong_times(source))
        .or_else(|| wrong_key(source))
        .map(|wrong| format!(".{wrong}"))
}

fn wrong_names(source: &CertificateSource) -> Option<String> {
    let mut names = source.dns_names.iter().enumerate();
    if let Some((at, name)) = names.find(|(_, name)| !is_name(name)) {
        let name = escaped(name, SHOWN_MAX);
        return Some(format!(
            "dnsNames[{at}] is {name}; it must be a DNS name in lower case, such as mqtt.example.com or *.example.com, without a port"
        ));
    }
    let mut addresses = source.ip_addresses.iter().enumerate();
    let (at, address) = addresses.find(|(_, one)| one.parse::<IpAddr>().is_err())?;
    let address = escaped(address, SHOWN_MAX);
    Some(format!(
        "ipAddresses[{at}] is {address}; it must be an IP address"
    ))
}

fn wrong_times(source: &CertificateSource) -> Option<String> {
    let read = |field: &str, text: &Option<String>, (least, most): (Duration, Duration)| {
        let Some(text) = text else {
            return Ok(None);
        };
        let found = duration(text).filter(|found| (least..=most).contains(found));
        if found.is_some() {
            return Ok(found);
        }
        let (least, most) = (show_duration(least), show_duration(most));
        Err(format!(
            "{field} is {}; it must be a duration from {least} to {most}, such as 720h",
            escaped(text, SHOWN_MAX)
        ))
    };
    let lifetime = match read("duration", &source.duration, DURATION) {
        Ok(lifetime) => lifetime.unwrap_or(LIFETIME),
        Err(wrong) => return Some(wrong),
    };
    match read("renewBefore", &source.renew_before, RENEW_BEFORE) {
        Ok(Some(before)) if before >= lifetime => {
            let (before, lifetime) = (show_duration(before), show_duration(lifetime));
            Some(format!(
                "renewBefore is {before}; it must be shorter than duration, which is {lifetime}"
            ))
        }
        Ok(_) => None,
        Err(wrong) => Some(wrong),
    }
}

/// Parses a duration as the API server's rule and Go do.
pub(in crate::plan) fn duration(text: &str) -> Option<Duration> {
    let is_plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || b"hms".contains(&byte));
    is_plain
        .then(|| humantime::parse_duration(text).ok())
        .flatten()
}

fn wrong_key(source: &CertificateSource) -> Option<String> {
    let key = source.private_key.as_ref()?;
    let (algorithm, size) = (key.algorithm.unwrap_or_default(), key.size?);
    let sizes = algorithm.sizes();
    (!sizes.contains(&size)).then(|| {
        let sizes: Vec<String> = sizes.iter().map(ToString::to_string).collect();
        format!(
            "privateKey.size is {size}; with {} it must be one of {}",
            algorithm.name(),
            sizes.join(", ")
        )
    })
}

/// Returns what is wrong with the names that a certificate gets by default.
fn unnamed(issued: &Issued) -> Option<String> {
    let count = issued.spec.dns_names.len();
    if count == 0 && issued.spec.ip_addresses.is_empty() {
        return Some(
            "dnsNames is missing, and no host has names that it could be for; set dnsNames or ipAddresses".to_owned(),
        );
    }
    (count > ISSUED_NAMES_MAX).then(|| {
        format!(
            "dnsNames would be the {count} names of the hosts without certificates of their own; at most {ISSUED_NAMES_MAX} are \
             allowed: set dnsNames, or use wildcards"
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{are_permitted, are_valid, duration};
    use crate::crd::MqttTlsListener;
    use crate::plan::environment::Environment;
    use crate::plan::issuers::Issuers;

    fn listener(certificates: &Value) -> MqttTlsListener {
        let listener = json!({
            "metadata": {"name": "edge", "namespace": "iot"},
            "spec": {"certificates": certificates, "backend": {"address": {"host": "broker"}}},
        });
        serde_json::from_value(listener).unwrap()
    }

    #[test]
    fn a_certificate_has_one_source_that_can_be_issued() {
        let issuer = |more: &Value| {
            let mut one = json!({"issuerRef": {"name": "ca"}, "dnsNames": ["a.example"]});
            for (key, value) in more.as_object().unwrap() {
                one[key] = value.clone();
            }
            one
        };
        let fine = issuer(&json!({}));
        for good in [
            fine.clone(),
            issuer(&json!({"dnsNames": [], "ipAddresses": ["192.0.2.1"]})),
            issuer(&json!({"duration": "1h", "renewBefore": "5m"})),
            issuer(&json!({"privateKey": {"algorithm": "RSA", "size": 3072}})),
            issuer(&json!({"usages": ["client auth"]})),
        ] {
            assert_eq!(are_valid(&listener(&json!([good]))), None, "{good}");
        }
        for (bad, said) in [
            (json!({}), "certificates[0] needs one source"),
            (
                issuer(&json!({"secretRef": {"name": "a"}})),
                "needs one source",
            ),
            (
                json!({"secretRef": {"name": "a"}, "dnsNames": ["a"]}),
                "has secretRef and fields",
            ),
            (json!({"issuerRef": {"name": "ca"}}), "dnsNames is missing"),
            (
                issuer(&json!({"dnsNames": ["A"]})),
                "certificates[0].dnsNames[0] is A",
            ),
            (
                issuer(&json!({"ipAddresses": ["a"]})),
                "ipAddresses[0] is a",
            ),
            (issuer(&json!({"duration": "59m"})), "duration is 59m"),
            (issuer(&json!({"duration": "90d"})), "duration is 90d"),
            (issuer(&json!({"renewBefore": "1s"})), "renewBefore is 1s"),
            (
                issuer(&json!({"renewBefore": "2160h"})),
                "shorter than duration, which is 2160h",
            ),
            (
                issuer(&json!({"privateKey": {"size": 2048}})),
                "with ECDSA it must be one of 256, 384",
            ),
        ] {
            let found = are_valid(&listener(&json!([bad]))).unwrap();
            assert!(found.contains(said), "{found}");
        }
        let twice = are_valid(&listener(&json!([fine, fine]))).unwrap();
        assert!(
            twice.contains("certificates[1] and spec.certificates[0] request the same"),
            "{twice}"
        );
        let other = issuer(&json!({"privateKey": {"algorithm": "RSA"}}));
        assert_eq!(are_valid(&listener(&json!([fine, other]))), None);
    }

    #[test]
    fn an_issuer_must_be_permitted() {
        let mut environment =
            Environment::cluster(String::new(), String::new(), std::time::Duration::ZERO);
        let one = listener(
            &json!([{"issuerRef": {"name": "ca", "kind": "ClusterIssuer"}, "dnsNames": ["a"]}]),
        );
        assert_eq!(are_permitted(&one, &environment), None);
        environment.issuers = Issuers::new(vec!["Issuer/*".parse().unwrap()]);
        let said = are_permitted(&one, &environment).unwrap();
        assert!(
            said.contains("certificates[0].issuerRef names ClusterIssuer ca"),
            "{said}"
        );
    }

    #[test]
    fn durations_are_those_of_go() {
        assert_eq!(duration("1h30m").unwrap().as_secs(), 5400);
        for bad in ["", "90d", "1.5h", "h", "-1h", "1M"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }
}
