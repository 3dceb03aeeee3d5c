//! Chooses the brokers of a listener or host: its own, and those of the protocols that TLS negotiates.
//!
//! It must not resolve a name: terminators do, as clients connect.

use mqtt_tls_config as file;

use super::Input;
use crate::plan::backend;
use crate::plan::certificates::previous::Entry;
use crate::plan::host_key::HostKey;
use crate::plan::listener::{Alpn, Backend};
use crate::plan::problem::Problem;

/// Returns what keeps the protocols of a host as they were, although the listener's may change; `None` if there were none.
pub(super) fn kept(before: &Entry, listener: &Entry) -> Option<file::Alpn> {
    let inherited = Some(effective(before, listener));
    let inherited = inherited.filter(|alpn| !alpn.protocols.is_empty());
    before.alpn().cloned().or(inherited)
}

/// Returns the protocols of a host, or else the listener's, whose brokers are not for what has one of its own.
fn effective(before: &Entry, listener: &Entry) -> file::Alpn {
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
    ) -> file::Alpn {
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
                let (backend, problem) = self.backend(key, &path, backend, now(name).as_ref());
                problems.extend(problem);
                backend
            }),
        });
        file::Alpn {
            protocols: protocols.collect(),
            required: alpn.required,
        }
    }
}
