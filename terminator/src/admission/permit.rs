//! Limits the number of open connections. It must not know their clients.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::end::Limit;
use crate::settings::Settings;
use crate::state::State;

/// Permit for one open connection; dropping it frees it.
pub(crate) struct Permit(Arc<State>);

impl Permit {
    /// Takes a permit for a client that has sent its first packet.
    pub(crate) fn take(state: &Arc<State>, settings: &Settings) -> Result<Self, Limit> {
        let most = state.room.connections(&settings.limits);
        state
            .open
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| {
                (open < most).then_some(open + 1)
            })
            .map(|_| Self(Arc::clone(state)))
            .map_err(|_| limit(most, settings))
    }

    /// Checks that a permit is available, so that no handshake is wasted.
    pub(crate) fn is_left(state: &State, settings: &Settings) -> Result<(), Limit> {
        let most = state.room.connections(&settings.limits);
        let is_left = state.open.load(Ordering::Relaxed) < most;
        is_left.then_some(()).ok_or(limit(most, settings))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Returns the limit that allows only this many open connections.
fn limit(most: u32, settings: &Settings) -> Limit {
    if most < settings.limits.connections {
        Limit::Descriptors
    } else {
        Limit::Connections
    }
}
