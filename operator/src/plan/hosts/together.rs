//! Warnings about the listener and its hosts together: what one of them makes of another. It must not choose.

use mqtt_tls_config::{Alpn, Backend, ClientAuth, ClientAuthMode};
use mqtt_tls_judge::hosts::{Host, findings};

use super::{Choices, ChosenHost, LISTENER};
use crate::plan::certificates::served::Served;
use crate::plan::certificates::serving::Warning;
use crate::plan::host_key::HostKey;

/// Returns the warnings about what is chosen for a listener with this backend and these protocols.
pub(super) fn warnings(choices: &Choices, backend: &Backend, alpn: &Alpn) -> Vec<Warning> {
    let listener = &choices.listener;
    let shown = |backend: &Backend, alpn: &Alpn| -> Vec<String> {
        let protocols = alpn.protocols.iter().filter_map(|one| one.backend.as_ref());
        let all = std::iter::once(backend).chain(protocols);
        all.map(Backend::to_string).collect()
    };
    let none = Alpn::default();
    let of_hosts = choices.hosts.iter().map(|host| {
        let inherited = if host.backend.is_none() { alpn } else { &none };
        let own = host.backend.as_ref().unwrap_or(backend);
        shown(own, host.alpn.as_ref().unwrap_or(inherited))
    });
    let backends: Vec<Vec<String>> = std::iter::once(shown(backend, alpn))
        .chain(of_hosts)
        .collect();
    let host = |names, served, auth, backends| Host {
        names,
        certificates: names_of(served),
        requires_certificate: is_required(auth),
        backends,
    };
    let own = host(
        &[],
        &listener.served,
        listener.client_auth.as_ref(),
        &*backends[0],
    );
    let others = choices.hosts.iter().zip(&backends[1..]);
    let others = others.map(|(one, backend)| {
        let chosen = &one.chosen;
        let served = if chosen.served.is_empty() {
            &listener.served
        } else {
            &chosen.served
        };
        let auth = chosen
            .client_auth
            .as_ref()
            .or(listener.client_auth.as_ref());
        host(&*one.names, served, auth, backend)
    });
    let hosts: Vec<Host<'_>> = std::iter::once(own).chain(others).collect();
    let keys: Vec<&HostKey> = std::iter::once(&LISTENER)
        .chain(choices.hosts.iter().map(ChosenHost::key))
        .collect();
    let found = findings(&hosts).into_iter();
    found
        .map(|(index, finding)| Warning::about(keys[index], &finding))
        .collect()
}

fn names_of(served: &[Served]) -> Vec<&[String]> {
    served.iter().map(|one| &*one.facts.dns_names).collect()
}

fn is_required(auth: Option<&ClientAuth>) -> bool {
    auth.is_some_and(|auth| auth.mode == ClientAuthMode::Require)
}
