//! How many connections may be open at once. It must not know who they are.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::record::Limit;
use crate::settings::Settings;
use crate::state::State;

/// One of the connections that there may be; dropping it makes room for the next.
pub(crate) struct Permit(Arc<State>);

impl Permit {
    /// For a client that has said its first packet, if there is one left.
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

    /// Whether there is one left now; if not, the handshake would be for nothing.
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

/// Which of the limits it is, where this many connections may be open.
fn limit(most: u32, settings: &Settings) -> Limit {
    if most < settings.limits.connections {
        Limit::Descriptors
    } else {
        Limit::Connections
    }
}
