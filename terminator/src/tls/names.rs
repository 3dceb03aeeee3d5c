//! Names of what a client offers, from the IANA registries, as far as rustls knows them.

use rustls::{CipherSuite, NamedGroup, ProtocolVersion, SignatureScheme};

use super::hello::Offer;

/// Names of a client's offer, in its order.
pub(crate) struct Names {
    pub(crate) versions: Vec<String>,
    pub(crate) suites: Vec<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) schemes: Vec<String>,
}

impl Names {
    pub(crate) fn of(offer: &Offer) -> Self {
        let versions = names(&offer.versions, ProtocolVersion::as_str, |version| {
            u16::from(*version)
        });
        // rustls has some names of its own; `tls.suites` and `tls.groups` take those of the registries.
        let registered = |name: String| match &*name {
            "X25519" => "x25519".to_owned(),
            _ => name.replacen("TLS13_", "TLS_", 1),
        };
        let suites = names(&offer.suites, CipherSuite::as_str, |suite| {
            u16::from(*suite)
        });
        let groups = names(&offer.groups, NamedGroup::as_str, |group| u16::from(*group));
        // `TLSv1_3` becomes `TLS 1.3`.
        let plain = |name: &String| name.replace('v', " ").replace('_', ".");
        Self {
            versions: versions.iter().map(plain).collect(),
            suites: suites.into_iter().map(registered).collect(),
            groups: groups.into_iter().map(registered).collect(),
            schemes: names(&offer.schemes, SignatureScheme::as_str, |scheme| {
                u16::from(*scheme)
            }),
        }
    }
}

/// Returns the names of values that have one, and the numbers of the others.
fn names<T>(
    offered: &[T],
    name: impl Fn(&T) -> Option<&'static str>,
    number: impl Fn(&T) -> u16,
) -> Vec<String> {
    offered
        .iter()
        .map(|one| name(one).map_or_else(|| format!("{:#06x}", number(one)), str::to_owned))
        .collect()
}
