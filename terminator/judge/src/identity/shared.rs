//! Hosts with the same backend: whether clients of one could take the names that certificates give at another.
//!
//! It must not resolve backends: two ways to write one are two backends.

use mqtt_tls_config::Backend;

use super::naming::{Naming, Target};
use crate::authorities::Authorities;

/// What the listener itself, or one of its hosts, has for the names of its clients.
#[derive(Clone, Debug)]
pub struct Host<'h> {
    /// How messages about other hosts name it.
    pub shown: String,
    /// The names from certificates; `None` if clients keep theirs.
    pub naming: Option<&'h Naming>,
    /// The authorities for client certificates, if clients are asked for one.
    pub authorities: Option<&'h Authorities>,
    /// Its brokers: its own, and those of protocols that clients may choose (ALPN).
    pub backends: Vec<&'h Backend>,
}

/// Errors in hosts that share a backend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Clients of this host keep a name.
    #[error(
        "clients keep the {target} that they send here, and with the same backend {backend} {other} gives its clients one from \
        their certificates: anyone here could take it; set `identity` here as there, or another `backend`, or `sharedNames: \
        Accept`"
    )]
    Kept {
        /// Which name.
        target: Target,
        /// The common backend.
        backend: String,
        /// The host whose certificates give it.
        other: String,
    },
    /// Another template, or other authorities, give the same names.
    #[error(
        "with the same backend {backend} this can give the same {target}s as {other}, to other certificates: by another template, or \
        by another `clientAuth.ca`; use the same ones, or begin each template with a text of its own, such as `a/{{cn}}`, \
        or set another `backend`, or `sharedNames: Accept`"
    )]
    Issued {
        /// Which name.
        target: Target,
        /// The common backend.
        backend: String,
        /// The host whose certificates give it, too.
        other: String,
    },
}

/// Returns an error for each host whose clients could take names of another, with its index.
pub fn judge(hosts: &[Host<'_>]) -> Vec<(usize, Error)> {
    let mut errors = Vec::new();
    for (index, host) in hosts.iter().enumerate() {
        let mut others = hosts.iter().enumerate().filter(|(at, other)| {
            *at != index && other.naming.is_some() && host.common(other).is_some()
        });
        // Of two that give the same names, the later one is reported.
        let error = others.find_map(|(at, other)| {
            let is_later = at < index;
            let mut targets = Target::ALL.into_iter();
            targets.find_map(|target| host.takes(other, target, is_later))
        });
        errors.extend(error.map(|error| (index, error)));
    }
    errors
}

impl<'h> Host<'h> {
    /// Returns what lets its clients take a name of another host.
    fn takes(&self, other: &Self, target: Target, is_later: bool) -> Option<Error> {
        let given = other.naming?.template(target)?;
        let (backend, place) = (self.common(other)?.to_string(), other.shown.clone());
        let Some(own) = self.naming.and_then(|naming| naming.template(target)) else {
            return Some(Error::Kept {
                target,
                backend,
                other: place,
            });
        };
        let has_same_authorities = match (self.authorities, other.authorities) {
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
    fn common(&self, other: &Self) -> Option<&'h Backend> {
        let mut own = self.backends.iter();
        own.find(|own| other.backends.contains(own)).copied()
    }
}
