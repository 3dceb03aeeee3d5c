//! Counts each connection exactly once, when it ends.
//!
//! It must not decide anything, and must not log.

use std::sync::Arc;

use crate::end::End;
use crate::state::Worker;

/// Counts a connection when dropped.
pub(crate) struct Record {
    worker: Arc<Worker>,
    end: End,
}

impl Record {
    /// Begins a record. A connection that is dropped without an end counts as cut off, as at a drain deadline.
    pub(crate) fn begin(worker: &Arc<Worker>) -> Self {
        worker.counts().accepted.add(1);
        Self {
            worker: Arc::clone(worker),
            end: End::CutOff,
        }
    }

    /// Sets how the connection ended.
    pub(crate) fn end(&mut self, end: End) {
        self.end = end;
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.worker.counts().end(self.end);
    }
}
