//! What a ready pod is asked: the version that it runs, and a handshake for each certificate. Pure.
//!
//! It must not ask for a certificate that no client would get.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use mqtt_tls_config::is_dns_name;

use crate::crd::{CERTIFICATES_MAX, HOSTS_MAX};
use crate::plan::certificates::served::Served;

/// Maximum number of names of a certificate or host that are considered for a handshake.
const NAMES_MAX: usize = 64;

/// Number of handshakes that each pod is asked for if there are more, and more than one pod. A pod that has loaded a version
/// serves all of it, so that several pods can share the handshakes.
const SHARE_MIN: usize = 16;

/// Maximum number of handshakes with each pod; more would take too long. The default certificate of each host, and all
/// of the listener itself, fit.
const SHARE_MAX: usize = HOSTS_MAX + CERTIFICATES_MAX;

/// The label that stands for a wildcard.
const LABEL: &str = "mqtt-tls-probe";

/// What a ready pod should serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The configuration's version.
    pub version: Option<String>,
    /// The port for devices.
    pub port: u16,
    /// One handshake for each certificate that a client can get, the default ones first.
    pub handshakes: Vec<Handshake>,
}

/// The place of a pod among those that are asked.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Its index.
    pub index: usize,
    /// The number of pods.
    pub of: usize,
}

impl Question {
    /// Returns the handshakes with one of the pods.
    pub fn of_pod(&self, place: Place) -> impl Iterator<Item = &Handshake> {
        let share = self.share(place.of);
        let first = place.index * share;
        let first = first.checked_rem(self.handshakes.len()).unwrap_or(0);
        self.handshakes.iter().cycle().skip(first).take(share)
    }

    /// Returns the number of certificates that this many pods are asked for.
    pub fn asked(&self, pods: usize) -> usize {
        let asked = self.share(pods).saturating_mul(pods);
        asked.min(self.handshakes.len())
    }

    /// Returns the number of handshakes with each pod.
    fn share(&self, pods: usize) -> usize {
        let all = self.handshakes.len();
        let share = all.div_ceil(pods.max(1));
        share.clamp(SHARE_MIN, SHARE_MAX).min(all)
    }
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

/// Certificates that are asked for: those of the listener itself, or of one of its hosts.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The host's names; none for the listener itself.
    pub names: &'a [String],
    /// Its own certificates, the default first.
    pub served: &'a [Served],
}

/// Returns the handshakes that prove the certificates of a listener, and of its hosts, which follow it: one for each
/// distinct certificate of a host, the default ones first.
pub fn handshakes(asked: &[Asked<'_>]) -> Vec<Handshake> {
    let Some((listener, hosts)) = asked.split_first() else {
        return Vec::new();
    };
    let owners = Owners::of(hosts);
    // Names of a host without certificates get those of the listener.
    let is_own = |name: &str| {
        let owner = owners.of_name(name);
        owner.is_none_or(|host| hosts[host].served.is_empty())
    };
    let of_listener = (0..listener.served.len()).filter_map(|index| {
        let one = &listener.served[index];
        let server_name = match index {
            0 => None,
            _ => Some(name_of(
                listener.served,
                index,
                &one.facts.dns_names,
                &is_own,
            )?),
        };
        Some(handshake(server_name, one))
    });
    let mut handshakes: Vec<Handshake> = of_listener.collect();
    let mut others = Vec::new();
    let mut known = BTreeSet::new();
    for (index, host) in hosts.iter().enumerate() {
        let is_own = |name: &str| owners.of_name(name) == Some(index);
        for (at, one) in host.served.iter().enumerate() {
            if known.contains(&one.facts.fingerprint) {
                continue;
            }
            if let Some(name) = name_of(host.served, at, host.names, &is_own) {
                known.insert(&one.facts.fingerprint);
                let place = if at == 0 {
                    &mut handshakes
                } else {
                    &mut others
                };
                place.push(handshake(Some(name), one));
            }
        }
    }
    handshakes.append(&mut others);
    handshakes
}

fn handshake(server_name: Option<String>, wanted: &Served) -> Handshake {
    Handshake {
        server_name,
        key: wanted.facts.key,
        fingerprint: wanted.facts.fingerprint.clone(),
    }
}

/// The hosts by their names.
struct Owners<'o> {
    exact: BTreeMap<&'o str, usize>,
    /// By the name after `*.`.
    wildcard: BTreeMap<&'o str, usize>,
}

