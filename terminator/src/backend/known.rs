//! What is known of a backend: its addresses, and whether it is reachable. It outlives a reload.
//!
//! It must not connect.

use std::sync::Arc;

use super::health::Health;
use crate::resolver::Resolver;

/// What is known of a backend. All hosts with this backend share it.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Its addresses.
    pub(crate) resolver: Arc<Resolver>,
    /// Whether it is reachable.
    pub(crate) health: Health,
}
