//! Findings about the hosts of one listener together: names that no certificate covers, client certificates that a device
//! can do without, and client IDs that a device may send as another. It must not judge a certificate by itself.

use std::fmt;

use super::authorities::Authorities;
use super::finding::{Finding, Reason};

/// Maximum number of names in a finding.
const SHOWN_MAX: usize = 3;

/// What the listener itself, or one of its hosts, serves.
#[derive(Clone, Debug)]
pub struct Host<'h> {
    /// Its names; none for the listener itself.
    pub names: &'h [String],
    /// The DNS names of each certificate that it serves.
    pub certificates: Vec<&'h [String]>,
    /// What it requires of clients' certificates; `None` if it does not require one.
    pub required: Option<Required<'h>>,
    /// Whether it has names from certificates of its own, and these are user names only.
    pub keeps_client_ids: bool,
    /// The addresses of its brokers: its own, and those of protocols that clients may choose (ALPN).
    pub backends: &'h [String],
}

/// What a host requires of clients' certificates.
#[derive(Clone, Copy, Debug)]
pub struct Required<'h> {
    /// The authorities that they are of.
    pub authorities: &'h Authorities,
    /// Whether they must match rules.
    pub rules: bool,
    /// Whether they must not be revoked.
    pub revocation: bool,
}

/// Returns the findings about the listener itself, which is the first, and its hosts, each with the index of the one that it is
/// about.
pub fn findings(hosts: &[Host<'_>]) -> Vec<(usize, Finding)> {
    let each = hosts.iter().enumerate();
    let found = each.flat_map(|(index, host)| {
        let names = host.uncovered();
        let detour = host.detour(hosts);
        let sessions = host.keeps_client_ids.then(client_id_kept);
        let all = names.into_iter().chain(detour).chain(sessions);
        all.map(move |finding| (index, finding))
    });
    found.collect()
}

fn client_id_kept() -> Finding {
    let message = "only userName comes from certificates, so each client may send the client ID of another, and a broker ends \
                   that one's connection and may give away its session; set identity.clientId as well";
    Finding::warning(Reason::ClientIdKept, message.to_owned())
}

impl Host<'_> {
    /// Returns a finding if none of the certificates is for one of the names (RFC 6125, section 6.4).
    fn uncovered(&self) -> Option<Finding> {
        let is_covered = |name: &&String| {
            let parent = name.split_once('.').map(|(_, parent)| parent);
            let mut own = self.certificates.iter().copied().flatten();
            own.any(|own| {
                own == *name
                    || own
                        .strip_prefix("*.")
                        .is_some_and(|own| Some(own) == parent)
            })
        };
        let uncovered: Vec<&str> = self
            .names
            .iter()
            .filter(|name| !is_covered(name))
            .map(|name| &**name)
            .collect();
        let more = match uncovered.len() {
            0 => return None,
            count if count > SHOWN_MAX => format!(" and {} more", count - SHOWN_MAX),
            _ => String::new(),
        };
        let shown = uncovered[..uncovered.len().min(SHOWN_MAX)].join(", ");
        let message = format!(
            "no certificate of the host is for {shown}{more}, and devices that compare names reject it; reissue one with \
             these names, or remove them from the host"
        );
        Some(Finding::warning(Reason::NameNotCovered, message))
    }

    /// Returns a finding if a device that this host refuses for the lack of a client certificate, or for its certificate, reaches
    /// the same broker by another name, or by none.
    fn detour(&self, hosts: &[Self]) -> Option<Finding> {
        let required = self.required?;
        let common = |other: &Self| {
            let mut own = self.backends.iter();
            own.find(|own| other.backends.contains(own))
        };
        let mut detours = hosts.iter().filter_map(|other| {
            let backend = common(other)?;
            let (who, to_do) = required.avoided_at(other.required.as_ref())?;
            Some(format!(
                "{who} reaches the same broker ({backend}) through {other}; {to_do} there as well, or give it another broker"
            ))
        });
        let message = detours.next()?;
        Some(Finding::warning(Reason::ClientAuthAvoidable, message))
    }
}

