//! Whether the cluster serves a kind that it need not serve, as the watch of the kind finds. It must not decide what follows.

use std::sync::Arc;
use std::time::Duration;

use tracing::debug;

use super::known::Known;
use super::lists::Lists;
use crate::kinds::Kind;

/// How often a kind must be missing until it counts as one that the cluster does not serve: an API server that has
/// just started serves no custom resource for a moment.
const MISSES: usize = 3;

/// Times until a kind is looked for again that was missing once, twice, and more often.
const PAUSES: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
];

/// What the watch of a kind has found.
pub(super) struct Presence {
    kind: Kind,
    /// How often it was missing in a row.
    missed: usize,
    is_found: bool,
    known: Arc<Known>,
    lists: Arc<Lists>,
}

impl Presence {
    /// Begins with a kind of which nothing is known.
    pub(super) fn new(kind: Kind, known: Arc<Known>, lists: Arc<Lists>) -> Self {
        Self {
            kind,
            missed: 0,
            is_found: false,
            known,
            lists,
        }
    }

    /// Reports whether the cluster need not serve the kind.
    pub(super) fn is_optional(&self) -> bool {
        self.kind.row().is_optional()
    }

    /// Reports whether the cluster serves the kind, as far as is known.
    pub(super) fn is_there(&self) -> bool {
        self.is_found || !self.is_optional()
    }

    /// Returns the time until it is looked for again: what is not installed must cost little.
    pub(super) fn pause(&self) -> Duration {
        let last = PAUSES.len();
        let index = self.missed.min(last).checked_sub(1);
        index.map_or(Duration::ZERO, |index| PAUSES[index])
    }

    /// Notes that it is missing.
    pub(super) fn missed(&mut self) {
        self.missed += 1;
        self.is_found = false;
        // There is nothing to list, until someone installs it.
        self.lists.listed(self.kind);
        if self.missed >= MISSES {
            self.known.note_served(self.kind, false);
        }
        debug!(
            kind = self.kind.name(),
            "not served by the cluster; retrying"
        );
    }

    /// Notes that it is there.
    pub(super) fn found(&mut self) {
        (self.missed, self.is_found) = (0, true);
        if self.is_optional() {
            self.known.note_served(self.kind, true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Arc, Kind, Known, Lists, MISSES, Presence};
    use crate::plan::names::Name;

    #[test]
    fn a_kind_that_is_missing_again_and_again_is_not_served() {
        let (known, lists) = (Arc::<Known>::default(), Arc::<Lists>::default());
        let mut presence = Presence::new(Kind::ReferenceGrant, known.clone(), lists.clone());
        let unserved = || known.seen(&Name::new("iot", "edge")).unserved;
        for _ in 0..MISSES {
            assert_eq!(unserved(), []);
            presence.missed();
            assert!(!presence.is_there());
        }
        assert_eq!(presence.pause().as_secs(), 30);
        assert!(!lists.listed(Kind::ReferenceGrant), "nothing is waited for");
        assert_eq!(unserved(), [Kind::ReferenceGrant]);
        presence.found();
        assert!(presence.is_there() && unserved().is_empty());
        assert!(presence.pause().is_zero());
    }
}
