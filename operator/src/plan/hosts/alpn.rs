//! Chooses the brokers of a listener or host: its own, and those of the protocols that TLS negotiates.
//!
//! It must not resolve a name: terminators do, as clients connect.

use mqtt_tls_config as file;

use super::Input;
use crate::plan::backend;
use crate::plan::certificates::entry::Entry;
use crate::plan::host_key::HostKey;
use crate::plan::listener::{Alpn, Backend};
use crate::plan::problem::Problem;

/// Protocols that were found.
pub(super) struct Found {
    pub(super) alpn: file::Alpn,
    /// Whether none of their backends is one whose Service is missing.
    pub(super) is_none_missing: bool,
}

/// Returns what keeps the protocols of a host as they were; `None` if it goes on to have those of the listener, which `now`
/// do not change.
pub(super) fn kept(before: &Entry, listener: &Entry, now: &file::Alpn) -> Option<file::Alpn> {
    let is_same = listener.alpn() == Some(now);
    let inherited = (!is_same).then(|| effective(before, listener));
    before.alpn().cloned().or(inherited)
}

/// Returns the protocols of a host, or else the listener's, whose brokers are not for what has one of its own.
pub(super) fn effective(before: &Entry, listener: &Entry) -> file::Alpn {
    if let Some(own) = before.alpn() {
        return own.clone();
    }
    let mut alpn = listener.alpn().cloned().unwrap_or_default();
    if before.backend().is_some() {
        let protocols = alpn.protocols.iter_mut();
        protocols.for_each(|protocol| protocol.backend = None);
    }
    alpn
}

impl Input<'_> {
    /// Finds a wanted backend.
    pub(super) fn backend(
        &self,
        key: &HostKey,
        path: &str,
        backend: &Backend,
        before: Option<&file::Backend>,
    ) -> (file::Backend, Option<Problem>) {
        backend::choose(&backend::Choice {
            key,
            path,
            backend,
            listener: self.listener,
            world: self.world,
            environment: self.environment,
            before,
        })
    }

    /// Finds the wanted protocols. While a Service is missing, devices reach the broker that they reach now.
    pub(super) fn alpn(
        &self,
        key: &HostKey,
        before: Option<&Entry>,
        alpn: &Alpn,
        problems: &mut Vec<Problem>,
    ) -> Found {
        let mut is_none_missing = true;
        let listener = self.previous.listener();
        let now = |protocol: &str| {
            let before = before?;
            let mut known = effective(before, listener).protocols.into_iter();
            let own = known.find(|one| one.name == protocol);
            let own = own.and_then(|one| one.backend);
            own.or_else(|| before.backend().or(listener.backend()).cloned())
        };
        let protocols = alpn.protocols.iter().enumerate();
        let protocols = protocols.map(|(index, (name, backend))| file::AlpnProtocol {
            name: name.clone(),
            backend: backend.as_ref().map(|backend| {
                let path = backend::protocol_backend(index);
                let now = now(name);
                let (backend, problem) = self.backend(key, &path, backend, now.as_ref());
                is_none_missing &= problem.is_none() || now.is_some();
                problems.extend(problem);
                backend
            }),
        });
        Found {
            alpn: file::Alpn {
                protocols: protocols.collect(),
                required: alpn.required,
            },
            is_none_missing,
        }
    }
}
