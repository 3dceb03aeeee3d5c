//! `preview` of `/status`: which clients could not connect after a change of `tls`. It must not judge them.

use std::time::Instant;

use serde::Serialize;

use crate::preview::{Totals, Window};
use crate::state::State;
use crate::tls::policy::Change;

/// Clients that could not connect after a change of `tls`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Preview {
    /// Of the last hour.
    pub hour: Clients,
    /// Of the last day.
    pub day: Clients,
}

/// Clients of a time. A client counts each time that it connects.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Clients {
    /// Clients whose handshake succeeded.
    pub served: u64,
    /// Clients that have no version, suite, group or signature scheme in common with what is offered.
    pub incompatible: u64,
    /// Changes of `tls`.
    pub changes: Vec<Failing>,
}

/// A change of `tls`, and the clients that were served and could not connect after it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failing {
    /// What changes: `min_version`, `without_suite`, `without_group` or `certificate`, the only kind of key.
    pub change: &'static str,
    /// The value.
    pub value: &'static str,
    /// Number of these clients.
    pub clients: u64,
    /// Their share of the clients that were served, in percent.
    pub percent: f64,
}

impl Preview {
    pub(super) fn of(state: &State, now: Instant) -> Self {
        let clients = |window| Clients::of(&state.preview(window, now));
        Self {
            hour: clients(Window::Hour),
            day: clients(Window::Day),
        }
    }
}

impl Clients {
    fn of(totals: &Totals) -> Self {
        let changes = Change::all().zip(totals.fails);
        let changes = changes.map(|(change, clients)| {
            let (change, value) = change.labels();
            Failing {
                change,
                value,
                clients,
                percent: percent(clients, totals.served),
            }
        });
        Self {
            served: totals.served,
            incompatible: totals.incompatible,
            changes: changes.collect(),
        }
    }
}

/// Returns a share in percent, with one decimal, and never rounded down to 0.
fn percent(part: u64, of: u64) -> f64 {
    let per_mille = part.saturating_mul(1000).div_ceil(of.max(1));
    f64::from(u32::try_from(per_mille).unwrap_or(u32::MAX)) / 10.0
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn a_share_is_never_rounded_down_to_none() {
        for (part, of, expected) in [
            (0, 0, 0.0),
            (0, 9, 0.0),
            (1, 1_000_000, 0.1),
            (1, 3, 33.4),
            (3, 3, 100.0),
        ] {
            assert!((percent(part, of) - expected).abs() < 0.001, "{part} {of}");
        }
    }
}
