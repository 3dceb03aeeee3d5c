//! IDs of trials. Users read and type them, so they begin with the Secret's name.

use jiff::Timestamp;
use mqtt_tls_judge::facts::sha256;

use crate::plan::source::Source;

/// Maximum length of the Secret's name in an ID, in characters.
const NAME_LENGTH_MAX: usize = 24;

/// Number of hexadecimal digits that distinguish trials of Secrets with the same name, and of the same Secret.
const DIGITS: usize = 8;

/// Returns the ID of a trial that begins now.
pub(super) fn of(source: &Source, now: Timestamp) -> String {
    let name = source.name().chars().take(NAME_LENGTH_MAX);
    // A Secret's name is a DNS subdomain.
    let plain = |char: char| {
        if char.is_ascii_alphanumeric() {
            char
        } else {
            '-'
        }
    };
    let name: String = name.map(plain).collect();
    let digest = sha256(format!("{source} {}", now.as_millisecond()).as_bytes());
    let digits: String = digest.chars().take(DIGITS).collect();
    format!("{name}-{digits}")
}

#[cfg(test)]
mod tests {
    use mqtt_tls_config::is_trial_id;

    use super::{Source, of};
    use crate::plan::names::Name;

    #[test]
    fn an_id_is_short_plain_and_used_once() {
        let source = |namespace: &str, name: &str| Source::Foreign(Name::new(namespace, name));
        let now = "2026-06-01T00:00:00Z".parse().unwrap();
        let later = "2026-06-01T00:00:01Z".parse().unwrap();
        let (long, dots) = ("a".repeat(253), "edge.example.com-tls");
        for name in [&*long, dots, "edge-tls"] {
            let id = of(&source("iot", name), now);
            assert!(is_trial_id(&id), "{id}");
            assert_eq!(id, of(&source("iot", name), now));
            assert_ne!(id, of(&source("iot", name), later));
            assert_ne!(id, of(&source("other", name), now));
        }
        assert!(of(&source("iot", dots), now).starts_with("edge-example-com-tls-"));
    }
}