impl<'o> Owners<'o> {
    fn of(hosts: &[Asked<'o>]) -> Self {
        let (mut exact, mut wildcard) = (BTreeMap::new(), BTreeMap::new());
        for (index, host) in hosts.iter().enumerate() {
            for name in host.names {
                match name.strip_prefix("*.") {
                    Some(parent) => wildcard.insert(parent, index),
                    None => exact.insert(name.as_str(), index),
                };
            }
        }
        Self { exact, wildcard }
    }

    /// Returns the host of a name.
    fn of_name(&self, name: &str) -> Option<usize> {
        let by_wildcard = || self.wildcard.get(name.split_once('.')?.1);
        self.exact.get(name).or_else(by_wildcard).copied()
    }
}

/// Returns one of the names for which a client that verifies only this kind of key gets this certificate, if there is one.
fn name_of(
    served: &[Served],
    index: usize,
    names: &[String],
    is_own: &dyn Fn(&str) -> bool,
) -> Option<String> {
    let names = names.iter().take(NAMES_MAX);
    // Clients send no other as SNI (RFC 6066, section 3), and strip a dot at the end.
    let names = names.filter(|name| {
        let own = name.strip_prefix("*.").unwrap_or(name);
        own.parse::<IpAddr>().is_err() && is_dns_name(own) && !own.ends_with('.')
    });
    let mut asked = names.map(|name| match name.strip_prefix("*.") {
        Some(parent) => format!("{LABEL}.{parent}"),
        None => name.clone(),
    });
    asked.find(|name| {
        is_dns_name(name)
            && is_own(name)
            && chosen(served, name, served[index].facts.key) == Some(index)
    })
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

    use super::{Asked, BTreeSet, Handshake, Place, Question, handshakes};
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
        let listener = Asked {
            names: &[],
            served: &certificates,
        };
        let names: Vec<_> = handshakes(&[listener])
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

    #[test]
    fn pods_share_many_handshakes() {
        let handshake = |index: usize| Handshake {
            server_name: Some(index.to_string()),
            key: "RSA 2048",
            fingerprint: String::new(),
        };
        // Certificates, pods, handshakes with each pod, certificates that are asked for.
        for (all, pods, each, asked) in [
            (0, 3, 0, 0),
            (16, 3, 16, 16),
            (17, 2, 16, 17),
            (65, 1, 65, 65),
            (272, 1, 80, 80),
            (272, 4, 68, 272),
            (272, 100, 16, 272),
        ] {
            let question = Question {
                version: None,
                port: 8883,
                handshakes: (0..all).map(handshake).collect(),
            };
            let mut seen = BTreeSet::new();
            for index in 0..pods {
                let of_pod: Vec<_> = question.of_pod(Place { index, of: pods }).collect();
                assert_eq!(of_pod.len(), each, "{all} {pods}");
                seen.extend(of_pod.into_iter().map(|one| one.server_name.clone()));
            }
            assert_eq!(
                (seen.len(), question.asked(pods)),
                (asked, asked),
                "{all} {pods}"
            );
        }
    }

    #[test]
    fn hosts_are_asked_by_their_own_names() {
        let p256 = &PKCS_ECDSA_P256_SHA256;
        let listener = [
            served(&["edge.example"], p256),
            served(&["a.example"], p256),
            served(&["c.example"], p256),
        ];
        let a = [served(&["a.example"], p256), served(&["*.a.example"], p256)];
        let names = |names: &[&str]| -> Vec<String> {
            names.iter().map(|name| (*name).to_owned()).collect()
        };
        let (first, second, third) = (
            names(&["a.example", "*.a.example"]),
            names(&["*.b.example"]),
            names(&["c.example"]),
        );
        let asked = [
            (&[][..], &listener[..]),
            (&first, &a),
            // Another host with the same certificate needs no handshake of its own.
            (&second, &a[..1]),
            // It has the listener's certificates.
            (&third, &[]),
        ]
        .map(|(names, served)| Asked { names, served });
        let found: Vec<_> = handshakes(&asked)
            .into_iter()
            .map(|one| (one.server_name, one.fingerprint))
            .collect();
        let expected = [
            (None, &listener[0]),
            (Some("c.example"), &listener[2]),
            (Some("a.example"), &a[0]),
            (Some("mqtt-tls-probe.a.example"), &a[1]),
        ]
        .map(|(name, one)| (name.map(str::to_owned), one.facts.fingerprint.clone()));
        assert_eq!(found, expected);
    }
}
