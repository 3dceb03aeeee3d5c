//! What a ready pod is asked: the version that it runs, and a handshake for each certificate. Pure.
//!
//! It must not ask for a certificate that no client would get.

use std::net::IpAddr;

use mqtt_tls_config::is_dns_name;

use crate::plan::certificates::served::Served;

/// Maximum number of a certificate's names that are considered for its handshake.
const NAMES_MAX: usize = 16;

/// The label that stands for a wildcard.
const LABEL: &str = "mqtt-tls-probe";

/// What a ready pod should serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The configuration's version.
    pub version: Option<String>,
    /// The port for devices.
    pub port: u16,
    /// One handshake for each certificate that a client can get.
    pub handshakes: Vec<Handshake>,
}

/// A handshake, and the certificate that it should return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The server name (SNI); `None` for the default certificate.
    pub server_name: Option<String>,
    /// The kind of the certificate's key, such as `ECDSA P-256`: the only kind that the client offers to verify.
    pub key: &'static str,
    /// The SHA-256 fingerprint of the wanted leaf, in lower-case hexadecimal.
    pub fingerprint: String,
}

/// Returns the handshakes that prove these certificates, the default first.
pub fn handshakes(served: &[Served]) -> Vec<Handshake> {
    let of = |(index, one): (usize, &Served)| {
        let server_name = match index {
            0 => None,
            _ => Some(name_of(served, index)?),
        };
        Some(Handshake {
            server_name,
            key: one.facts.key,
            fingerprint: one.facts.fingerprint.clone(),
        })
    };
    served.iter().enumerate().filter_map(of).collect()
}

/// Returns a name for which a client that verifies only this kind of key gets this certificate, if there is one.
fn name_of(served: &[Served], index: usize) -> Option<String> {
    let names = served[index].facts.dns_names.iter().take(NAMES_MAX);
    // Clients send no other as SNI (RFC 6066, section 3), and strip a dot at the end.
    let names = names.filter(|name| {
        let own = name.strip_prefix("*.").unwrap_or(name);
        own.parse::<IpAddr>().is_err() && is_dns_name(own) && !own.ends_with('.')
    });
    let asked = names.map(|name| match name.strip_prefix("*.") {
        Some(parent) => format!("{LABEL}.{parent}"),
        None => name.clone(),
    });
    asked
        .into_iter()
        .find(|name| chosen(served, name, served[index].facts.key) == Some(index))
}

/// Returns the certificate that a terminator chooses: the first with an exact name, a matching wildcard, or else the
/// default.
fn chosen(served: &[Served], name: &str, key: &str) -> Option<usize> {
    let parent = name.split_once('.').map(|(_, parent)| parent);
    let rank = |one: &Served| {
        let names = &one.facts.dns_names;
        let is_wild = |own: &String| {
            own.strip_prefix("*.")
                .is_some_and(|own| Some(own) == parent)
        };
        match () {
            () if names.iter().any(|own| own == name) => 0,
            () if names.iter().any(is_wild) => 1,
            () => 2,
        }
    };
    let fitting = served.iter().enumerate();
    let fitting = fitting.filter(|(_, one)| one.facts.key == key);
    fitting
        .min_by_key(|(_, one)| rank(one))
        .map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use mqtt_tls_config::Pem;
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384};

    use super::handshakes;
    use crate::plan::certificates::served::Served;
    use crate::plan::names::Name;
    use crate::plan::source::Source;

    fn served(names: &[&str], algorithm: &'static rcgen::SignatureAlgorithm) -> Served {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let chain = CertificateParams::new(names)
            .unwrap()
            .self_signed(&key)
            .unwrap();
        let pem = Pem::new(format!("{}{}", chain.pem(), key.serialize_pem()));
        Served::judge(Source::Secret(Name::new("iot", "a")), pem).unwrap()
    }

    #[test]
    fn each_certificate_is_asked_for_by_a_name_that_only_it_answers() {
        let (p256, p384) = (&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384);
        let certificates = [
            served(&["a.example", "b.example"], p256),
            // The same names with another kind of key.
            served(&["a.example"], p384),
            // The default answers the first name.
            served(&["b.example", "c.example"], p256),
            served(&["*.d.example"], p256),
            // Every name is answered by another one.
            served(&["a.example", "x.d.example", "*.d.example"], p256),
            served(&["*.d.example"], p256),
            // No client sends these.
            served(
                &["192.0.2.1", "*.*.e.example", "e.example:8883", "e.example."],
                p256,
            ),
        ];
        let names: Vec<_> = handshakes(&certificates)
            .into_iter()
            .map(|one| (one.server_name, one.key, one.fingerprint))
            .collect();
        let expected = [
            (None, 0),
            (Some("a.example"), 1),
            (Some("c.example"), 2),
            (Some("mqtt-tls-probe.d.example"), 3),
            (Some("x.d.example"), 4),
        ]
        .map(|(name, index): (Option<&str>, usize)| {
            let facts = &certificates[index].facts;
            (
                name.map(str::to_owned),
                facts.key,
                facts.fingerprint.clone(),
            )
        });
        assert_eq!(names, expected);
    }
}
