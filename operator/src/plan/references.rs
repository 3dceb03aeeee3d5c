//! The objects that a listener references, by kind: they are read for it, and their changes trigger it. It must not
//! read them.

use std::collections::BTreeSet;

use super::issued;
use super::names::Name;
use crate::crd::{CaKind, ClientAuth, MqttTlsListener};
use crate::kinds::Kind;

/// Returns the objects of a kind that a listener references, by namespace and name.
pub fn named(kind: Kind, listener: &MqttTlsListener) -> BTreeSet<Name> {
    let spec = &listener.spec;
    let hosts = spec.hosts.iter();
    let auths = hosts.clone().filter_map(|host| host.client_auth.as_ref());
    let auths = std::iter::once(&spec.client_auth).chain(auths);
    let keys = auths.flat_map(keys_of);
    let keys = |wanted| {
        keys.filter(move |(kind, _)| *kind == wanted)
            .map(|(_, name)| name)
    };
    let mut issued = BTreeSet::new();
    let names: Vec<&str> = match kind {
        Kind::Secret => {
            let certificates = hosts.flat_map(|host| &host.certificates);
            let certificates = spec.certificates.iter().chain(certificates);
            let certificates = certificates.filter_map(|one| Some(&*one.secret_ref.as_ref()?.name));
            issued = issued::all(listener)
                .into_iter()
                .map(|one| one.name)
                .collect();
            certificates.chain(keys(CaKind::Secret)).collect()
        }
        Kind::ConfigMap => keys(CaKind::ConfigMap).collect(),
        Kind::Service => {
            let of_hosts = hosts.clone().filter_map(|host| host.backend.as_ref());
            let alpn = hosts.filter_map(|host| host.tls.alpn.as_ref());
            let alpn = spec.tls.alpn.iter().chain(alpn);
            let protocols = alpn.flat_map(|alpn| &alpn.protocols);
            let of_protocols = protocols.filter_map(|protocol| protocol.backend.as_ref());
            let backends = std::iter::once(&spec.backend)
                .chain(of_hosts)
                .chain(of_protocols);
            let service = backends.filter_map(|backend| backend.service.as_ref());
            service.map(|service| &*service.name).collect()
        }
        // A spec references no other kind.
        _ => Vec::new(),
    };
    let namespace = listener.metadata.namespace.as_deref().unwrap_or_default();
    let names = names.into_iter().map(|name| Name::new(namespace, name));
    names.chain(issued).collect()
}

/// Returns the objects with CA certificates and revocation lists, by kind and name.
fn keys_of(auth: &ClientAuth) -> impl Iterator<Item = (CaKind, &str)> {
    let revocation = auth.revocation.iter();
    let lists = revocation.clone().flat_map(|one| &one.crl_refs);
    let urls = revocation.flat_map(|one| &one.crl_urls);
    let servers = urls.filter_map(|one| one.ca_ref.as_ref());
    let cas = auth.cas().chain(servers);
    cas.map(|ca| (ca.kind, &*ca.name))
        .chain(lists.map(|list| (list.kind, &*list.name)))
}
