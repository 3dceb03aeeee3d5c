//! What is known of each backend: its addresses, and whether it is reachable. It outlives a reload.
//!
//! It must not connect.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use mqtt_tls_config::Backend;

use super::health::Health;
use crate::resolver::Resolver;

/// What is known of a backend.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Its addresses.
    pub(crate) resolver: Arc<Resolver>,
    /// Whether it is reachable.
    pub(crate) health: Health,
}

/// What is known of each backend of the active configuration, and of those that connections still use.
#[derive(Debug, Default)]
pub(crate) struct Backends(Mutex<HashMap<Backend, Arc<Known>>>);

impl Backends {
    /// Returns what is known of a backend.
    pub(crate) fn of(&self, backend: &Backend) -> Arc<Known> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get(backend) {
            Some(known) => Arc::clone(known),
            None => Arc::clone(all.entry(backend.clone()).or_default()),
        }
    }

    /// Forgets all other backends.
    pub(crate) fn keep_only(&self, backends: &[Arc<Backend>]) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|backend, _| backends.iter().any(|kept| **kept == *backend));
    }
}
