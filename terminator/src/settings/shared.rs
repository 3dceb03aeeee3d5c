//! Hosts with the same backend: whether clients of one could take the names that certificates give at another. Pure.
//!
//! It must not resolve backends: two ways to write one are two backends.

use std::sync::Arc;

use mqtt_tls_config::Backend;
use mqtt_tls_judge::identity::naming::Target;

use super::hosts::Host;

/// Errors in hosts that share a backend.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    /// Clients of this host keep a name.
    #[error(
        "clients keep the {target} that they send here, and with the same backend {backend} {other} gives its clients one from \
        their certificates: anyone here could take it; set `identity` here as there, or another `backend`, or `sharedNames: \
        Accept`"
    )]
    Kept {
        target: Target,
        backend: String,
        other: String,
    },
    /// Another template, or other authorities, give the same names.
    #[error(
        "with the same backend {backend} this can give the same {target}s as {other}, to other certificates: by another template, or \
        by another `clientAuth.ca`; use the same ones, or begin each template with a text of its own, such as `a/{{cn}}`, \
        or set another `backend`, or `sharedNames: Accept`"
    )]
    Issued {
        target: Target,
        backend: String,
        other: String,
    },
}

/// Returns an error for each host whose clients could take names of another, with its key.
pub(super) fn judge(hosts: &[&Host]) -> Vec<(String, Error)> {
    let mut errors = Vec::new();
    for (index, host) in hosts.iter().enumerate() {
        let others = hosts.iter().enumerate().filter(|(at, other)| {
            *at != index && other.naming.is_some() && common(host, other).is_some()
        });
        // Of two that give the same names, the later one is reported.
        let error = others.clone().find_map(|(at, other)| {
            let is_later = at < index;
            Target::ALL
                .into_iter()
                .find_map(|target| between(host, other, target, is_later))
        });
        errors.extend(error.map(|error| (format!("{}identity", host.key), error)));
    }
    errors
}

/// Returns what lets clients of a host take a name of another.
fn between(host: &Host, other: &Host, target: Target, is_later: bool) -> Option<Error> {
    let given = other.naming.as_ref()?.template(target)?;
    let (backend, place) = (common(host, other)?.to_string(), place(other));
    let own = host
        .naming
        .as_ref()
        .and_then(|naming| naming.template(target));
    let Some(own) = own else {
        return Some(Error::Kept {
            target,
            backend,
            other: place,
        });
    };
    let has_same_authorities = match (host.trust.authorities(), other.trust.authorities()) {
        (Some(own), Some(others)) => own.is_same(others),
        _ => true,
    };
    // A device chooses the host by the name that it requests.
    let is_same = has_same_authorities && own == given;
    (is_later && !is_same && own.may_meet(given)).then_some(Error::Issued {
        target,
        backend,
        other: place,
    })
}

/// Returns a backend that clients of both reach, perhaps by a protocol of their choice (ALPN).
fn common<'h>(host: &'h Host, other: &Host) -> Option<&'h Backend> {
    let mut own = host.targets().map(|target| &*target.backend);
    own.find(|own| other.targets().any(|target| *target.backend == **own))
}

/// Returns the words for a host in a message.
fn place(host: &Host) -> String {
    match host.key.strip_suffix('.') {
        Some(key) => format!("`{key}`"),
        None => "the file itself (`identity`)".to_owned(),
    }
}

/// Lets no certificate give a name of clients without one at another host with the same backend.
pub(super) fn reserve(hosts: &mut [&mut Host]) {
    let guests: Vec<_> = hosts
        .iter()
        .filter_map(|host| {
            let fallback = host.naming.as_ref()?.fallback()?;
            let backends = host.targets().map(|target| Arc::clone(&target.backend));
            Some((backends.collect::<Vec<_>>(), fallback.clone()))
        })
        .collect();
    for host in hosts {
        let is_reached = |backend: &Arc<Backend>| {
            let mut own = host.targets();
            own.any(|target| target.backend == *backend)
        };
        let others: Vec<_> = guests
            .iter()
            .filter(|(backends, _)| backends.iter().any(is_reached))
            .collect();
        if let Some(naming) = &mut host.naming {
            for (_, names) in others {
                naming.reserve(names.clone());
            }
        }
    }
}
