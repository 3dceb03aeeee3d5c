//! The first list of each watch: results of an earlier process can be compared only when all are complete. It must not
//! make reconciliations wait for a watch that fails.

use std::collections::BTreeSet;

use tokio::sync::watch;

use crate::kinds::{KINDS, Kind, Watched};

/// Which first lists are not complete.
#[derive(Debug)]
pub struct Lists(watch::Sender<State>);

#[derive(Debug)]
struct State {
    missing: BTreeSet<Kind>,
    has_failed: bool,
}

impl Default for Lists {
    /// All watches are missing.
    fn default() -> Self {
        let rows = KINDS.iter().filter(|row| row.watched != Watched::No);
        let mut missing: BTreeSet<Kind> = rows.map(|row| row.kind).collect();
        missing.insert(Kind::MqttTlsListener);
        let has_failed = false;
        let state = State {
            missing,
            has_failed,
        };
        Self(watch::Sender::new(state))
    }
}

impl Lists {
    /// Records the end of a list. Reports whether it was the first of this kind.
    pub fn listed(&self, kind: Kind) -> bool {
        self.0.send_if_modified(|state| state.missing.remove(&kind))
    }

    /// Records that a watch failed.
    pub fn failed(&self) {
        self.0.send_if_modified(|state| {
            let is_late = !state.missing.is_empty();
            is_late && !std::mem::replace(&mut state.has_failed, true)
        });
    }

    /// Waits for the first list of a kind.
    pub async fn wait_for(&self, kind: Kind) {
        // The sender lives as long as this.
        let mut changes = self.0.subscribe();
        let _ = changes
            .wait_for(|state| !state.missing.contains(&kind))
            .await;
    }

    /// Waits until all first lists are complete, or one of them has failed. Reports whether they are complete.
    pub async fn complete(&self) -> bool {
        let mut changes = self.0.subscribe();
        let ended = changes
            .wait_for(|state| state.missing.is_empty() || state.has_failed)
            .await;
        ended.is_ok_and(|state| !state.has_failed)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::{KINDS, Kind, Lists, Watched};

    fn list_all(lists: &Lists) {
        for row in KINDS.iter().filter(|row| row.watched != Watched::No) {
            assert!(lists.listed(row.kind));
        }
    }

    #[test]
    fn they_are_complete_with_the_last_kind() {
        let lists = Lists::default();
        list_all(&lists);
        assert_eq!(lists.complete().now_or_never(), None);
        assert_eq!(lists.wait_for(Kind::MqttTlsListener).now_or_never(), None);
        assert!(lists.listed(Kind::MqttTlsListener));
        assert!(
            !lists.listed(Kind::MqttTlsListener),
            "it is the second list"
        );
        assert_eq!(lists.complete().now_or_never(), Some(true));
        lists.failed();
        assert_eq!(lists.complete().now_or_never(), Some(true), "too late");
    }

    #[test]
    fn a_failed_watch_is_not_waited_for() {
        let lists = Lists::default();
        lists.failed();
        assert_eq!(lists.complete().now_or_never(), Some(false));
        list_all(&lists);
        lists.listed(Kind::MqttTlsListener);
        assert_eq!(lists.complete().now_or_never(), Some(false));
    }
}
