//! The objects that a listener references, by kind: they are read for it, and their changes trigger it. It must not
//! read them.

use std::collections::BTreeSet;

use super::issued;
use super::names::Name;
use super::source::DataKey;
use crate::crd::{CaKind, ClientAuth, MqttTlsListener};
use crate::kinds::Kind;

/// Returns the objects of a kind that a listener references, by namespace and name. A ReferenceGrant is any in a namespace, whatever its
/// name.
pub fn named(kind: Kind, listener: &MqttTlsListener) -> BTreeSet<Name> {
    match kind {
        Kind::Secret => {
            let issued = issued::all(listener).into_iter().map(|one| one.name);
            secrets(listener).chain(issued).collect()
        }
        Kind::ConfigMap => keys(listener, CaKind::ConfigMap).collect(),
        Kind::Service => services(listener).collect(),
        Kind::ReferenceGrant => {
            let namespace = namespace(listener);
            let maps = keys(listener, CaKind::ConfigMap);
            let all = secrets(listener).chain(maps);
            let foreign = all.filter(|name| name.namespace != namespace);
            foreign.map(|name| Name::new(&name.namespace, "")).collect()
        }
        // A spec references no other kind.
        _ => BTreeSet::new(),
    }
}

fn namespace(listener: &MqttTlsListener) -> &str {
    listener.metadata.namespace.as_deref().unwrap_or_default()
}

/// Returns the Secrets that a spec names.
fn secrets(listener: &MqttTlsListener) -> impl Iterator<Item = Name> {
    let spec = &listener.spec;
    let hosts = spec.hosts.iter().flat_map(|host| &host.certificates);
    let certificates = spec.certificates.iter().chain(hosts);
    let secrets = certificates.filter_map(|one| one.secret_ref.as_ref());
    let own = namespace(listener);
    let secrets = secrets.map(move |one| {
        let place = one.namespace.as_deref().unwrap_or(own);
        Name::new(place, &one.name)
    });
    secrets.chain(keys(listener, CaKind::Secret))
}

fn services(listener: &MqttTlsListener) -> impl Iterator<Item = Name> {
    let spec = &listener.spec;
    let hosts = spec.hosts.iter();
    let of_hosts = hosts.clone().filter_map(|host| host.backend.as_ref());
    let alpn = hosts.filter_map(|host| host.tls.alpn.as_ref());
    let alpn = spec.tls.alpn.iter().chain(alpn);
    let protocols = alpn.flat_map(|alpn| &alpn.protocols);
    let of_protocols = protocols.filter_map(|protocol| protocol.backend.as_ref());
    let backends = std::iter::once(&spec.backend).chain(of_hosts);
    let backends = backends.chain(of_protocols);
    let services = backends.filter_map(|backend| backend.service.as_ref());
    services.map(|service| Name::new(namespace(listener), &service.name))
}

/// Returns the objects of a kind with CA certificates and revocation lists.
fn keys(listener: &MqttTlsListener, kind: CaKind) -> impl Iterator<Item = Name> {
    let spec = &listener.spec;
    let hosts = spec.hosts.iter();
    let auths = hosts.filter_map(|host| host.client_auth.as_ref());
    let auths = std::iter::once(&spec.client_auth).chain(auths);
    let own = namespace(listener);
    let keys = auths.flat_map(move |auth| keys_of(auth, own));
    let keys = keys.filter(move |key| key.kind == kind);
    keys.map(|key| key.object)
}

fn keys_of<'a>(auth: &'a ClientAuth, namespace: &'a str) -> impl Iterator<Item = DataKey> + 'a {
    let revocation = auth.revocation.iter();
    let lists = revocation.clone().flat_map(|one| &one.crl_refs);
    let urls = revocation.flat_map(|one| &one.crl_urls);
    let servers = urls.filter_map(|one| one.ca_ref.as_ref());
    let cas = auth.cas().chain(servers);
    cas.map(|ca| DataKey::of(ca, namespace))
        .chain(lists.map(|list| DataKey::of_crl(list, namespace)))
}
