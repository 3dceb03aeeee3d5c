//! What a text says about who may connect and under which names, also where the rest of it cannot be read: a file of a later
//! release is unknown here, and must not be replaced by one that lets in more.
//!
//! It must not judge what it finds.

use crate::yaml::{self, Mapping, Value};
use crate::{HOSTS, paste};

/// The keys that say so, of the file and of each host.
const KEYS: [&str; 6] = [
    "clientAuth",
    "crls",
    "identity",
    "names",
    "sharedNames",
    "unknownNames",
];

/// What a text says about who may connect and under which names, to be compared with what another says.
#[derive(PartialEq)]
pub struct Authentication(Mapping);

impl Authentication {
    /// Finds it in a text; `None` if that is not YAML.
    pub fn of(text: &str) -> Option<Self> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let indented = paste::indent(text);
        let text = indented.as_ref().map_or(text, |indented| indented.as_str());
        let Value::Mapping(mut root) = yaml::value(text).ok()? else {
            return None;
        };
        let hosts = root.remove(HOSTS);
        let mut found = picked(root);
        if let Some(Value::Sequence(hosts)) = hosts {
            let hosts = hosts.into_iter().map(|host| match host {
                Value::Mapping(host) => Value::Mapping(picked(host)),
                other => other,
            });
            found.insert(HOSTS.into(), Value::Sequence(hosts.collect()));
        }
        Some(Self(found))
    }
}

fn picked(mapping: Mapping) -> Mapping {
    let is_known = |key: &Value| key.as_str().is_some_and(|key| KEYS.contains(&key));
    let entries = mapping.into_iter();
    entries.filter(|(key, _)| is_known(key)).collect()
}

#[cfg(test)]
mod tests {
    use super::Authentication;

    #[test]
    fn what_is_unknown_is_compared_too() {
        let of = |text: &str| Authentication::of(text);
        let one = "port: 1\nlater: 1\nclientAuth: {mode: Require, later: 2}\nhosts: [{names: [a], pem: x}]\n";
        let same =
            "port: 2\nclientAuth: {later: 2, mode: Require}\nhosts: [{names: [a], later: 1}]\n";
        assert!(of(one).is_some() && of(one) == of(same));
        for other in [
            "port: 2\nclientAuth: {mode: Require}\nhosts: [{names: [a]}]\n",
            "port: 2\nclientAuth: {mode: Require, later: 3}\nhosts: [{names: [a]}]\n",
            "port: 2\nclientAuth: {mode: Require, later: 2}\nhosts: [{names: [b]}]\n",
            "port: 2\nclientAuth: {mode: Require, later: 2}\nhosts: [{names: [a], clientAuth: {}}]\n",
            "port: 2\nclientAuth: {mode: Require, later: 2}\n",
        ] {
            assert!(of(one) != of(other), "{other}");
        }
        assert!(of("[").is_none() && of("text").is_none());
    }
}
