//! Places for reconciliations: how many use the API server at the same time, and how many hold what they have read. It must not
//! know what they do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Maximum number of reconciliations that hold what they have read, most of which wait for pods or for a place.
const HOLDING_MAX: usize = 64;

/// Places for reconciliations.
#[derive(Debug)]
pub(super) struct Places {
    working: Arc<Semaphore>,
    holding: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// A place; `None` if there is no limit any more, which does not happen.
pub(super) type Place = Option<OwnedSemaphorePermit>;

impl Places {
    /// Creates places for so many that use the API server.
    pub(super) fn new(working: u16) -> Self {
        Self {
            working: Arc::new(Semaphore::new(working.into())),
            holding: Arc::new(Semaphore::new(HOLDING_MAX)),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Waits for a place at the API server, in the order of the calls.
    pub(super) async fn work(&self) -> Place {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting(&self.waiting);
        let place = Arc::clone(&self.working).acquire_owned().await.ok();
        drop(waiting);
        place
    }

    /// Waits until what is read may be held.
    pub(super) async fn hold(&self) -> Place {
        Arc::clone(&self.holding).acquire_owned().await.ok()
    }

    /// Reports whether others wait for a place at the API server.
    pub(super) fn are_wanted(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }
}

/// Counts one that waits until it is dropped, as at the shutdown.
struct Waiting<'w>(&'w AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::Places;

    #[test]
    fn they_are_wanted_while_one_waits() {
        let places = Places::new(1);
        let first = places.work().now_or_never();
        assert!(first.is_some() && !places.are_wanted());
        let mut second = Box::pin(places.work());
        assert!(second.as_mut().now_or_never().is_none());
        assert!(places.are_wanted());
        drop(first);
        assert!(second.as_mut().now_or_never().is_some());
        assert!(!places.are_wanted());
        let third = Box::pin(places.work());
        drop(third);
        assert!(!places.are_wanted());
    }
}
