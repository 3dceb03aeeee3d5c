//! A name that a client requested (SNI), in a few bytes: enough to find its host again in later settings, for as long as the
//! connection lives.
//!
//! It must not be shown: it is a hash.

use aws_lc_rs::digest::{SHA256, digest};

/// A requested name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NameKey {
    /// Of the name itself; 0 without a name.
    exact: u64,
    /// Of the wildcard that covers it; 0 if none can.
    wildcard: u64,
}

impl NameKey {
    /// Returns the key of a name in lower case.
    pub(super) fn of(name: &str) -> Self {
        let parent = name.split_once('.').filter(|(label, _)| !label.is_empty());
        Self {
            exact: hash(name),
            wildcard: parent.map_or(0, |(_, parent)| hash(&format!("*.{parent}"))),
        }
    }

    /// Returns the hashes under which its host may be found, that of an exact name first.
    pub(super) fn hashes(self) -> [u64; 2] {
        [self.exact, self.wildcard]
    }
}

/// Hashes a name of a host. Names of other hosts must not be found that have the same hash by chance, or by a client's choice.
pub(super) fn hash(name: &str) -> u64 {
    let digest = digest(&SHA256, name.as_bytes());
    let bytes = digest.as_ref().first_chunk();
    bytes.map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mqtt_tls_config::{Config, Host, Pem};
    use rcgen::generate_simple_self_signed;

    use super::super::hosts::key_of;
    use super::super::{Judgement, Settings};

    #[test]
    fn a_host_is_found_again_by_each_name() {
        let made = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let pem = made.cert.pem() + &made.signing_key.serialize_pem();
        let mut config = Config::new(8883, Pem::new(pem));
        let host = |names: &[&str]| Host::new(names.iter().map(|&name| name.to_owned()).collect());
        config.hosts = vec![
            host(&["a.example", "*.b.example"]),
            host(&["c.b.example", "*.c.b.example"]),
        ];
        let settings = Settings::prepare(&config, Judgement::AtStart).unwrap();
        let hosts = &settings.hosts;
        for name in [
            "a.example",
            "A.Example.",
            "x.a.example",
            "x.b.example",
            "b.example",
            ".b.example",
            "c.b.example",
            "x.c.b.example",
            "x.x.b.example",
            "192.0.2.1",
            "localhost",
            "",
        ] {
            let found = hosts.of(Some(name)).unwrap();
            let again = hosts.again(key_of(Some(name)));
            assert!(Arc::ptr_eq(found, again), "{name}");
        }
        let again = hosts.again(key_of(None));
        assert!(Arc::ptr_eq(hosts.listener(), again));
    }
}