impl Required<'_> {
    /// Returns which device another host accepts although this one refuses it, and what to do there. Certificates of other
    /// authorities are other devices.
    fn avoided_at(&self, other: Option<&Self>) -> Option<(&'static str, &'static str)> {
        let Some(other) = other else {
            return Some((
                "client certificates are required, but a device without one",
                "require client certificates",
            ));
        };
        let others = other.authorities.issuers();
        let mut issuers = self.authorities.issuers().iter();
        if !issuers.any(|issuer| others.contains(issuer)) {
            return None;
        }
        if self.revocation && !other.revocation {
            return Some((
                "revoked client certificates are refused, but a device with one",
                "set clientAuth.revocation",
            ));
        }
        (self.rules && !other.rules).then_some((
            "client certificates must match clientAuth.rules, but a device with any other certificate of the same CA",
            "set rules",
        ))
    }
}

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.names.first() {
            Some(name) => write!(f, "the host {name}"),
            None => write!(f, "the listener itself, with any other name"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

    use super::{Authorities, Host, Reason, Required, findings};
    use crate::authorities::judge;
    use crate::pem::Part;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_name_that_no_certificate_is_for_is_found() {
        let cases: [(&[&str], &[&str], Option<&str>); 6] = [
            (&["a.example"], &["b.example", "a.example"], None),
            (
                &["a.example", "*.b.example"],
                &["*.example", "*.b.example"],
                None,
            ),
            (&["x.a.example"], &["*.example"], Some("x.a.example,")),
            (&["*.example"], &["a.example"], Some("*.example,")),
            (&["a.example"], &[], Some("a.example,")),
            (&["a", "b", "c", "d"], &["b"], Some("for a, c, d,")),
        ];
        for (own, covered, shown) in cases {
            let (own, covered) = (names(own), names(covered));
            let host = Host {
                names: &own,
                certificates: vec![&covered],
                required: None,
                keeps_client_ids: false,
                backends: &[],
            };
            let found = findings(&[host]);
            let found = found.first().map(|(_, finding)| &*finding.message);
            assert_eq!(found.is_some(), shown.is_some(), "{own:?}");
            let is_shown = found
                .zip(shown)
                .is_none_or(|(found, shown)| found.contains(shown));
            assert!(is_shown, "{found:?}");
        }
    }

    #[test]
    fn a_broker_that_is_reached_without_a_certificate_is_found_where_one_is_required() {
        let own = names(&["a.example"]);
        let brokers = names(&["x", "y"]);
        let devices = authorities("devices");
        let required = Required {
            authorities: &devices,
            rules: false,
            revocation: false,
        };
        let host = |requires_certificate: bool, backend, is_host| Host {
            names: if is_host { &own[..] } else { &[] },
            certificates: vec![&own],
            required: requires_certificate.then_some(required),
            keeps_client_ids: false,
            backends: match backend {
                "x" => &brokers[..1],
                "y" => &brokers[1..],
                _ => &brokers,
            },
        };
        let cases = [
            (
                [host(false, "x", false), host(true, "x", true)],
                Some((1, "the listener itself")),
            ),
            (
                [host(true, "x", false), host(false, "x", true)],
                Some((0, "the host a.example")),
            ),
            ([host(false, "x", false), host(true, "y", true)], None),
            ([host(true, "x", false), host(true, "x", true)], None),
            (
                [host(false, "x or y", false), host(true, "y", true)],
                Some((1, "the listener itself")),
            ),
        ];
        for (hosts, expected) in cases {
            let found = findings(&hosts);
            assert_eq!(found.len(), usize::from(expected.is_some()), "{found:?}");
            if let Some((at, shown)) = expected {
                let (index, finding) = &found[0];
                assert_eq!((*index, finding.reason), (at, Reason::ClientAuthAvoidable));
                assert!(finding.message.contains(shown), "{finding}");
            }
        }
    }

    fn authorities(name: &str) -> Authorities {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        judge(Part::file(&pem)).unwrap()
    }

    #[test]
    fn a_host_that_asks_less_of_the_same_certificates_is_found() {
        let own = names(&["a.example"]);
        let brokers = names(&["x"]);
        let (devices, others) = (authorities("devices"), authorities("others"));
        let host = |authorities, rules, revocation| Host {
            names: &own,
            certificates: vec![&own],
            required: Some(Required {
                authorities,
                rules,
                revocation,
            }),
            keeps_client_ids: false,
            backends: &brokers,
        };
        let cases = [
            (host(&devices, true, true), None),
            (host(&devices, false, true), Some("must match")),
            (host(&devices, true, false), Some("revoked")),
            (host(&devices, false, false), Some("revoked")),
            (host(&others, false, false), None),
        ];
        for (other, expected) in cases {
            let found = findings(&[host(&devices, true, true), other]);
            let shown: Vec<_> = found.iter().map(|(at, one)| (*at, &*one.message)).collect();
            match expected {
                None => assert_eq!(shown, []),
                Some(expected) => {
                    let [(0, message)] = &*shown else {
                        panic!("{shown:?}");
                    };
                    assert!(message.contains(expected), "{message}");
                }
            }
        }
    }
}
