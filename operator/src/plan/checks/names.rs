//! The checks of the names of a listener's hosts. It must not compare them with the names of certificates.

use std::collections::BTreeMap;

use mqtt_tls_config::is_dns_name;
use mqtt_tls_judge::escape::escaped;

use super::Environment;
use crate::crd::{HOSTS_MAX, MqttTlsListener, NAMES_MAX};

/// Maximum length of a name in a message, in bytes.
const SHOWN_MAX: usize = 253;

/// Each host has names, and devices can request them; there are not too many.
pub(super) fn are_valid(listener: &MqttTlsListener, _: &Environment) -> Option<String> {
    let hosts = &listener.spec.hosts;
    if hosts.len() > HOSTS_MAX {
        let count = hosts.len();
        return Some(format!(
            "spec.hosts has {count} entries; it must have at most {HOSTS_MAX}"
        ));
    }
    let count: usize = hosts.iter().map(|host| host.names.len()).sum();
    if count > NAMES_MAX {
        return Some(format!(
            "spec.hosts has {count} names together; it must have at most {NAMES_MAX}; use wildcards, or several listeners"
        ));
    }
    for (index, host) in hosts.iter().enumerate() {
        if host.names.is_empty() {
            return Some(format!(
                "spec.hosts[{index}].names is empty; list the names that devices request"
            ));
        }
        if let Some(at) = host.names.iter().position(|name| !is_name(name)) {
            let name = escaped(&host.names[at], SHOWN_MAX);
            return Some(format!(
                "spec.hosts[{index}].names[{at}] is {name}; it must be a DNS name in lower case, such as \
                 mqtt.example.com or *.example.com, without a port"
            ));
        }
    }
    None
}

/// Each name belongs to one host.
pub(super) fn differ(listener: &MqttTlsListener, _: &Environment) -> Option<String> {
    let mut known = BTreeMap::new();
    for (index, host) in listener.spec.hosts.iter().enumerate() {
        for (at, name) in host.names.iter().enumerate() {
            if let Some((first, first_at)) = known.insert(name, (index, at)) {
                let name = escaped(name, SHOWN_MAX);
                return Some(format!(
                    "spec.hosts[{first}].names[{first_at}] and spec.hosts[{index}].names[{at}] are both {name}; remove \
                     one of them, because each name belongs to one host"
                ));
            }
        }
    }
    None
}

/// Reports whether devices can request a name, or one that a wildcard stands for.
pub(super) fn is_name(name: &str) -> bool {
    let plain = name.strip_prefix("*.").unwrap_or(name);
    is_dns_name(plain) && !plain.ends_with('.') && !name.contains(char::is_uppercase)
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn names() {
        for good in ["a", "mqtt.example.com", "*.example.com", "a_b.c"] {
            assert!(is_name(good), "{good}");
        }
        for bad in [
            "",
            "*",
            "*.",
            "a.*.b",
            "*a.b",
            "*.*.a",
            "A.example",
            "a.example.",
            "a.example:8883",
            "192.0.2.1",
            "a b",
            &"a".repeat(64),
        ] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
